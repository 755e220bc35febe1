"""Reads, decodes, encodes and writes the images of one shard."""
