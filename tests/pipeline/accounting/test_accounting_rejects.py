"""The table of what was not used: its rows, written and counted in bounded memory."""

import itertools
import weakref

import pyarrow.parquet as pq
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pipeline.accounting.rejects import (
    CAPTION,
    DECODE,
    REJECT_SCHEMA,
    SPLIT,
    UNASSIGNED,
    Reject,
    count_rejects,
    printable,
    reject,
    write_rejects,
)

ROW = Reject("a.jpg", "images/a.jpg", "train", DECODE, "ValueError", "damaged")
TEXT = st.text(max_size=5)
ROWS = st.lists(
    st.builds(
        Reject,
        id=TEXT,
        uri=TEXT,
        split=st.sampled_from(["train", "test", UNASSIGNED]),
        stage=st.sampled_from([DECODE, CAPTION]),
        exception=TEXT,
        message=TEXT,
    ),
    max_size=6,
)


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / "rejected.parquet")


@settings(deadline=None)
@given(ROWS)
def test_the_table_has_the_rows_in_their_order_and_counts_them(tmp_path_factory, rows):
    path = str(tmp_path_factory.getbasetemp() / "rejected.parquet")
    write_rejects(iter(rows), path)
    table = pq.read_table(path)
    assert table.schema.equals(REJECT_SCHEMA)
    assert [Reject(**row) for row in table.to_pylist()] == rows
    counts = {}
    for row in rows:
        counts[row.split, row.stage] = counts.get((row.split, row.stage), 0) + 1
    assert count_rejects(path) == counts


def test_rejects_are_counted_by_split_and_stage(path):
    rows = [
        Reject("a", "", "train", DECODE, "ValueError", ""),
        Reject("b", "", "train", DECODE, "OSError", ""),
        Reject("b#1", "", "train", CAPTION, "ValueError", "café"),
        Reject("c", "", UNASSIGNED, SPLIT, "ValueError", ""),
    ]
    write_rejects(rows, path)
    assert count_rejects(path) == {
        ("train", DECODE): 2,
        ("train", CAPTION): 1,
        (UNASSIGNED, SPLIT): 1,
    }


def test_a_table_without_rejects_is_a_table(path):
    write_rejects([], path)
    assert pq.read_table(path).schema.equals(REJECT_SCHEMA)
    assert count_rejects(path) == {}


class Text(str):
    """Text that can be watched."""


def test_rows_are_written_and_forgotten_as_they_come(path):
    alive, most = weakref.WeakSet(), 0

    def rows():
        nonlocal most
        for number in range(50_000):
            text = Text(number)
            alive.add(text)
            most = max(most, len(alive))
            yield ROW._replace(id=text)

    write_rejects(rows(), path)
    assert most <= 20_001  # a batch that is written, one that is gathered
    assert pq.read_table(path)["id"].to_pylist() == [str(number) for number in range(50_000)]
    assert count_rejects(path) == {("train", DECODE): 50_000}


def fails_after(count):
    yield from itertools.repeat(ROW, count)
    raise OSError("the source is gone")


@pytest.mark.parametrize("count", [0, 3, 10_001])
def test_no_table_is_left_where_the_rows_end_in_an_error(path, tmp_path, count):
    with pytest.raises(OSError, match="is gone"):
        write_rejects(fails_after(count), path)
    assert list(tmp_path.iterdir()) == []


def test_a_table_is_replaced_whole_or_left_as_it_was(path, tmp_path):
    write_rejects([ROW, ROW], path)
    with pytest.raises(OSError, match="is gone"):
        write_rejects(fails_after(10_001), path)
    assert count_rejects(path) == {("train", DECODE): 2}
    write_rejects([ROW], path)
    assert count_rejects(path) == {("train", DECODE): 1}
    assert [file.name for file in tmp_path.iterdir()] == ["rejected.parquet"]


def test_a_row_names_the_exception_and_says_in_one_line_why(path):
    row = reject("a.jpg", "images/a.jpg", "train", DECODE, ValueError("\n too large \n by far"))
    assert row == Reject("a.jpg", "images/a.jpg", "train", DECODE, "ValueError", "too large")
    row = reject("a.jpg", "images/a.jpg", "train", DECODE, OSError("no \udcff here"))
    assert row.message == "no \\xff here"
    write_rejects([row], path)
    assert count_rejects(path) == {("train", DECODE): 1}


@given(st.one_of(st.binary(), st.text().map(str.encode)))
def test_printable_text_escapes_bytes_that_are_not_utf8_and_keeps_others(content):
    shown = printable(content.decode("utf-8", "surrogateescape"))
    assert shown == content.decode("utf-8", "backslashreplace")


@given(st.text(st.characters()))
@example("\ud83d")  # half of a pair, as an escape in JSON can be
def test_printable_text_of_any_text_can_be_encoded(text):
    shown = printable(text)
    assert shown.encode("utf-8").decode("utf-8") == shown
