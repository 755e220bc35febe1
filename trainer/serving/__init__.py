"""Captions from an exported model; needs TensorFlow and an export, nothing else."""
