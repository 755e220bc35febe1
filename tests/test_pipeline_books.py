"""The books: every image read was written, rejected, or a repeated mention."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.books import balance_books, check_rejected
from pipeline.receipts import Receipt
from pipeline.rejects import CAPTION, DECODE, DUPLICATE, ENCODE, JOIN, READ, SPLIT, UNASSIGNED
from tfrecords_schema.errors import InputError
from tfrecords_schema.manifest import Books
from tfrecords_schema.shards import SPLITS


def receipt(images):
    return Receipt("", {"images": images}, {}, [], {}, 0.0)


def books_of(read, rejected, **other_splits):
    books = {split: Books() for split in (*SPLITS, UNASSIGNED)}
    return {**books, "train": Books(read, read - rejected, rejected), **other_splits}


def test_the_books_of_every_split_are_made():
    books = balance_books(
        read={"train": 12, "test": 3, UNASSIGNED: 2},
        receipts={"train": [receipt(4), receipt(0), receipt(2)], "test": [receipt(3)]},
        rejected={
            ("train", JOIN): 1, ("train", READ): 1, ("train", DECODE): 1, ("train", ENCODE): 1,
            ("train", DUPLICATE): 2, ("train", CAPTION): 50,
            (UNASSIGNED, SPLIT): 1, (UNASSIGNED, JOIN): 1, (UNASSIGNED, CAPTION): 9,
        },
    )  # fmt: skip
    assert books == {
        "train": Books(read=12, written=6, rejected=4, duplicates=2),
        "validation": Books(),
        "test": Books(read=3, written=3),
        UNASSIGNED: Books(read=2, rejected=2),
    }


@pytest.mark.parametrize(
    "read, written, rejected",
    [
        ({"train": 5}, 4, {}),
        ({"train": 5}, 6, {}),
        ({"train": 5}, 4, {("train", CAPTION): 1}),
        ({"train": 5}, 4, {("test", DECODE): 1}),
        ({"train": 5}, 5, {("train", DECODE): 1}),
        ({"train": 5, UNASSIGNED: 1}, 5, {}),
        ({}, 5, {}),
    ],
)
def test_an_image_that_is_unaccounted_for_is_an_error(read, written, rejected):
    with pytest.raises(RuntimeError, match="do not add up"):
        balance_books(read, {"train": [receipt(written)]}, rejected)


def test_the_split_that_does_not_add_up_is_named():
    with pytest.raises(RuntimeError, match=r"test.*read=2, written=1"):
        balance_books({"test": 2}, {"test": [receipt(1)]}, {})


@pytest.mark.parametrize(
    "read, rejected, max_rejected",
    [(100, 0, 0.0), (100, 1, 0.01), (100, 29, 0.29), (1000, 7, 0.01), (3, 3, 1.0), (0, 0, 0.0)],
)
def test_rejects_up_to_the_limit_are_allowed(read, rejected, max_rejected):
    check_rejected(books_of(read, rejected), max_rejected, "rejected.parquet")


@pytest.mark.parametrize(
    "read, rejected, max_rejected",
    [(100, 1, 0.0), (100, 2, 0.01), (100, 30, 0.29), (99, 1, 0.01), (3, 3, 0.999)],
)
def test_rejects_past_the_limit_are_refused(read, rejected, max_rejected):
    with pytest.raises(InputError) as error:
        check_rejected(books_of(read, rejected), max_rejected, "some/rejected.parquet")
    message = str(error.value)
    assert f"{rejected} of {read} images" in message
    assert f"--max_rejected={max_rejected}" in message
    assert "some/rejected.parquet" in message


@given(st.integers(1, 2000), st.data())
def test_a_limit_given_with_three_digits_is_met_exactly(thousands, data):
    limit = data.draw(st.integers(0, 999))
    read, allowed = 1000 * thousands, limit * thousands
    check_rejected(books_of(read, allowed), float(f"0.{limit:03d}"), "")
    with pytest.raises(InputError):
        check_rejected(books_of(read, allowed + 1), float(f"0.{limit:03d}"), "")


def test_splits_are_judged_together():
    books = books_of(95, 0, test=Books(5, 4, 1))
    check_rejected(books, 0.01, "")
    with pytest.raises(InputError, match="1 of 100"):
        check_rejected(books, 0.009, "")


def test_images_that_no_split_wants_and_repeated_mentions_do_not_count():
    books = books_of(100, 1, **{UNASSIGNED: Books(1000, 0, 1000)}, test=Books(5, 2, 0, 3))
    check_rejected(books, 0.01, "")
    with pytest.raises(InputError, match="1 of 105"):
        check_rejected(books, 0.0, "")
