"""Checks a dataset on disk against its manifest."""
