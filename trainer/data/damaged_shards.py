"""Names a damaged shard: TensorFlow's own error says only `corrupted record at N`."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import tensorflow as tf

from tfrecords_schema.dataset import Dataset
from tfrecords_schema.errors import InputError, one_line
from tfrecords_schema.manifest import MANIFEST_FILE, Shard, write_anew
from tfrecords_schema.parse import parse_record

# Errors for corrupted bytes, and for records that differ from the manifest's features.
_DAMAGE = (tf.errors.DataLossError, tf.errors.InvalidArgumentError)


@contextmanager
def damaged_shards_named(dataset: Dataset) -> Iterator[None]:
    """Turns an error about the records of a dataset into one that names the shard.

    To find it, the shards are read again, from the first to the damaged one.

    Raises:
      InputError: a shard is damaged; it replaces TensorFlow's error.
    """
    try:
        yield
    except _DAMAGE as error:
        for shards in dataset.manifest.splits.values():
            for shard in shards:
                if reason := _damage(dataset, shard):
                    raise InputError(
                        f"--data: shard {os.path.join(dataset.directory, shard.file)} {reason}. "
                        f"`python -m pipeline.verify {dataset.directory}` names all damaged "
                        f"shards. {write_anew(shard.file)}"
                    ) from error
        raise


def _damage(dataset: Dataset, shard: Shard) -> str:
    """What is wrong with a shard, to follow its name; empty if all its records can be read."""
    features, read = dataset.features, 0

    @tf.autograph.experimental.do_not_convert
    def parse(serialized: tf.Tensor) -> dict[str, tf.Tensor | tf.RaggedTensor]:
        return parse_record(features, serialized)

    try:
        for _ in tf.data.TFRecordDataset(os.path.join(dataset.directory, shard.file)).map(parse):
            read += 1
    except (*_DAMAGE, tf.errors.NotFoundError) as error:
        is_parsed = isinstance(error, tf.errors.InvalidArgumentError)
        fault = f"is not as {MANIFEST_FILE} says" if is_parsed else "is damaged"
        return f"{fault}: record {read + 1} of {shard.images} cannot be read ({one_line(error)})"
    return ""
