"""Counting words, images and caption lengths in Beam: the first, cheap pass over the source."""

import collections
import json
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import apache_beam as beam
from apache_beam.transforms.window import GlobalWindow
from apache_beam.utils.windowed_value import WindowedValue

from pipeline.captions import tokenize
from pipeline.join_captions import CaptionedImage
from tfrecords_schema.atomic_file import write_text
from tfrecords_schema.vocabulary import RESERVED, Vocabulary

WORD, LENGTH, IMAGES = "word", "length", "images"  # what is counted
HELD = 100_000  # counts that a worker holds before it passes them on


class CountText(beam.PTransform):
    """CaptionedImage -> ((what, split, value), count).

    `what` is WORD with each word of the training split, LENGTH with each number of words of a
    caption, or IMAGES with no value.
    """

    def __init__(self, clean: str, words: bool):
        """`clean` is a preset of `pipeline.captions`; without `words` no word is counted."""
        super().__init__()
        self._clean, self._words = clean, words

    def expand(self, images: beam.PCollection[CaptionedImage]) -> beam.PCollection:
        """The counts of all words, however rare."""
        return (
            images
            | "CountInBundle" >> beam.ParDo(_CountInBundle(self._clean, self._words))
            | "Sum" >> beam.CombinePerKey(sum)
        )


class _CountInBundle(beam.DoFn):
    """Adds up what a worker sees before it goes through the shuffle, in bounded memory.

    Beam would add up single counts in the same way, at several times the cost a word.
    """

    def __init__(self, clean: str, words: bool):
        self._clean, self._words = clean, words

    def start_bundle(self) -> None:
        self._counts: collections.Counter = collections.Counter()

    def process(self, image: CaptionedImage) -> Iterator[tuple[tuple[str, str, Any], int]]:
        self._counts[IMAGES, image.split, ""] += 1
        for caption in image.captions:
            words = tokenize(caption, self._clean)
            self._counts[LENGTH, image.split, len(words)] += 1
            if self._words and image.split == "train":
                for word in words:
                    self._counts[WORD, image.split, word] += 1
        if len(self._counts) > HELD:
            yield from self._counts.items()
            self._counts.clear()

    def finish_bundle(self) -> Iterator[WindowedValue]:
        window = GlobalWindow()
        for item in self._counts.items():
            yield WindowedValue(item, window.max_timestamp(), (window,))


class ChooseWords(beam.PTransform):
    """((WORD, split, word), count) -> the (word, count) that are to be the vocabulary."""

    def __init__(self, min_count: int, max_size: int):
        """Words seen at least `min_count` times, the `max_size` most frequent (0: all)."""
        super().__init__()
        self._min_count, self._max_size = min_count, max_size

    def expand(self, counts: beam.PCollection) -> beam.PCollection:
        """Ties in the count are broken by the word itself."""
        kept = (
            counts
            | "OfWords" >> beam.Filter(lambda item: item[0][0] == WORD)
            | "Frequent" >> beam.Filter(lambda item, least: item[1] >= least, self._min_count)
            | "Word" >> beam.MapTuple(lambda key, count: (key[2], count))
            | "NotReserved" >> beam.Filter(lambda item: item[0] not in RESERVED)
        )
        if not self._max_size:
            return kept
        return (
            kept
            | "Top" >> beam.combiners.Top.Of(self._max_size, key=_rank, reverse=True)
            | "Each" >> beam.FlatMap(lambda words: words)
        )


class WriteOneFile(beam.PTransform):
    """Writes the whole PCollection by `write(elements, path)`, on one worker."""

    def __init__(self, write: Callable[[Iterable[Any], str], None], path: str):
        """`write` gets the elements in no particular order."""
        super().__init__()
        self._write, self._path = write, path

    def expand(self, elements: beam.PCollection) -> beam.PCollection:
        """Nothing comes out."""
        # A combination to a list would be many times the steps, and that list in memory.
        return (
            elements.pipeline
            | beam.Impulse()
            | beam.Map(_write, beam.pvalue.AsIter(elements), self._write, self._path)
        )


def write_vocabulary(counts: Iterable[tuple[str, int]], path: str) -> None:
    """Writes the vocabulary file of (word, count) pairs."""
    write_text(path, Vocabulary.from_counts(dict(counts)).to_text())


def write_json(elements: Iterable[Any], path: str) -> None:
    """Writes `elements` as JSON, sorted."""
    write_text(path, json.dumps(sorted(elements)))


def _write(
    _: bytes, elements: Iterable[Any], write: Callable[[Iterable[Any], str], None], path: str
) -> None:
    write(elements, path)


def _rank(item: tuple[str, int]) -> tuple[int, str]:
    word, count = item
    return -count, word
