"""Checks a dataset on disk against its sources and its manifest."""
