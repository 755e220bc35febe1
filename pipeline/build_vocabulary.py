"""Counting words and captions in Beam: the first, cheap pass over the source."""

import json
from collections.abc import Iterable, Iterator
from typing import Any

import apache_beam as beam

from pipeline.captions import tokenize
from pipeline.join_captions import CaptionedImage
from tfrecords_schema.atomic_file import write_text
from tfrecords_schema.vocabulary import Vocabulary


class CountTokens(beam.PTransform):
    """CaptionedImage -> (token, count), over the images of the training split."""

    def expand(self, images: beam.PCollection[CaptionedImage]) -> beam.PCollection:
        """The counts of all tokens, however rare."""
        return (
            images
            | "OfTraining" >> beam.Filter(lambda image: image.split == "train")
            | "Tokenize" >> beam.FlatMap(_tokens)  # str
            | "Count" >> beam.combiners.Count.PerElement()  # (str, int)
        )


class WriteList(beam.PTransform):
    """Writes the whole PCollection, which must be small, by `write(list, path)`."""

    def __init__(self, write: Any, path: str):
        """`write` gets the elements in no particular order."""
        super().__init__()
        self._write, self._path = write, path

    def expand(self, elements: beam.PCollection) -> beam.PCollection:
        """Nothing comes out."""
        return elements | beam.combiners.ToList() | beam.Map(self._write, self._path)


def write_vocabulary(counts: Iterable[tuple[str, int]], path: str) -> None:
    """Writes the vocabulary file of (token, count) pairs."""
    write_text(path, Vocabulary.from_counts(dict(counts)).to_text())


def write_json(elements: list[Any], path: str) -> None:
    """Writes `elements` as JSON, sorted."""
    write_text(path, json.dumps(sorted(elements)))


def caption_lengths(image: CaptionedImage) -> Iterator[tuple[str, int]]:
    """(split, words) of each caption."""
    for caption in image.captions:
        yield image.split, len(tokenize(caption.text))


def _tokens(image: CaptionedImage) -> Iterator[str]:
    for caption in image.captions:
        yield from tokenize(caption.text)
