"""The dtypes of the features in a dataset."""

FEATURE_DTYPES = ("float16", "float32")
IMAGE_DTYPE = "uint8"  # for a dataset that holds the images themselves instead of features
