"""Captions pictures with an exported model, for Python programs and the `caption` command."""

import functools
import itertools
import os
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple, overload

import tensorflow as tf

from tfrecords_schema.errors import InputError, one_line
from tfrecords_schema.exported_model import CAPTIONS, ERROR, IMAGE_BYTES, LOG_PROBS
from trainer.serving.load_exported import find_version, load_exported, read_metadata
from trainer.serving.picture_files import read_picture, reason

BATCH = 16  # pictures in a batch, which limits memory
READERS = 8  # threads that wait for a network filesystem

Picture = str | os.PathLike | bytes  # a path, a URI, or the bytes of an image file


class Caption(NamedTuple):
    """One caption of a picture."""

    text: str
    log_prob: float  # log probability of the words and <end>, in nats


class Captioned(NamedTuple):
    """The captions of a picture, or the error."""

    captions: list[Caption]  # the most likely first; empty with an error
    error: str = ""


class ExportedCaptioner:
    """An exported model as a function from pictures to captions.

    Attributes:
      directory: the directory of the exported version.
    """

    def __init__(self, export: str | os.PathLike):
        """Loads an export; use `load_captioner`."""
        self.directory = find_version(os.path.expanduser(os.fspath(export)))
        self._serve = load_exported(self.directory)

    @functools.cached_property
    def metadata(self) -> dict[str, Any]:
        """The search settings, the image formats and the dataset's fingerprints.

        Raises:
          InputError: the file is missing or damaged.
        """
        return read_metadata(self.directory)

    @overload
    def __call__(self, pictures: Picture) -> Captioned: ...  # type: ignore[overload-overlap]

    @overload
    def __call__(self, pictures: Iterable[Picture]) -> list[Captioned]: ...

    def __call__(self, pictures: Picture | Iterable[Picture]) -> Captioned | list[Captioned]:
        """Captions one picture, or several in batches.

        Args:
          pictures: a path, a URI or the bytes of an image file; or an iterable of these.

        Returns:
          One `Captioned` for one picture. For an iterable a list, in the same order. A picture that
          cannot be read or decoded has an error and no captions; it does not affect the others.

        Raises:
          InputError: the model fails on a batch.
          TypeError: an item is neither a path nor bytes.
        """
        if isinstance(pictures, Picture):
            return next(self.stream([pictures]))
        return list(self.stream(pictures))

    def stream(self, pictures: Iterable[Picture]) -> Iterator[Captioned]:
        """Captions pictures a batch at a time, for an iterable of any length; see `__call__`."""
        rest = iter(pictures)
        with ThreadPoolExecutor(READERS) as readers:
            while batch := list(itertools.islice(rest, BATCH)):
                yield from self._caption_batch(list(readers.map(_read, batch)))

    def _caption_batch(self, files: Sequence[tuple[bytes, str]]) -> Iterator[Captioned]:
        """Captions the contents of files, except files with a read error."""
        contents = [content for content, error in files if not error]
        rows: Iterator[tuple] = iter(())
        if contents:
            try:
                outputs = self._serve(**{IMAGE_BYTES: tf.constant(contents, tf.string)})
            except tf.errors.OpError as error:
                raise InputError(f"--model: {self.directory} fails: {one_line(error)}") from error
            rows = zip(*(outputs[k].numpy() for k in (CAPTIONS, LOG_PROBS, ERROR)), strict=True)
        for _, unreadable in files:
            texts, log_probs, refusal = ((), (), b"") if unreadable else next(rows)
            pairs = () if refusal else zip(texts, log_probs, strict=True)
            captions = [Caption(text.decode(), float(score)) for text, score in pairs]
            yield Captioned(captions, unreadable or refusal.decode())


def load_captioner(export: str | os.PathLike) -> ExportedCaptioner:
    """Loads an exported model.

    Args:
      export: the directory of a version, such as EXPORT/1, or of versions, whose latest is used.

    Raises:
      InputError: there is no complete export.
    """
    return ExportedCaptioner(export)


def _read(picture: Picture) -> tuple[bytes, str]:
    """The contents of a picture file, and why it cannot be read."""
    if isinstance(picture, bytes):
        return picture, ""
    if not isinstance(picture, (str, os.PathLike)):
        raise TypeError(f"a picture is a path, a URI or bytes, not {type(picture).__name__}")
    name = os.fspath(picture)
    try:
        return read_picture(name), ""
    except (OSError, ValueError, tf.errors.OpError) as error:
        return b"", reason(error, name)
