"""Captions to words, ids, splits and a vocabulary."""
