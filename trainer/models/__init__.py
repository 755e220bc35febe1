"""Captioners, one file a family."""
