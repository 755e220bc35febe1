"""Captions against references: metrics, result files, evaluation."""
