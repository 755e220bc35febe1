"""Lines of CSV, TSV and JSONL: bad ones cost only themselves, and none is lost."""

import os
import tracemalloc

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from test_pipeline_sources_table import (
    ROWS,
    assert_refused,
    find,
    mentions,
    read,
    rejects,
    said,
    write,
    write_jsonl,
)

from pipeline.rejects import CAPTION, UNASSIGNED, Reject
from pipeline.sources.mentions import Mention
from pipeline.sources.table_rows import Columns
from pipeline.sources.table_text import read_csv
from tfrecords_schema.errors import InputError


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("last", [True, False])
def test_csv_files_of_every_system_read_the_same(tmp_path, end, mark, last):
    lines = ["", "image, caption", "a.jpg,A  dog", "", 'b.jpg,"Two', 'lines, ""hot"""', "c.jpg,犬"]
    path = write(tmp_path / "t.csv", mark + (end.join(lines) + end * last).encode())
    found = read(path)
    assert [(row.caption_id, row.text) for row in found] == [
        ("t.csv:3", "A dog"), ("t.csv:5", 'Two lines, "hot"'), ("t.csv:7", "犬"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    "line, message",
    [
        (b"b.jpg", "1 columns, expected 2 as in the header"),
        (b"b.jpg,A dog, a cat", "3 columns, expected 2"),
        (b",", "empty caption"),
        (b"b.jpg,", "empty caption"),
        (b"b.jpg,A caf\xe9", "not valid UTF-8: A caf\\xe9"),
        (b'b.jpg,"A dog" barks', "is a quote not closed? 'b.jpg,\"A dog\" barks'"),
        (b'b.jpg,"A dog', "is a quote not closed?"),
        (b"b.jpg,A dog\rbarks", "new-line character"),
    ],
)
@pytest.mark.parametrize("after", [b"c.jpg,A cow\nd.jpg,A hen", b'c.jpg,"A cow"\nd.jpg,"A hen"'])
def test_a_bad_line_of_a_csv_file_costs_only_itself(tmp_path, line, message, after):
    path = write(tmp_path / "t.csv", b"image,caption\na.jpg,A dog\n" + line + b"\n" + after)
    found = read(path)
    [row] = [row for row in found if isinstance(row, Reject)]
    assert (row.id, row.uri, row.split, row.stage) == ("t.csv:3", path, UNASSIGNED, CAPTION)
    assert message in row.message
    captions = [(row.caption_id, row.text) for row in mentions(found) if row.text]
    assert captions == [("t.csv:2", "A dog"), ("t.csv:4", "A cow"), ("t.csv:5", "A hen")]


def test_a_field_over_the_limit_of_the_parser_costs_only_its_line(tmp_path):
    content = "image,caption\na.jpg," + "A dog " * 30_000 + "\nb.jpg,A cat\n"
    found = read(write(tmp_path / "t.csv", content))
    assert rejects(found)[0][0] == "t.csv:2" and len(rejects(found)[0][1]) < 200
    assert said(found) == [("b.jpg", "", "A cat")]


def test_an_image_name_that_is_not_utf8_is_kept_in_a_form_that_can_be_written(tmp_path):
    [found] = read(write(tmp_path / "t.csv", b"image,caption\ncaf\xe9.jpg,A dog\n"))
    assert (found.image_id, found.uri) == ("caf\\xe9.jpg", f"{tmp_path}/caf\\xe9.jpg")


@pytest.mark.parametrize("content", ["", "\n\n", "\ufeff"])
def test_an_empty_csv_file_is_named(tmp_path, content):
    path = write(tmp_path / "t.csv", content)
    assert_refused(path, path, "is empty")


@pytest.mark.parametrize("content", [b'"image,caption\na,b\n', "image,caption\n".encode("utf-16")])
def test_a_header_that_cannot_be_read_is_named(tmp_path, content):
    path = write(tmp_path / "t.csv", content)
    assert_refused(path, path)


def test_a_csv_file_that_lost_a_column_since_it_was_found_is_refused(tmp_path):
    path = write(tmp_path / "t.csv", "image,text\n")
    with pytest.raises(InputError, match="no column 'caption'"):
        list(read_csv(path, ",", Columns(split="")))


CELLS = st.lists(
    st.sampled_from([b"a.jpg", b",", b'"', b'""', b" ", b"\r", b"\n", b"A dog", b"\xe9", b"\0"]),
    max_size=6,
).map(b"".join)


@settings(deadline=None, max_examples=300)
@given(st.lists(st.one_of(st.just(b"a.jpg,A dog"), CELLS), max_size=8))
@example([b'a.jpg,"A dog', b"a.jpg,A dog", b'a.jpg,"A dog"'])
@example([b'a.jpg,"A dog', b"a.jpg,A dog"])
def test_every_row_of_a_csv_is_a_caption_or_a_reject(tmp_path_factory, rows):
    content = b"image,caption\n" + b"\n".join(rows)
    path = write(tmp_path_factory.getbasetemp() / "odd.csv", content)
    found = read(path)
    assert {type(row) for row in found} <= {Mention, Reject}
    for row in found:
        "".join(map(str, row)).encode("utf-8")  # whatever it is, it can be written
    lines = content.decode("utf-8", "surrogateescape").split("\n")
    accounted = [row.id if isinstance(row, Reject) else row.caption_id for row in found]
    numbers = [int(place.removeprefix("odd.csv:")) for place in accounted if place]
    assert numbers == sorted(set(numbers))
    # A line that begins no row is blank, or lies within the quotes of the row before it.
    for number, line in enumerate(lines[1:], 2):
        if line.strip("\r") and number not in numbers:
            before = max((n for n in numbers if n < number), default=0)
            assert before and '"' in lines[before - 1]
    if b'"' not in content:
        assert len(numbers) == sum(bool(line.strip("\r")) for line in lines[1:])
        assert len(mentions(found)) >= rows.count(b"a.jpg,A dog")


@settings(deadline=None, max_examples=100)
@given(st.lists(st.sampled_from([b'x.jpg,"A cat', b"x", b'x,"y" z', b'"']), min_size=1, max_size=4))
def test_quotes_that_are_not_closed_swallow_no_row(tmp_path_factory, bad):
    good = [b"a%d.jpg,A dog" % i for i in range(3)]
    content = b"\n".join([b"image,caption", good[0], *bad, good[1], good[2]])
    found = read(write(tmp_path_factory.getbasetemp() / "quotes.csv", content))
    # Unless two of them happen to be a pair: then what is between them is one quoted text.
    if content.count(b'"') % 2:
        assert "a2.jpg" in {row.image_id for row in mentions(found)}
    assert {"a0.jpg"} <= {row.image_id for row in mentions(found)}


def test_a_csv_file_is_not_held_in_memory(tmp_path):
    path = write(tmp_path / "t.csv", "image,caption\n" + f"a.jpg,{'A dog' * 20}\n" * 20_000)
    source = find(path)
    tracemalloc.start()
    count = sum(1 for part in source.parts for _ in source.read(part))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert count == 20_000 and peak < 500_000 < os.path.getsize(path) / 4


@pytest.mark.parametrize(
    "line, message",
    [
        (b'{"image": "b.jpg", "caption"', "not JSON: Expecting ':' delimiter"),
        (b"b.jpg", "not JSON"),
        (b"[1, 2]", "no JSON object: '[1, 2]'"),
        (b"[" * 100_000, "not JSON: "),
        (b'{"image": "b.jpg", "caption": 7}', "the caption is '7': expected a text"),
        (b'{"image": "b.jpg", "caption": [["x"]]}', "the caption is \"['x']\": expected"),
        (b'{"image": "b.jpg", "caption": "caf\xe9"}', "not valid UTF-8: caf\\xe9"),
        (b'{"image": "b.jpg", "caption": "half \\ud83d"}', "not valid UTF-8: half \\xed\\xa0\\xbd"),
        (b'{"image": "b.jpg"}', "empty caption"),
        (b'{"image": {"src": 1}, "caption": "A cat"}', "the image is \"{'src': 1}\": expected"),
        (b'{"image": 7, "caption": "A cat"}', "the image is '7': expected a path"),
    ],
)
def test_a_bad_line_of_a_jsonl_file_costs_only_itself(tmp_path, line, message):
    good = b'{"image": "%s.jpg", "caption": "A dog"}\n'
    path = write(tmp_path / "t.jsonl", good % b"a" + b"\n" + line + b"\n" + good % b"c")
    found = read(path)
    [row] = [row for row in found if isinstance(row, Reject)]
    assert (row.id.partition("#")[0], row.uri, row.stage) == ("t.jsonl:3", path, CAPTION)
    assert message in row.message and len(row.message) < 300
    captions = [(row.caption_id, row.text) for row in mentions(found) if row.text]
    assert captions == [("t.jsonl:1", "A dog"), ("t.jsonl:4", "A dog")]
    if b'"image": "b.jpg",' in line and message.startswith(("the caption", "not valid")):
        assert "b.jpg" in {row.image_id for row in mentions(found)}


@pytest.mark.parametrize(
    "content, named", [("\n", "is empty"), ("[]\n", "line 1"), ("x", "line 1")]
)
def test_a_jsonl_file_whose_first_line_is_no_object_is_named(tmp_path, content, named):
    path = write(tmp_path / "t.jsonl", content)
    assert_refused(path, path, named)


@settings(deadline=None, max_examples=200)
@given(
    st.lists(
        st.recursive(
            st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=3)),
            lambda inner: (
                st.lists(inner, max_size=2)
                | st.dictionaries(st.sampled_from(["image", "caption", "x"]), inner, max_size=3)
            ),
            max_leaves=6,
        ),
        max_size=5,
    )
)
def test_every_line_of_a_jsonl_file_is_accounted_for(tmp_path_factory, rows):
    path = write_jsonl(tmp_path_factory.getbasetemp() / "odd.jsonl", ROWS[0], *rows)
    found = read(path)
    for row in found:
        "".join(map(str, row)).encode("utf-8")
    places = {row.id if isinstance(row, Reject) else row.caption_id for row in found}
    places = {place.partition("#")[0] for place in places}
    assert {f"odd.jsonl:{i}" for i in range(1, len(rows) + 2)} <= places | {""}
