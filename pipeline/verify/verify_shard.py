"""Reads one shard of a dataset to the end, and finds its problems."""

import os
from collections.abc import Iterator
from typing import Any, NamedTuple

import tensorflow as tf

from tfrecords_schema import manifest as schema
from tfrecords_schema.errors import one_line
from tfrecords_schema.features import record_features
from tfrecords_schema.file_digest import sha256_of
from tfrecords_schema.parse import parse_record
from tfrecords_schema.shards import shard_of
from tfrecords_schema.vocabulary import END, PAD, START

BATCH = 64
SHOWN = 5  # problems of one kind that are reported for a shard


class ShardToVerify(NamedTuple):
    """A shard and its entry in the manifest."""

    directory: str
    split: str
    number: int
    shard_count: int  # number of shards of the split
    shard: schema.Shard
    feature_shape: tuple[int, ...] | None
    feature_dtype: str
    vocabulary_size: int


def verify_shard(asked: ShardToVerify) -> Iterator[tuple[str, str]]:
    """Reads a shard; memory is bounded by a batch of records.

    Yields:
      ("image", image_id) for each readable record, and ("problem", message) for each difference
      from the manifest.
    """
    path = os.path.join(asked.directory, asked.shard.file)
    if not tf.io.gfile.exists(path):
        yield "problem", f"{asked.shard.file} is missing"
        return
    with tf.io.gfile.GFile(path, "rb") as file:
        digest, size = sha256_of(file)
    if (size, digest) != (asked.shard.bytes, asked.shard.sha256):
        yield (
            "problem",
            f"{asked.shard.file} has {size} bytes and SHA-256 {digest}, the manifest says "
            f"{asked.shard.bytes} bytes and {asked.shard.sha256}",
        )
    images = captions = 0
    told: dict[str, int] = {}
    try:
        for row in _records(path, asked):
            image_id = row["image_id"].decode()
            images, captions = images + 1, captions + int(row["captions"])
            yield "image", image_id
            for problem in _problems(image_id, row, asked):
                told[problem] = told.get(problem, 0) + 1
                if told[problem] <= SHOWN:
                    yield "problem", f"{asked.shard.file}: image {image_id}: {problem}"
    except (tf.errors.OpError, ValueError) as error:
        yield "problem", f"{asked.shard.file}: record {images} cannot be read: {one_line(error)}"
    for problem, times in told.items():
        if times > SHOWN:
            yield "problem", f"{asked.shard.file}: {times - SHOWN} more images: {problem}"
    if (images, captions) != (asked.shard.images, asked.shard.captions):
        yield (
            "problem",
            f"{asked.shard.file} holds {images} images and {captions} captions, the manifest says "
            f"{asked.shard.images} and {asked.shard.captions}",
        )


def _records(path: str, asked: ShardToVerify) -> Iterator[dict[str, Any]]:
    features = record_features(asked.feature_shape, asked.feature_dtype)

    @tf.autograph.experimental.do_not_convert
    def examine(serialized: tf.Tensor) -> dict[str, tf.Tensor]:
        record = parse_record(features, serialized)
        ids = record["caption_ids"]
        words = ids[:, 1:-1].flat_values
        known = (words > PAD) & (words != START) & (words != END) & (words < asked.vocabulary_size)
        ends = tf.reduce_all(ids[:, :1].flat_values == START) & tf.reduce_all(
            ids[:, -1:].flat_values == END
        )
        lengths = ids.row_lengths()
        image_features = record.get("image_features", tf.zeros([0]))
        return {
            "image_id": record["image_id"],
            "captions": tf.size(record["captions"]),
            "has_captions": (tf.size(record["captions"]) > 0)
            & (tf.size(record["captions"], tf.int64) == ids.nrows()),
            "has_ends": ends & tf.reduce_all(lengths >= 2),
            "has_known_ids": tf.reduce_all(known),
            "is_finite": tf.reduce_all(tf.math.is_finite(image_features)),
        }

    # Parallel, but in order, since messages have the number of the record.
    rows = tf.data.TFRecordDataset(path).map(examine, tf.data.AUTOTUNE).batch(BATCH)
    for batch in rows.as_numpy_iterator():
        for i in range(len(batch["image_id"])):
            yield {name: values[i] for name, values in batch.items()}


def _problems(image_id: str, row: dict[str, Any], asked: ShardToVerify) -> Iterator[str]:
    if shard_of(image_id, asked.shard_count) != asked.number:
        yield f"belongs in shard {shard_of(image_id, asked.shard_count)} of its split"
    if not row["has_captions"]:
        yield "has no captions, or not as many as lists of ids"
    if not row["has_ends"]:
        yield "has caption ids that do not go from <start> to <end>"
    if not row["has_known_ids"]:
        yield f"has caption ids that are no words of the {asked.vocabulary_size} tokens"
    if not row["is_finite"]:
        yield "has features that are not finite"
