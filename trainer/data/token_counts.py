"""How frequent words are: what the output bias starts from."""

import numpy as np
import tensorflow as tf

from tfrecords_schema.manifest import Manifest
from tfrecords_schema.parse import parse_record
from trainer.data.batches import shard_paths, without_autotune

COUNTED_IMAGES = 20_000  # more would not make the counts better by much


def count_tokens(data: str, manifest: Manifest) -> np.ndarray:
    """How often each id is to be predicted in the captions of the first training images.

    Args:
      data: directory of the dataset.
      manifest: of the dataset.

    Returns:
      int64 [vocabulary].
    """
    features, size = manifest.features(), manifest.vocabulary_size
    records = tf.data.TFRecordDataset(shard_paths(data, manifest, "train")).take(COUNTED_IMAGES)

    def count(serialized: tf.Tensor) -> tf.Tensor:
        labels = parse_record(features, serialized)["caption_ids"][:, 1:]
        return tf.math.bincount(labels.flat_values, minlength=size, maxlength=size)

    counts = records.map(count, num_parallel_calls=4)
    total = np.zeros(size, np.int64)
    for each in without_autotune(counts).as_numpy_iterator():
        total += each
    return total
