"""Decodes and resizes images, from bytes to pixels."""
