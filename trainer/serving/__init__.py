"""Captions from an exported model; needs only TensorFlow and an export."""
