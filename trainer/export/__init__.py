"""Exports a trained run as a SavedModel from image bytes to captions."""
