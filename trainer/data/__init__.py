"""Reads shards, and makes batches of them."""
