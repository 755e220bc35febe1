"""Captioners, one module a model family."""
