"""Counting in Beam, against counting in plain Python."""

import collections
import json
from unittest import mock

import apache_beam as beam
import pytest
from apache_beam.testing.test_pipeline import TestPipeline as Pipeline
from apache_beam.testing.util import assert_that, equal_to
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.config import CLEAN
from pipeline.text import build_vocabulary
from pipeline.text.build_vocabulary import (
    DROPPED,
    IMAGES,
    KNOWN,
    LENGTH,
    WORD,
    ChooseWords,
    CountText,
    WriteOneFile,
    write_json,
    write_vocabulary,
)
from pipeline.text.join_captions import CaptionedImage
from pipeline.text.tokenize import tokenize
from tfrecords_schema.shards import SPLITS
from tfrecords_schema.vocabulary import Vocabulary, read_vocabulary

slow_to_start = settings(deadline=None, max_examples=10)  # a Beam job an example
TEXTS = st.lists(st.sampled_from(["A", "a", "dog", "Dog.", "cat,", "..."]), max_size=5)
IMAGES_OF_TEXT = st.lists(
    st.tuples(st.sampled_from(SPLITS), st.lists(TEXTS.map(" ".join), max_size=3)), max_size=8
)
COUNTS = st.dictionaries(st.sampled_from("abcdefgh"), st.integers(1, 3))


def captioned(number, split, captions):
    return CaptionedImage(f"{number}.jpg", "uri", "location", split, captions)


def run(elements, transform, expected):
    """Checks what `transform` makes of `elements`, in whatever order."""
    with Pipeline(runner="FnApiRunner") as pipeline:
        found = pipeline | beam.Create(elements) | "Tested" >> transform
        assert_that(found, equal_to(expected))


# Of the captions that are drawn, in which nothing but a word of one letter is ever dropped.
DROPPED_WORDS = dict(none=0, tutorial=1, coco=0, characters=0)


def counted(images, clean, words, known=()):
    """What CountText should count."""
    counts = collections.Counter()
    for image in images:
        counts[IMAGES, image.split, ""] += 1
        for caption in image.captions:
            tokens = tokenize(caption, clean)
            counts[LENGTH, image.split, len(tokens)] += 1
            letters = sum(len(word) == 1 for word in caption.lower().replace(".", "").split())
            counts[DROPPED, image.split, ""] += DROPPED_WORDS[clean] * letters
            if words and image.split == "train":
                counts.update((WORD, "train", token) for token in tokens)
            elif image.split == "train":
                counts[KNOWN, "train", ""] += sum(token in known for token in tokens)
    return [(key, n) for key, n in counts.items() if n]


def test_images_lengths_and_words_of_training_are_counted():
    images = [
        captioned(0, "train", ["A dog .", "A cat and a dog"]),
        captioned(1, "test", ["A zebra ."]),
        captioned(2, "test", []),
    ]
    words = {"a": 3, "dog": 2, "cat": 1, "and": 1}
    expected = [
        *(((WORD, "train", word), n) for word, n in words.items()),
        ((LENGTH, "train", 2), 1), ((LENGTH, "train", 5), 1), ((LENGTH, "test", 2), 1),
        ((IMAGES, "train", ""), 1), ((IMAGES, "test", ""), 2),
    ]  # fmt: skip
    run(images, CountText("coco", words=True), expected)


def test_known_and_dropped_words_are_counted():
    images = [
        captioned(0, "train", ["A dog runs 2 miles", "a cat sits"]),
        captioned(1, "test", ["A dog sits on 1 x"]),
    ]
    expected = [
        ((KNOWN, "train", ""), 2),  # dog, sits
        ((DROPPED, "train", ""), 3), ((DROPPED, "test", ""), 3),  # A 2 a; A 1 x
        ((LENGTH, "train", 3), 1), ((LENGTH, "train", 2), 1), ((LENGTH, "test", 3), 1),
        ((IMAGES, "train", ""), 1), ((IMAGES, "test", ""), 1),
    ]  # fmt: skip
    run(images, CountText("tutorial", False, frozenset(["dog", "sits", "zebra", "2"])), expected)


@slow_to_start
@given(
    IMAGES_OF_TEXT, st.sampled_from(CLEAN), st.booleans(), st.sampled_from([0, 1, 4, 100_000]),
    st.frozensets(st.sampled_from(["a", "dog", "Dog.", "x"])),
)  # fmt: skip
def test_counting_in_beam_is_counting(drawn, clean, words, held, known):
    images = [captioned(number, *fields) for number, fields in enumerate(drawn)]
    with mock.patch.object(build_vocabulary, "HELD", held):
        run(images, CountText(clean, words, known), counted(images, clean, words, known))


@pytest.mark.parametrize("held, passed_on_early", [(0, 50), (7, 16), (100_000, 0)])
def test_a_worker_passes_on_what_it_has_counted_before_it_holds_too_much(held, passed_on_early):
    images = [captioned(n, "train", [f"word{n} word{n + 1} word"]) for n in range(10)]
    worker = build_vocabulary._CountInBundle("coco", True, frozenset())
    with mock.patch.object(build_vocabulary, "HELD", held):
        worker.start_bundle()
        early = [item for image in images for item in worker.process(image)]
        late = [windowed.value for windowed in worker.finish_bundle()]
    assert len(late) <= held
    assert len(early) == passed_on_early
    total = collections.Counter()
    for key, count in early + late:
        total[key] += count
    assert total == dict(counted(images, "coco", True))


def as_counts(words):
    return [((WORD, "train", word), n) for word, n in words.items()]


def test_counts_of_lengths_and_images_are_not_taken_for_words():
    others = [((LENGTH, "train", 7), 99), ((IMAGES, "train", ""), 99)]
    run([*others, *as_counts({"dog": 1})], ChooseWords(1, 0), [("dog", 1)])
    run(others, ChooseWords(1, 0), [])
    run(others, ChooseWords(1, 5), [])


@pytest.mark.parametrize(
    "min_count, max_size, kept",
    [
        (1, 0, "a b c d"),
        (2, 0, "a b c"),
        (4, 0, ""),
        (1, 1, "b"),
        (1, 2, "a b"),  # a and c are seen as often: the word decides
        (1, 9, "a b c d"),
        (2, 9, "a b c"),
        (3, 1, "b"),
    ],
)
def test_the_most_frequent_words_are_kept_ties_by_word(min_count, max_size, kept):
    counts = {"d": 1, "c": 2, "b": 3, "a": 2}
    expected = [(word, counts[word]) for word in kept.split()]
    run(as_counts(counts), ChooseWords(min_count, max_size), expected)


@slow_to_start
@given(COUNTS, st.integers(1, 3), st.integers(0, 9))
def test_words_are_chosen_as_a_sort_would(counts, min_count, max_size):
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    kept = [item for item in ranked if item[1] >= min_count]
    run(as_counts(counts), ChooseWords(min_count, max_size), kept[: max_size or None])


def test_the_vocabulary_has_as_many_words_as_are_asked_for(tmp_path):
    path = str(tmp_path / "vocabulary.txt")
    with Pipeline(runner="FnApiRunner") as pipeline:
        (
            pipeline
            | beam.Create([captioned(0, "train", ["<unk> dog <unk>", "dog dog cat <unk>"])])
            | CountText("none", words=True)
            | ChooseWords(min_count=1, max_size=2)
            | WriteOneFile(write_vocabulary, path)
        )
    assert read_vocabulary(path).tokens[4:] == ("dog", "cat")


@given(st.data(), COUNTS)
def test_the_order_of_the_words_does_not_change_the_file(tmp_path_factory, data, counts):
    path = tmp_path_factory.getbasetemp() / "words.txt"
    write_vocabulary(data.draw(st.permutations(list(counts.items()))), str(path))
    assert path.read_text() == Vocabulary.from_counts(counts).to_text()


@pytest.mark.parametrize("elements", [[], [("test", 1), ("train", 3), ("test", 0)]])
def test_a_list_is_written_whole_and_sorted(tmp_path, elements):
    path = tmp_path / "list.json"
    with Pipeline(runner="FnApiRunner") as pipeline:
        _ = pipeline | beam.Create(elements) | WriteOneFile(write_json, str(path))
    assert json.loads(path.read_text()) == [list(one) for one in sorted(elements)]
