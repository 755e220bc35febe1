"""What the first job has counted, and what is refused for it before long work starts."""

import json

import pytest
from small_configs import pipeline_config

from pipeline.accounting.rejects import JOIN, SPLIT, UNASSIGNED, Reject, write_rejects
from pipeline.accounting.source_counts import (
    SourceCounts,
    check_splits,
    check_vocabulary,
    read_counts,
)
from pipeline.sources.mentions import Source
from tfrecords_schema.errors import InputError
from tfrecords_schema.vocabulary import Vocabulary

NOTHING = SourceCounts({}, {}, {}, {}, {}, 0, 0, 0, 0)
BY_COLUMN = Source([], iter, "captions.csv", "pictures", "column 'split'")
BY_NAME = BY_COLUMN._replace(splits_by="its files", splits=("test", "train"))
BY_HASH = BY_COLUMN._replace(splits_by="")


@pytest.fixture
def table(tmp_path):
    path = str(tmp_path / "rejected.parquet")
    rows = [Reject(f"{n}", "", UNASSIGNED, SPLIT, "", "listed in no split") for n in range(3)]
    lost = [Reject(f"t{n}.jpg", "", "test", JOIN, "", f"no image of number {n}") for n in range(4)]
    write_rejects([*rows, *lost], path)
    return path


def config(**changes):
    return pipeline_config("in", "out", **changes)


def test_counts_are_read_by_what_is_counted(tmp_path):
    rows = [
        ["read", "train", "", 10], ["read", "unassigned", "", 2], ["named", "train", "", 9],
        ["images", "train", "", 8], ["images", "test", "", 1], ["length", "train", 3, 20],
        ["length", "train", 5, 4], ["length", "test", 7, 2], ["dropped words", "train", "", 6],
        ["known words", "train", "", 70], ["unwrapped captions", "train", "", 3],
        ["unwrapped captions", "test", "", 1], ["captions", "", "", 31],
        ["captions of rejected images", "train", "", 2],
        ["captions of rejected images", "unassigned", "", 1], ["integer ids", "train", "", 7],
        ["integer ids", "test", "", 1], ["text ids that end in a number", "train", "", 1],
    ]  # fmt: skip
    path = tmp_path / "counts.json"
    path.write_text(json.dumps(rows))
    counts = read_counts(str(path))
    assert counts == SourceCounts(
        read={"train": 10, "unassigned": 2},
        named={"train": 9},
        images={"train": 8, "test": 1},
        lengths={("train", 3): 20, ("train", 5): 4, ("test", 7): 2},
        dropped={"train": 6},
        unwrapped=4,
        known=70,
        captions=31,
        lost=3,
        integer_ids=8,
        numbered_ids=1,
    )
    assert counts.words() == 80
    path.write_text("[]")
    assert read_counts(str(path)) == NOTHING


@pytest.mark.parametrize(
    "integers, numbered, expected", [(0, 0, 0), (3, 0, 1), (3, 1, 0), (0, 1, 0)]
)
def test_ids_are_integers_where_no_text_could_be_taken_for_one(integers, numbered, expected):
    counts = NOTHING._replace(integer_ids=integers, numbered_ids=numbered)
    assert counts.has_integer_ids() == bool(expected)


def assert_refused(check, *named):
    with pytest.raises(InputError) as error:
        check()
    message = str(error.value)
    for text in named:
        assert str(text) in message
    return message


def test_a_source_without_an_image_is_refused(table):
    named = ("--input: there is not one image", "captions.csv", "pictures")
    assert_refused(lambda: check_splits(NOTHING, BY_COLUMN, config(), table), *named)
    message = assert_refused(
        lambda: check_splits(NOTHING, BY_COLUMN, config(features="none"), table), "captions.csv"
    )
    assert "pictures" not in message


def test_without_a_training_image_the_reason_is_given(table):
    counts = NOTHING._replace(read={"train": 3})
    message = assert_refused(
        lambda: check_splits(counts, BY_HASH, config(), table),
        "not one training image", "(4 of 7): no image of number 0 (t0.jpg)", table,
    )  # fmt: skip
    assert "splits are by" not in message


def test_a_source_without_training_images_is_refused_with_what_decided_the_splits(table):
    counts = NOTHING._replace(read={"test": 5}, images={"test": 5, "validation": 2})
    assert_refused(
        lambda: check_splits(counts, BY_COLUMN, config(), table),
        "the splits are by column 'split', which put 5 in test and 2 in validation",
        "--split_fractions=0.8,0.1,0.1",
    )
    by_hash = config(split_fractions=(0.8, 0.1, 0.1))
    message = assert_refused(
        lambda: check_splits(counts, BY_COLUMN, by_hash, table), "not one training image"
    )
    assert "column 'split'" not in message


def test_a_split_that_the_source_names_and_that_ends_empty_is_refused(table):
    counts = NOTHING._replace(read={"train": 9, "test": 4}, images={"train": 9})
    named = ("the test split ends empty; splits are by its files", "(4 of 7): no image of number 0")
    assert_refused(lambda: check_splits(counts, BY_NAME, config(), table), *named)
    by_column = counts._replace(named={"train": 9, "test": 4})
    named = ("the test split ends empty; splits are by column 'split'",)
    assert_refused(lambda: check_splits(by_column, BY_COLUMN, config(), table), *named)


def test_splits_that_nobody_names_may_be_empty(table):
    counts = NOTHING._replace(read={"train": 9}, images={"train": 9}, named={"leave_out": 5})
    check_splits(counts, BY_COLUMN, config(), table)
    check_splits(counts, BY_HASH, config(), table)
    check_splits(counts, BY_NAME._replace(splits=("leave_out", "train")), config(), table)
    by_hash = config(split_fractions=(1.0, 0.0, 0.0))
    check_splits(counts._replace(named={"test": 1}), BY_NAME, by_hash, table)
    whole = counts._replace(images={"train": 9, "test": 1})
    check_splits(whole, BY_NAME, config(), table)


WORDS = Vocabulary.from_counts({"dog": 3, "cat": 2})
NO_WORDS = Vocabulary.from_counts({})


def of_words(known, *lengths):
    """Counts of one training caption a length, and of words of other splits that do not count."""
    counts = dict.fromkeys((("test", 50), *(("train", n) for n in lengths)), 0)
    counts["test", 50] = 1000
    for n in lengths:
        counts["train", n] += 1
    return NOTHING._replace(lengths=counts, known=known)


@pytest.mark.parametrize("known, max_unknown", [(10, 0.0), (8, 0.2), (9, 0.2), (5, 0.5), (0, 1.0)])
def test_a_vocabulary_with_enough_of_the_words_is_taken(known, max_unknown):
    check_vocabulary(of_words(known, 4, 6), WORDS, config(max_unknown=max_unknown))


@pytest.mark.parametrize("known, max_unknown", [(9, 0.0), (7, 0.2), (0, 0.99)])
def test_a_vocabulary_that_lacks_too_many_is_refused(known, max_unknown):
    message = assert_refused(
        lambda: check_vocabulary(of_words(known, 4, 6), WORDS, config(max_unknown=max_unknown)),
        f"lacks {10 - known}0% of the words", f"--max_unknown={max_unknown}",
        f"of 10 words in the training captions {10 - known} are not in it", "or a higher",
    )  # fmt: skip
    assert "characters" not in message


@pytest.mark.parametrize(
    "flags, named",
    [
        (dict(min_count=7), ("--min_count=7:", "a smaller one")),
        (dict(max_size=3), ("--max_size=3:", "a larger one")),
        (dict(vocabulary="w.txt"), ("--vocabulary=w.txt:", "one of these captions' words")),
    ],
)
@pytest.mark.parametrize("vocabulary", [WORDS, NO_WORDS])
def test_the_flag_that_helps_is_named(flags, named, vocabulary):
    counts = of_words(2, 4, 6)
    message = assert_refused(lambda: check_vocabulary(counts, vocabulary, config(**flags)), *named)
    assert ("the vocabulary has no word" in message) == (vocabulary is NO_WORDS)


@pytest.mark.parametrize("lengths, told", [((1, 1, 2, 9), True), ((1, 2, 3, 9), False)])
def test_captions_of_a_script_without_spaces_are_told_of_characters(lengths, told):
    def check(clean):
        check_vocabulary(of_words(0, *lengths), NO_WORDS, config(clean=clean))

    message = assert_refused(lambda: check("coco"), "the vocabulary has no word")
    assert ("give --clean=characters" in message) == told
    assert ("75% of the captions have at most 2 words, as --clean=coco" in message) == told
    assert "--clean=characters" not in assert_refused(lambda: check("characters"))


def test_a_vocabulary_without_a_word_is_refused_even_where_nothing_is_unknown():
    assert_refused(
        lambda: check_vocabulary(of_words(0), NO_WORDS, config(max_unknown=1.0)), "has no word"
    )
