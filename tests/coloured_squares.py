"""Pictures of one colour each, told apart when a dataset is read back."""

import os

import numpy as np
import tensorflow as tf

from tfrecords_schema.manifest import read_manifest
from tfrecords_schema.parse import parse_record

COLOURS = [
    (255, 0, 0), (0, 128, 0), (0, 0, 255), (255, 255, 0), (128, 128, 128), (255, 255, 255),
    (0, 0, 0), (0, 255, 255), (128, 0, 128), (255, 165, 0), (0, 255, 0), (128, 64, 0),
]  # fmt: skip


def write(path, content):
    """Writes bytes or a text to a file whose folders are made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())


def read_back(directory):
    """(split, number of the picture by its colour, captions) of every record, and the ids."""
    manifest, found, ids = read_manifest(directory), [], []
    for split, shards in manifest.splits.items():
        for shard in shards:
            for serialized in tf.data.TFRecordDataset(os.path.join(directory, shard.file)):
                record = parse_record(manifest.features(), serialized)
                colour = record["image"].numpy().mean((0, 1))
                number = int(np.argmin(np.abs(np.array(COLOURS) - colour).sum(-1)))
                texts = [text.decode() for text in record["captions"].numpy()]
                found.append((split, number, texts))
                ids.append(record["image_id"].numpy().decode())
    return found, ids
