"""The work on one shard: read, decode, encode and write its images."""
