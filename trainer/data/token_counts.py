"""Token frequencies of the training captions, the initial values of the output bias."""

import numpy as np

from tfrecords_schema.dataset import Dataset
from tfrecords_schema.vocabulary import START

COUNTED_IMAGES = 20_000  # more images would hardly improve the counts


def count_tokens(dataset: Dataset) -> np.ndarray:
    """Counts each id as a label in the captions of the first training images.

    Returns:
      int64 [vocabulary].
    """
    total = np.zeros(dataset.manifest.vocabulary_size, np.int64)
    for record in dataset.parsed("train", ["caption_ids"], COUNTED_IMAGES):
        total += np.bincount(record["caption_ids"].flat_values.numpy(), minlength=len(total))
    total[START] = 0  # the first token of each caption is never a label
    return total
