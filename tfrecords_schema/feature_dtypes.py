"""The types in which a dataset may store an image's features."""

FEATURE_DTYPES = ("float16", "float32")
IMAGE_DTYPE = "uint8"  # of a dataset that has the images themselves in place of features
