"""Layers of the captioners, and packed captions."""
