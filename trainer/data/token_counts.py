"""How frequent words are: what the output bias starts from."""

import numpy as np

from tfrecords_schema.dataset import Dataset
from tfrecords_schema.vocabulary import START

COUNTED_IMAGES = 20_000  # more would not make the counts better by much


def count_tokens(dataset: Dataset) -> np.ndarray:
    """How often each id is to be predicted in the captions of the first training images.

    Returns:
      int64 [vocabulary].
    """
    total = np.zeros(dataset.manifest.vocabulary_size, np.int64)
    for record in dataset.parsed("train", ["caption_ids"], COUNTED_IMAGES):
        total += np.bincount(record["caption_ids"].flat_values.numpy(), minlength=len(total))
    total[START] = 0  # the first token of each caption, which is given
    return total
