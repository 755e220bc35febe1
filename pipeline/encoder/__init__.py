"""The image encoder of a dataset: the CNN, its weights and its graph."""
