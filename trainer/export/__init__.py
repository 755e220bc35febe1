"""A trained run to a SavedModel from image bytes to captions."""
