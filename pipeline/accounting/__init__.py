"""Accounting for each image and caption: counts, receipts, rejects and reports."""
