"""The vocabulary: maps tokens to ids and back, and reads its file.

The file has one token a line; a token's id is its line number from 0. The four reserved tokens
come first, then the words by descending count, ties by the word itself. So equal counts give equal
files, in whatever order and on whatever machines they were counted.
"""

import hashlib
from collections.abc import Iterable, Mapping

import tensorflow as tf

from tfrecords_schema.errors import InputError, one_line

PAD, UNK, START, END = range(4)
RESERVED = ("<pad>", "<unk>", "<start>", "<end>")
NEVER_WRITTEN = (PAD, UNK, START)  # a captioner never chooses these


class Vocabulary:
    """An immutable list of tokens, the reserved ones first."""

    def __init__(self, words: Iterable[str]):
        """Makes a vocabulary of `words` (without the reserved tokens), in the given order.

        Raises:
          InputError: a word is empty, holds whitespace, is reserved or repeated.
        """
        self.tokens = (*RESERVED, *words)
        self._ids: dict[str, int] = {}
        for i, token in enumerate(self.tokens):
            if not token or token.split() != [token]:
                raise InputError(f"vocabulary token {i} is {token!r}: empty or holds whitespace")
            if self._ids.setdefault(token, i) != i:
                raise InputError(f"vocabulary token {token!r} comes twice, {i} is the second")

    @classmethod
    def from_counts(cls, counts: Mapping[str, int], min_count: int = 1) -> "Vocabulary":
        """The words with at least `min_count` occurrences, by descending count, ties by word."""
        kept = [word for word, n in counts.items() if n >= min_count and word not in RESERVED]
        return cls(sorted(kept, key=lambda word: (-counts[word], word)))

    def __len__(self) -> int:
        """The number of tokens, including the reserved ones."""
        return len(self.tokens)

    def ids(self, words: Iterable[str]) -> list[int]:
        """<start>, the words' ids, <end>. An unknown word becomes <unk>."""
        known = (self._ids.get(word, UNK) for word in words)
        return [START, *(i if i >= len(RESERVED) else UNK for i in known), END]

    def words(self, ids: Iterable[int]) -> list[str]:
        """The words of `ids` up to the first <end>, without reserved tokens."""
        words = []
        for i in ids:
            if i == END:
                break
            if i >= len(RESERVED):
                words.append(self.tokens[i])
        return words

    def written(self) -> list[str]:
        """The text of each token in a caption: the word, or "" for a reserved token."""
        return ["" if token in RESERVED else token for token in self.tokens]

    def to_text(self) -> str:
        """The content of the vocabulary file."""
        return "".join(f"{token}\n" for token in self.tokens)

    def sha256(self) -> str:
        """The hexadecimal SHA-256 of the vocabulary file."""
        return hashlib.sha256(self.to_text().encode()).hexdigest()


def read_vocabulary(path: str) -> Vocabulary:
    """Reads a vocabulary file.

    Raises:
      InputError: the file is missing, or not a vocabulary file.
    """
    lines = _read_lines(path)
    try:
        if tuple(lines[: len(RESERVED)]) != RESERVED or lines[-1] != "":
            raise InputError(
                f"it must start with the lines {', '.join(RESERVED)} and end with a newline"
            )
        return Vocabulary(lines[len(RESERVED) : -1])
    except InputError as error:
        raise InputError(f"{path} is no vocabulary file: {error}") from error


def read_words(path: str) -> Vocabulary:
    """Reads the vocabulary of a vocabulary file, or of a plain list of one word a line.

    Raises:
      InputError: the file is missing, has no words, or has a word that is not allowed.
    """
    lines = [line.removesuffix("\r") for line in _read_lines(path)]
    lines[0] = lines[0].removeprefix("\ufeff")
    words = lines[len(RESERVED) :] if tuple(lines[: len(RESERVED)]) == RESERVED else lines
    words = [word for word in words if word]
    try:
        if not words:
            raise InputError("it has no words")
        return Vocabulary(words)
    except InputError as error:
        raise InputError(f"{path} is no list of words: {error}") from error


def _read_lines(path: str) -> list[str]:
    if not tf.io.gfile.exists(path):
        raise InputError(f"vocabulary file {path} does not exist")
    try:
        with tf.io.gfile.GFile(path, "rb") as file:
            return file.read().decode("utf-8").split("\n")
    except (UnicodeDecodeError, tf.errors.OpError) as error:
        raise InputError(f"{path} cannot be read: {one_line(error)}") from error
