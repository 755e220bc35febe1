"""Shard names, and the shard of each image.

The shard of an image is the SHA-256 of its id, modulo the number of shards. SHA-256 is the same in
every process, version and language (Python's `hash` is salted per process), distributes any kind of
id evenly, and is in every standard library. Its speed does not matter for one short string an
image. Another hash would move every image, so the hash is part of the schema version.
"""

import hashlib
import os

SPLITS = ("train", "validation", "test")
DATASET_NAME = "captions"  # TFDS's prefix of every shard's name


def stable_hash(text: str, salt: str = "") -> int:
    """An integer in [0, 2**64) that depends on `text` and `salt` alone."""
    salted = f"{salt}\0{text}"
    try:
        encoded = salted.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:  # a surrogate that encodes no byte, which JSON may have
        encoded = salted.encode("utf-8", "surrogatepass")
    digest = hashlib.sha256(encoded).digest()
    return int.from_bytes(digest[:8], "big")


def shard_of(image_id: str, shard_count: int) -> int:
    """The shard, in [0, shard_count), that holds the image."""
    return stable_hash(image_id, "shard") % shard_count


def shard_name(split: str, shard: int, shard_count: int) -> str:
    """The shard's file name: `captions-train.tfrecord-00003-of-00016`."""
    return f"{DATASET_NAME}-{split}.tfrecord-{shard:05d}-of-{shard_count:05d}"


def shard_path(directory: str, split: str, shard: int, shard_count: int) -> str:
    """The path of the shard in the dataset at `directory`."""
    return os.path.join(directory, shard_name(split, shard, shard_count))
