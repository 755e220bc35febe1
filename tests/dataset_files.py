"""What the files of a dataset hold, and whether two datasets are the same."""

import hashlib
import os

import numpy as np
import pyarrow.parquet as pq
import tensorflow as tf

from tfrecords_schema.manifest import read_manifest
from tfrecords_schema.parse import parse_record


def contents(directory):
    """The SHA-256 of each shard, the vocabulary and TFDS's features, by file name.

    These do not depend on when a dataset was written.
    """
    found = {}
    for name in sorted(os.listdir(directory)):
        if name.startswith("captions-") or name in ("vocabulary.txt", "features.json"):
            with open(os.path.join(directory, name), "rb") as file:
                found[name] = hashlib.sha256(file.read()).hexdigest()
    return found


def rejected(directory):
    """The rows of the rejects table, by id."""
    rows = pq.read_table(os.path.join(directory, "rejected.parquet")).to_pylist()
    return {row["id"]: row for row in rows}


def assert_same(directory, other):
    """Same files, records, order, captions and ids; features equal to float16 rounding.

    Sums in the CNN are taken in an order that depends on the threads of a process.
    """
    manifest = read_manifest(directory)
    shards = {split: [s.file for s in shards] for split, shards in manifest.splits.items()}
    other_splits = read_manifest(other).splits
    assert shards == {split: [s.file for s in shards] for split, shards in other_splits.items()}
    for name in [name for names in shards.values() for name in names]:
        pairs = zip(
            tf.data.TFRecordDataset(os.path.join(directory, name)),
            tf.data.TFRecordDataset(os.path.join(other, name)),
            strict=True,
        )
        for pair in pairs:
            one, two = (parse_record(manifest.features(), serialized) for serialized in pair)
            for key in ("image_id", "image_uri", "captions"):
                np.testing.assert_array_equal(one[key], two[key])
            assert one["caption_ids"].to_list() == two["caption_ids"].to_list()
            features = (x["image_features"].numpy().astype(np.float32) for x in (one, two))
            np.testing.assert_allclose(*features, rtol=2**-9, atol=1e-4)
