"""Counts words, images and caption lengths in Beam: the first, cheap pass over the source."""

import collections
import json
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import apache_beam as beam
from apache_beam.transforms.window import GlobalWindow
from apache_beam.utils.windowed_value import WindowedValue

from pipeline.text.join_captions import CaptionedImage
from pipeline.text.tokenize import dropped_words, tokenize
from tfrecords_schema.atomic_file import write_text
from tfrecords_schema.shards import SPLITS
from tfrecords_schema.vocabulary import RESERVED, Vocabulary

# The kinds of counts, each by split. READ: all images of the source; NAMED: images that the source
# itself assigns to the split; IMAGES: images that can be read; UNWRAPPED: captions that had markers
# around them. INTEGER_IDS: images of IMAGES whose id is an integer in the source; NUMBERED_IDS:
# other images of IMAGES whose id ends in a number.
WORD, LENGTH, IMAGES, READ, NAMED = "word", "length", "images", "read", "named"
DROPPED, KNOWN, UNWRAPPED = "dropped words", "known words", "unwrapped captions"
CAPTIONS, LOST = "captions", "captions of rejected images"
INTEGER_IDS, NUMBERED_IDS = "integer ids", "text ids that end in a number"
TRAIN = SPLITS[0]
HELD = 100_000  # largest number of counts that a worker holds in memory


Counted = tuple[tuple[str, str, Any], int]  # ((what, split, value), count)


class CountText(beam.PTransform):
    """CaptionedImage -> Counted.

    It counts WORD for each word of the training split, LENGTH for each number of words of a
    caption, DROPPED without a value, KNOWN if the vocabulary is given, and IMAGES.
    """

    def __init__(self, clean: str, words: bool, known: frozenset[str] = frozenset()):
        """`clean` is a preset of `pipeline.text.tokenize`.

        Without `words`, only the words of the training split that are in `known` are counted.
        """
        super().__init__()
        self._clean, self._words, self._known = clean, words, known

    def expand(self, images: beam.PCollection[CaptionedImage]) -> beam.PCollection:
        """The counts of all words, also of rare ones."""
        return (
            images
            | "CountInBundle" >> beam.ParDo(_CountInBundle(self._clean, self._words, self._known))
            | "Sum" >> beam.CombinePerKey(sum)
        )


class _CountInBundle(beam.DoFn):
    """Sums the counts of a bundle before the shuffle, in bounded memory.

    Beam's own combiner would do the same, at several times the cost a word.
    """

    def __init__(self, clean: str, words: bool, known: frozenset[str]):
        self._clean, self._words, self._known = clean, words, known

    def start_bundle(self) -> None:
        self._counts: collections.Counter = collections.Counter()

    def process(self, image: CaptionedImage) -> Iterator[Counted]:
        counts, split = self._counts, image.split
        counts[IMAGES, split, ""] += 1
        for caption in image.captions:
            words = tokenize(caption, self._clean)
            counts[LENGTH, split, len(words)] += 1
            if dropped := dropped_words(caption, self._clean):
                counts[DROPPED, split, ""] += dropped
            if split != TRAIN:
                continue
            if self._words:
                for word in words:
                    counts[WORD, split, word] += 1
            elif known := sum(word in self._known for word in words):
                counts[KNOWN, split, ""] += known
        if len(counts) > HELD:
            yield from counts.items()
            counts.clear()

    def finish_bundle(self) -> Iterator[WindowedValue]:
        window = GlobalWindow()
        for item in self._counts.items():
            yield WindowedValue(item, window.max_timestamp(), (window,))


class ChooseWords(beam.PTransform):
    """Counts of the training split's words -> the (word, count) pairs of the vocabulary."""

    def __init__(self, min_count: int, max_size: int):
        """Keeps words seen at least `min_count` times, the `max_size` most frequent (0: all)."""
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
    """Writes the whole PCollection with `write(elements, path)`, on one worker."""

    def __init__(self, write: Callable[[Iterable[Any], str], None], path: str):
        """`write` gets the elements in any order."""
        super().__init__()
        self._write, self._path = write, path

    def expand(self, elements: beam.PCollection) -> beam.PCollection:
        """The result is empty."""
        # Combining to a list would take many times the steps, and the list would be in memory.
        return (
            elements.pipeline
            | beam.Impulse()
            | beam.Map(_write, beam.pvalue.AsIter(elements), self._write, self._path)
        )


def write_vocabulary(counts: Iterable[tuple[str, int]], path: str) -> None:
    """Writes the vocabulary file of (word, count) pairs."""
    write_text(path, Vocabulary.from_counts(dict(counts)).to_text())


def write_json(elements: Iterable[Any], path: str) -> None:
    """Writes `elements` as sorted JSON."""
    write_text(path, json.dumps(sorted(elements)))


def _write(
    _: bytes, elements: Iterable[Any], write: Callable[[Iterable[Any], str], None], path: str
) -> None:
    write(elements, path)


def _rank(item: tuple[str, int]) -> tuple[int, str]:
    word, count = item
    return -count, word
