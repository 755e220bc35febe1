"""Counts, receipts, rejects and reports: what became of each image and caption."""
