"""Tables in JSON: a line or an entry that is bad costs only itself."""

import gzip
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.sources.table_json import json_keys, jsonl_keys, read_json_table, read_jsonl
from pipeline.sources.table_rows import Cells, Columns
from tfrecords_schema.errors import InputError

GOOD = b'{"image": "%s.jpg", "caption": "A dog"}'


def write(path, content):
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return str(path)


def lines_of(*rows):
    return "".join(f"{json.dumps(row)}\n" for row in rows)


@pytest.mark.parametrize(
    "line, message",
    [
        (b'{"image": "b.jpg", "caption"', "not JSON: Expecting ':' delimiter"),
        (b"b.jpg", "not JSON"),
        (b"[1, 2]", "no JSON object: '[1, 2]'"),
        (b"[" * 100_000, "not JSON: "),
        (b'{"image": "b\\u0000.jpg", "caption": "A cat"}', "a name holds a NUL character"),
        (b'{"image": "b.jpg", "caption": "A cat", "id": "\\u0000"}', "a name holds a NUL"),
    ],
)
def test_a_bad_line_of_a_jsonl_file_costs_only_itself(tmp_path, line, message):
    path = write(tmp_path / "t.jsonl", GOOD % b"a" + b"\n\n" + line + b"\n" + GOOD % b"c")
    found = dict(read_jsonl(path, Columns(id="id")))
    assert message in found.pop(3)
    assert found == {1: Cells("a.jpg", "A dog"), 4: Cells("c.jpg", "A dog")}


def test_values_of_a_json_line_keep_their_type(tmp_path):
    path = write(tmp_path / "t.jsonl", lines_of({"image": 7, "caption": {"x": 1}}, {}))
    assert list(read_jsonl(path, Columns())) == [(1, Cells(7, {"x": 1})), (2, Cells())]


@pytest.mark.parametrize(
    "content, named", [("\n", "is empty"), ("[]\n", "line 1"), ("x", "line 1")]
)
def test_a_jsonl_file_whose_first_line_is_no_object_is_named(tmp_path, content, named):
    path = write(tmp_path / "t.jsonl", content)
    with pytest.raises(InputError, match=rf"t\.jsonl.*{named}"):
        jsonl_keys(path)


ROWS = [
    {"image": "a.jpg", "caption": "A dog", "size": float("nan"), "split": "train"},
    {"image": "b.jpg", "caption": float("nan"), "size": float("inf")},
    {"image": "c.jpg", "caption": ["A cat", None]},
]
CELLS = [
    Cells("a.jpg", "A dog", "train"), Cells("b.jpg"), Cells("c.jpg", ["A cat", None])
]  # fmt: skip


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_a_json_file_is_a_list_of_objects_or_an_object_a_line(tmp_path, encoding, suffix):
    def written(text):
        content = text.encode(encoding)
        return write(tmp_path / f"t.json{suffix}", gzip.compress(content) if suffix else content)

    for indent in (None, 2):
        path = written(json.dumps(ROWS, indent=indent))
        assert json_keys(path) == ["image", "caption", "size", "split"]
        assert list(read_json_table(path, Columns())) == list(enumerate(CELLS))
    path = written("\n" + lines_of(*ROWS))
    assert json_keys(path) == jsonl_keys(path) == ["image", "caption", "size", "split"]
    assert list(read_json_table(path, Columns())) == list(enumerate(CELLS, 2))
    assert list(read_jsonl(path, Columns())) == list(enumerate(CELLS, 2))
    for end in ("\r", "\r\n"):
        path = written(lines_of(*ROWS).replace("\n", end))
        assert list(read_json_table(path, Columns())) == list(enumerate(CELLS, 1))


def test_entries_of_a_list_that_are_no_objects_cost_only_themselves(tmp_path):
    path = write(tmp_path / "t.json", json.dumps([ROWS[0], 7, "x", [ROWS[0]], ROWS[0]]))
    found = dict(read_json_table(path, Columns()))
    assert found[0] == found[4] == CELLS[0]
    assert [found[i] for i in (1, 2)] == ["no JSON object: '7'", "no JSON object: 'x'"]
    with pytest.raises(InputError, match=r"t\.json: entry 0: no JSON object"):
        json_keys(write(tmp_path / "t.json", "[7]"))


@pytest.mark.parametrize("indent", [None, 1])
def test_a_json_file_that_is_one_object_is_named_with_the_way_out(tmp_path, indent):
    coco = {"info": {}, "images": [{"id": 1}], "annotations": [{"id": 1}]}
    by_column = {"image": {"0": "a.jpg", "1": "b.jpg"}, "caption": {"0": "A dog"}}
    for values, way in ((coco, "--source=coco"), (by_column, "orient='records'")):
        path = write(tmp_path / "t.json", json.dumps(values, indent=indent))
        for call in (json_keys, lambda path: list(read_json_table(path, Columns()))):
            with pytest.raises(InputError, match=rf"t\.json is one JSON object.*{way}"):
                call(path)


def test_a_json_file_that_is_something_else_is_named(tmp_path):
    for content, named in (("", "is empty"), ("\n", "is empty"), ('"x"', "begins with '\"x\"'")):
        with pytest.raises(InputError, match=rf"t\.json {named}"):
            json_keys(write(tmp_path / "t.json", content))
    with pytest.raises(InputError, match=r"t\.json must be a JSON list with entries"):
        json_keys(write(tmp_path / "t.json", "[]"))
    with pytest.raises(InputError, match=r"t\.json is no valid JSON: line 2, column 1 "):
        list(read_json_table(write(tmp_path / "t.json", '[{"image": "a"}\n;]'), Columns()))


def test_a_bad_first_line_among_lines_of_objects_is_said_of_the_line(tmp_path):
    path = write(tmp_path / "t.json", b'{"image": }\n' + GOOD % b"a" + b"\n")
    with pytest.raises(InputError, match="line 1: not JSON"):
        json_keys(path)
    assert len(list(read_json_table(path, Columns()))) == 2


def test_a_long_first_line_is_still_a_line(tmp_path):
    rows = [{"image": "a.jpg", "caption": "A dog", "more": "x" * 300_000}] * 2
    path = write(tmp_path / "t.json", lines_of(*rows))
    assert [cells.caption for _, cells in read_json_table(path, Columns())] == ["A dog"] * 2


def test_captions_of_several_keys_and_of_fields(tmp_path):
    row = {
        "image": "a.jpg",
        "one": "A dog",
        "two": '["A cat", "A cow"]',
        "s": [{"raw": "A hen", "n": 1}, {"raw": "A pig"}],
        "deep": {"er": {"est": "A rat"}},
        "a.b": "An ox",
    }
    content = lines_of(row, {"image": "b.jpg", "two": "", "s": [], "one": " "})
    path = write(tmp_path / "t.jsonl", content)
    assert jsonl_keys(path) == [*row, "s.raw", "s.n", "deep.er", "deep.er.est"]
    for caption, first, second in [
        ("one,two", ["A dog", "A cat", "A cow"], []),
        ("two, one", ["A cat", "A cow", "A dog"], []),
        ("s.raw", ["A hen", "A pig"], []),
        ("one,s.raw", ["A dog", "A hen", "A pig"], []),
        ("deep.er.est", "A rat", None),
        ("a.b", "An ox", None),
        ("one", "A dog", " "),
    ]:
        found = [cells.caption for _, cells in read_jsonl(path, Columns(caption=caption))]
        assert found == [first, second], caption


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
        min_size=1,
        max_size=5,
    ),
    st.sampled_from(["caption", "x,caption", "x.caption"]),
)
def test_lists_and_lines_of_the_same_entries_read_the_same(tmp_path_factory, rows, caption):
    directory, columns = tmp_path_factory.getbasetemp(), Columns(caption=caption)
    lines = list(read_jsonl(write(directory / "odd.jsonl", lines_of(*rows)), columns))
    assert [number for number, _ in lines] == list(range(1, len(rows) + 1))
    path = write(directory / "odd.json", json.dumps(rows))
    entries = list(read_json_table(path, columns))
    assert [number for number, _ in entries] == list(range(len(rows)))
    for (_, line), (_, entry) in zip(lines, entries, strict=True):
        assert isinstance(line, Cells) == isinstance(entry, Cells)
        if isinstance(line, Cells) and "Decimal" not in repr(entry):
            assert line == entry
