"""Layers that captioners are built of, and packed captions."""
