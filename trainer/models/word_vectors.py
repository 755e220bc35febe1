"""Reads pretrained word vectors: the text files of GloVe, word2vec and fastText."""

import itertools

import numpy as np
import tensorflow as tf

from tfrecords_schema.errors import InputError, one_line
from tfrecords_schema.vocabulary import RESERVED, Vocabulary

_ASKED = "--embedding_units={} (of a transformer: --units) must be the same"


_GZIP = b"\x1f\x8b"


def read_word_vectors(
    path: str, vocabulary: Vocabulary, units: int
) -> tuple[np.ndarray, np.ndarray]:
    """Reads the vectors of the vocabulary's words from a file of GloVe, word2vec or fastText.

    A line has a word and its numbers, separated by spaces; the word may have spaces, as some of
    GloVe's do. A first line of two integers, the number of words and the numbers a word, is
    skipped. Words outside the vocabulary are skipped; of a repeated word the first vector is kept.

    Args:
      path: path of the file.
      vocabulary: vocabulary of the wanted words.
      units: numbers of a vector.

    Returns:
      ids int64 [n] and vectors float32 [n, units].

    Raises:
      InputError: the file is missing, a line has another format, or no word is in the vocabulary.
    """
    if not tf.io.gfile.exists(path):
        raise InputError(f"--word_vectors: {path} does not exist")
    if tf.io.gfile.isdir(path):
        raise InputError(f"--word_vectors: {path} is a directory, it must be a file")
    wanted = {word.encode(): i for i, word in enumerate(vocabulary.tokens) if i >= len(RESERVED)}
    found: dict[int, np.ndarray] = {}
    try:
        size = tf.io.gfile.stat(path).length
        with tf.io.gfile.GFile(path, "rb") as file:
            for number, line in enumerate(file, 1):
                if not line.strip() or (number == 1 and _is_header(path, line, units)):
                    continue
                word, *values = line.rstrip().rsplit(b" ", units)
                if len(values) != units or not _is_number(values[0]) or _has_number(word):
                    raise _not_vectors(path, number, line, units)
                if (i := wanted.get(word)) is not None and i not in found:
                    try:
                        found[i] = np.array(values, np.float32)
                    except ValueError:
                        raise _not_vectors(path, number, line, units) from None
                    if not np.isfinite(found[i]).all():
                        raise _not_vectors(path, number, line, units)
            read = file.tell()
    except (OSError, tf.errors.OpError) as error:
        raise InputError(f"--word_vectors: {path} cannot be read: {one_line(error)}") from error
    if read < size:  # TensorFlow's reader ends early without an error where the disk fails
        raise InputError(f"--word_vectors: {path} cannot be read after {read} of {size} bytes")
    if not found:
        raise InputError(f"--word_vectors: {path} has no word of the vocabulary")
    return np.array(list(found)), np.stack(list(found.values()))


def _is_header(path: str, line: bytes, units: int) -> bool:
    """Whether a first line is the header of word2vec and fastText: two integers."""
    fields = line.split()
    if len(fields) != 2 or not all(field.isdigit() for field in fields):
        return False
    if int(fields[1]) != units:
        raise InputError(
            f"--word_vectors: {path} has {int(fields[1])} numbers a word, {_ASKED.format(units)}"
        )
    return True


def _has_number(word: bytes) -> bool:
    """Whether a word with spaces ends in a number, so the line has more numbers than expected."""
    return b" " in word and _is_number(word.rsplit(b" ", 1)[1])


def _is_number(field: bytes) -> bool:
    try:
        float(field)
    except ValueError:
        return False
    return True


def _not_vectors(path: str, number: int, line: bytes, units: int) -> InputError:
    """The error about a line that is not a word and its vector."""
    name = f"--word_vectors: line {number} of {path}"
    if b"\0" in line or line.startswith(_GZIP):
        return InputError(
            f"--word_vectors: {path} is no text: give the text file of the vectors, unpacked"
        )
    fields = line.split()
    last = list(itertools.takewhile(_is_number, reversed(fields)))
    if len(last) == len(fields) - 1 != units:
        return InputError(f"{name} has {len(last)} numbers, {_ASKED.format(units)}")
    text = line[:40].decode("utf-8", "replace").strip()
    return InputError(f"{name} must be a word and {units} numbers, it begins {text!r}")
