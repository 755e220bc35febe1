"""The CNN: its weights, its graph and the image encoder that a dataset carries."""
