"""Scores captions against references: metrics, result files, evaluation."""
