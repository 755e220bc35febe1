"""What a model may know before it starts: how frequent words are, and their vectors."""

import numpy as np
import tensorflow as tf

from tfrecords_schema.errors import InputError
from tfrecords_schema.manifest import Manifest
from tfrecords_schema.parse import parse_record
from tfrecords_schema.vocabulary import RESERVED, Vocabulary
from trainer.dataset import shard_paths, without_autotune

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


def read_word_vectors(
    path: str, vocabulary: Vocabulary, units: int
) -> tuple[np.ndarray, np.ndarray]:
    """The vectors of the vocabulary's words in a text file of GloVe or word2vec.

    A line has a word and its numbers, separated by spaces; a first line of two numbers, as
    word2vec writes it, is passed over. Words that the vocabulary does not have are not kept.

    Args:
      path: of the file.
      vocabulary: whose words are wanted.
      units: numbers of a vector.

    Returns:
      ids int64 [n] and vectors float32 [n, units].

    Raises:
      InputError: the file is not there, a line is not of that kind, or no word is known.
    """
    if not tf.io.gfile.exists(path):
        raise InputError(f"--word_vectors: {path} does not exist")
    wanted = {word: i for i, word in enumerate(vocabulary.tokens) if i >= len(RESERVED)}
    found: dict[int, np.ndarray] = {}
    with tf.io.gfile.GFile(path, "rb") as file:
        for number, line in enumerate(file, 1):
            word, *values = line.decode("utf-8", "replace").rstrip().split(" ")
            if number == 1 and len(values) == 1:
                continue
            if len(values) != units:
                raise InputError(
                    f"--word_vectors: line {number} of {path} has {len(values)} numbers, "
                    f"--embedding_units={units} (of a transformer: --units) asks for {units}"
                )
            if word in wanted:
                try:
                    found[wanted[word]] = np.array(values, np.float32)
                except ValueError as error:
                    raise InputError(f"--word_vectors: line {number} of {path}: {error}") from error
    if not found:
        raise InputError(f"--word_vectors: {path} has no word of the vocabulary")
    return np.array(list(found)), np.stack(list(found.values()))
