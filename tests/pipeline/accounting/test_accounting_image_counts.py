"""Accounting: every image read was written, rejected, or a repeated mention."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.accounting.image_counts import (
    check_captions,
    check_rejected,
    count_images,
    images_lost,
)
from pipeline.accounting.receipts import Receipt
from pipeline.accounting.rejects import (
    CAPTION,
    DECODE,
    DUPLICATE,
    ENCODE,
    JOIN,
    READ,
    SPLIT,
    UNASSIGNED,
    Reject,
    write_rejects,
)
from tfrecords_schema.errors import InputError
from tfrecords_schema.manifest import ImageCounts


def receipt(images):
    return Receipt("", {"images": images}, {}, [], {}, 0.0)


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """A rejects table, for the reasons in messages."""
    path = str(tmp_path_factory.mktemp("rejects") / "rejected.parquet")
    rows = [Reject(f"{n}.jpg", "", "train", DECODE, "ValueError", "damaged") for n in range(3)]
    caption = Reject("0.jpg#1", "", "train", CAPTION, "ValueError", "empty caption")
    write_rejects([*rows, *[caption] * 5], path)
    return path


def test_the_images_of_every_split_are_counted():
    counts = count_images(
        read={"train": 12, "test": 3, UNASSIGNED: 2},
        receipts={"train": [receipt(4), receipt(0), receipt(2)], "test": [receipt(3)]},
        rejected={
            ("train", JOIN): 1, ("train", READ): 1, ("train", DECODE): 1, ("train", ENCODE): 1,
            ("train", DUPLICATE): 2, ("train", CAPTION): 50,
            (UNASSIGNED, SPLIT): 1, (UNASSIGNED, JOIN): 1, (UNASSIGNED, CAPTION): 9,
        },
    )  # fmt: skip
    assert counts == {
        "train": ImageCounts(read=12, written=6, rejected=4, duplicates=2),
        "validation": ImageCounts(),
        "test": ImageCounts(read=3, written=3),
        UNASSIGNED: ImageCounts(read=2, rejected=2),
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
        count_images(read, {"train": [receipt(written)]}, rejected)


def test_the_split_that_does_not_add_up_is_named():
    with pytest.raises(RuntimeError, match=r"test.*read=2, written=1"):
        count_images({"test": 2}, {"test": [receipt(1)]}, {})


def test_rejects_that_cost_an_image_of_a_split_count_as_lost_images():
    rejected = {
        ("train", JOIN): 1, ("validation", READ): 2, ("test", SPLIT): 4, ("test", DECODE): 8,
        ("train", CAPTION): 100, ("test", DUPLICATE): 100, (UNASSIGNED, SPLIT): 100,
        (UNASSIGNED, JOIN): 100, (UNASSIGNED, CAPTION): 100,
    }  # fmt: skip
    assert images_lost(rejected) == 15
    assert images_lost({}) == 0


@pytest.mark.parametrize("counts", [(0, 0, 0, 0), (9, 9, 0, 0), (9, 4, 3, 2), (5, 0, 0, 5)])
def test_captions_that_add_up_are_right(counts):
    check_captions(*counts)


@pytest.mark.parametrize("counts", [(1, 0, 0, 0), (0, 1, 0, 0), (9, 4, 3, 1), (9, 4, 3, 3)])
def test_a_caption_that_is_unaccounted_for_is_an_error(counts):
    with pytest.raises(RuntimeError, match=f"captions do not add up: {counts[0]} read"):
        check_captions(*counts)


@pytest.mark.parametrize("what", ["images", "captions"])
@pytest.mark.parametrize(
    "read, rejected, max_rejected",
    [(100, 0, 0.0), (100, 1, 0.01), (100, 29, 0.29), (1000, 7, 0.01), (3, 3, 1.0), (0, 0, 0.0)],
)
def test_rejects_up_to_the_limit_are_allowed(read, rejected, max_rejected, what):
    check_rejected(rejected, read, what, max_rejected, "rejected.parquet")  # which is not read


@pytest.mark.parametrize(
    "what, reason", [("images", "(3 of 3): damaged"), ("captions", "(5 of 5): empty caption")]
)
@pytest.mark.parametrize(
    "read, rejected, max_rejected",
    [(100, 1, 0.0), (100, 2, 0.01), (100, 30, 0.29), (99, 1, 0.01), (3, 3, 0.999)],
)
def test_rejects_past_the_limit_are_refused(table, read, rejected, max_rejected, what, reason):
    with pytest.raises(InputError) as error:
        check_rejected(rejected, read, what, max_rejected, table)
    message = str(error.value)
    assert f"{rejected} of {read} {what}" in message
    assert f"--max_rejected={max_rejected}" in message
    assert reason in message and table in message
    assert ("--retry_rejected" in message) == (what == "images")


@settings(deadline=None)
@given(st.integers(1, 2000), st.integers(0, 999))
def test_a_limit_given_with_three_digits_is_met_exactly(table, thousands, limit):
    read, allowed = 1000 * thousands, limit * thousands
    check_rejected(allowed, read, "images", float(f"0.{limit:03d}"), table)
    with pytest.raises(InputError):
        check_rejected(allowed + 1, read, "images", float(f"0.{limit:03d}"), table)
