"""The most frequent reason of a rejects table."""

import pytest

from pipeline.accounting import reasons
from pipeline.accounting.reasons import frequent_reason
from pipeline.accounting.rejects import (
    CAPTION,
    DECODE,
    DUPLICATE,
    JOIN,
    READ,
    SPLIT,
    UNASSIGNED,
    Reject,
    write_rejects,
)


@pytest.fixture
def reason(tmp_path):
    """reason(rows, **flags) -> the sentence about a table of these rows, without its path."""

    def of(rows, **flags):
        path = str(tmp_path / "rejected.parquet")
        write_rejects(rows, path)
        sentence = frequent_reason(path, **flags)
        assert path in sentence and "\n" not in sentence
        return sentence.removesuffix(f"; all are in {path}")

    return of


def row(id, message, stage=JOIN, split="train"):
    return Reject(id, "", split, stage, "ValueError", message)


def test_the_most_frequent_reason_comes_with_its_count_and_first_example(reason):
    rows = [
        row("a.jpg", "no usable caption"), row("b.jpg", "in/b.jpg is missing"),
        row("c.jpg", "in/c.jpg is missing"), row("d.jpg", "too large"),
    ]  # fmt: skip
    expected = "The most frequent reason (2 of 4): in/b.jpg is missing (b.jpg)"
    assert reason(rows) == expected


@pytest.mark.parametrize(
    "one, two",
    [
        ("in/a.jpg is missing", "in/b.jpg is missing"),
        ("a.jpg cannot be read", "b.jpg cannot be read"),
        ("row 7 of 9 is empty", "row 81 of 9 is empty"),
        ("expected a path, found 'x y'", "expected a path, found 'z'"),
        ('found "x y"', 'found "z"'),
        ("gs://b/a.jpg and gs://b/c.jpg", "gs://b/q.jpg and s3://x"),
    ],
)
def test_reasons_that_differ_in_particulars_are_one(reason, one, two):
    others = [row("x", "alone"), row("y", "lonely")]
    said = reason([*others, row("a.jpg", one), row("b.jpg", two)])
    assert said == f"The most frequent reason (2 of 4): {one} (a.jpg)"


def test_one_message_at_two_stages_is_two_reasons(reason):
    rows = [row("a", "gone", READ), row("b", "gone", DECODE), row("c", "x"), row("d", "x")]
    assert reason(rows) == "The most frequent reason (2 of 4): x (c)"


def test_captions_and_images_are_told_apart(reason):
    rows = [
        *[row(f"{n}#1", "empty caption", CAPTION) for n in range(5)],
        row("a", "damaged", DECODE),
    ]
    assert reason(rows) == "The most frequent reason (1 of 1): damaged (a)"
    assert (
        reason(rows, of_captions=True) == "The most frequent reason (5 of 5): empty caption (0#1)"
    )


def test_where_no_image_was_rejected_captions_are_the_reason(reason):
    rows = [row("a#1", "empty caption", CAPTION), row("a", "listed once more", DUPLICATE)]
    assert "(1 of 1): empty caption (a#1)" in reason(rows)
    assert "(1 of 1): damaged (a)" in reason([row("a", "damaged", DECODE)], of_captions=True)


def test_the_reason_told_of_a_split_counts_rows_of_that_split_and_of_no_split(reason):
    rows = [
        *[row(f"{n}", "damaged") for n in range(5)],
        row("x", "left out", SPLIT, UNASSIGNED),
        row("y", "too large", DECODE, "test"), row("z", "too large", DECODE, "test"),
    ]  # fmt: skip
    assert reason(rows, split="test") == "The most frequent reason (2 of 3): too large (y)"
    assert reason(rows, split="train") == "The most frequent reason (5 of 6): damaged (0)"
    assert reason(rows, split="validation") == "The most frequent reason (1 of 1): left out (x)"


def test_a_table_without_a_reason_says_so(reason):
    for rows in ([], [row("a", "listed once more", DUPLICATE)]):
        assert reason(rows).startswith("Nothing was rejected")


def test_reasons_are_counted_in_bounded_memory(reason, monkeypatch):
    monkeypatch.setattr(reasons, "MAX_KINDS", 2)
    rows = [row("a", "x"), row("b", "y"), row("c", "z"), row("d", "y")]
    assert "(2 of 3): y (b)" in reason(rows)


def test_faults_of_captions_are_told_where_images_have_no_usable_caption(tmp_path):
    none, quote = ("ValueError", "no usable caption"), ("ValueError", "a quote")
    rows = [
        *(Reject(f"{n}.jpg", "", "train", JOIN, *none) for n in range(3)),
        *(Reject(f"t.csv:{n}", "", UNASSIGNED, CAPTION, *quote) for n in (4, 5)),
    ]
    write_rejects(rows, str(tmp_path / "table"))
    told = frequent_reason(str(tmp_path / "table"))
    assert (
        "(3 of 3): no usable caption (0.jpg), and of captions (2 of 2): a quote (t.csv:4)" in told
    )
