"""Types of Parquet columns: text, fields of structs, and images as writers store them."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from parquet_files import assert_no_table, rows_of
from table_files import HUGGING_FACE, write_parquet

from pipeline.sources import table_parquet
from pipeline.sources.table_rows import Cells
from tfrecords_schema.errors import InputError


def captions_of(path, **columns):
    return [cells.caption for cells, _ in rows_of(path, **columns)]


STRUCTS = pa.struct([("raw", pa.string()), ("tokens", pa.list_(pa.string())), ("n", pa.int64())])


@pytest.mark.parametrize(
    "columns, types",
    [
        ({"caption": ["A dog"]}, {"caption": pa.large_string()}),
        ({"caption": ["A dog"]}, {"caption": pa.string_view()}),
        ({"caption": ["A dog"]}, {"caption": pa.binary()}),
        ({"caption": ["A dog"]}, {"caption": pa.dictionary(pa.int32(), pa.string())}),
        ({"caption": [["A dog"]]}, {"caption": pa.list_(pa.string())}),
        ({"caption": [["A dog"]]}, {"caption": pa.large_list(pa.large_string())}),
        ({"caption": [["A dog"]]}, {"caption": pa.list_(pa.string(), 1)}),
        ({"caption": [["A dog"]]}, {"caption": pa.list_(pa.dictionary(pa.int8(), pa.string()))}),
        ({"image": ["a.jpg"]}, {"image": pa.dictionary(pa.int8(), pa.large_string())}),
        ({"split": ["train"]}, {"split": pa.dictionary(pa.int8(), pa.string())}),
    ],
)
def test_text_is_read_from_every_type_that_writers_use(tmp_path, columns, types):
    columns = {"image": ["a.jpg"], "caption": ["A dog"], "split": ["train"], **columns}
    types = dict.fromkeys(columns, pa.string()) | types
    path = write_parquet(tmp_path / "t.parquet", columns, types)
    [(cells, image)] = rows_of(path, split="split")
    caption = [b"A dog"] if isinstance(columns["caption"][0], list) else b"A dog"
    assert (cells, image) == (Cells(b"a.jpg", caption, b"train"), None)


SENTENCES = [
    [{"raw": "A dog", "tokens": ["a", "dog"], "n": 1}, {"raw": "A cat", "tokens": [], "n": 2}],
    None,
    [],
    [None, {"raw": None, "tokens": None, "n": None}, {"raw": "A cow", "tokens": ["a"], "n": 3}],
]
RAW = [[b"A dog", b"A cat"], None, [], [None, None, b"A cow"]]


@pytest.mark.parametrize("of", [pa.list_, pa.large_list])
@pytest.mark.parametrize("row_group_size", [1, 3, 4])
def test_captions_are_read_from_fields_of_structs(tmp_path, of, row_group_size):
    path = write_parquet(
        tmp_path / "t.parquet",
        {
            "before": [{"x": 1, "y": [{"z": 1}]}] * 4,
            "sentences": SENTENCES,
            "caption": ["One", None, " ", '["Two", "Three"]'],
            "one": [(s or [None])[0] for s in SENTENCES],
            "s.raw": list("abcd"),
            "image": list("abcd"),
        },
        {
            "before": pa.struct([("x", pa.int8()), ("y", pa.list_(pa.struct([("z", pa.int8())])))]),
            "sentences": of(STRUCTS),
            "caption": pa.string(),
            "one": STRUCTS,
            "s.raw": pa.string(),
            "image": pa.string(),
        },
        row_group_size=row_group_size,
    )
    assert captions_of(path, caption="sentences.raw") == RAW
    assert captions_of(path, caption="one.raw") == [b"A dog", None, None, None]
    assert captions_of(path, caption="s.raw") == [b"a", b"b", b"c", b"d"]
    tokens = [[b"a", b"dog"], None, [], [None, None, b"a"]]
    assert captions_of(path, caption="sentences.tokens") == tokens
    assert captions_of(path, caption="caption,sentences.raw,one.raw") == [
        [b"One", b"A dog", b"A cat", b"A dog"], [], [],
        ["Two", "Three", None, None, b"A cow"],
    ]  # fmt: skip
    names = table_parquet.column_names(table_parquet.read_footer(path).schema)
    assert names == [
        "before", "before.x", "before.y", "before.y.z", "sentences", "sentences.raw",
        "sentences.tokens", "sentences.n", "caption", "one", "one.raw", "one.tokens", "one.n",
        "s.raw", "image",
    ]  # fmt: skip


def test_only_the_fields_that_are_asked_for_are_read(tmp_path):
    sentences = [[{"raw": f"Caption {i}", "tokens": ["x"], "n": i}] for i in range(9)]
    path = write_parquet(
        tmp_path / "t.parquet",
        {"image": list("abcdefghi"), "sentences": sentences},
        {"image": pa.string(), "sentences": pa.list_(STRUCTS)},
    )
    group = pq.read_metadata(path).row_group(0)
    with open(path, "r+b") as file:
        for i in range(group.num_columns):
            column = group.column(i)
            if column.path_in_schema.endswith(("tokens.list.element", ".n")):
                file.seek(column.dictionary_page_offset or column.data_page_offset)
                file.write(b"\xff" * column.total_compressed_size)
    expected = [[f"Caption {i}".encode()] for i in range(9)]
    assert captions_of(path, caption="sentences.raw") == expected
    with pytest.raises(InputError, match="cannot be read"):
        captions_of(path, caption="sentences.tokens")


PLAIN = st.none() | st.text(st.characters(codec="utf-8"), max_size=3)


@settings(deadline=None, max_examples=60)
@given(
    st.lists(
        st.tuples(PLAIN, st.none() | st.lists(st.none() | st.fixed_dictionaries({"raw": PLAIN}))),
        max_size=12,
    ),
    st.integers(1, 5),
    st.integers(1, 5),
)
def test_captions_are_those_that_arrow_itself_gives(tmp_path_factory, rows, group, batch):
    path = tmp_path_factory.getbasetemp() / "any.parquet"
    struct = pa.struct([("raw", pa.string())])
    types = {"image": pa.string(), "caption": pa.string(), "s": pa.list_(struct)}
    columns = {
        "image": ["a"] * len(rows),
        "caption": [r[0] for r in rows],
        "s": [r[1] for r in rows],
    }
    write_parquet(path, columns, types, row_group_size=group)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(table_parquet, "MAX_BATCH", batch)
        plain = captions_of(str(path))
        nested = captions_of(str(path), caption="s.raw")
    table = pq.read_table(path)
    assert plain == [text and text.encode() if text else text if text is None else b""
                     for text in table["caption"].to_pylist()]  # fmt: skip
    assert nested == [
        None if row is None else [s and s["raw"] and s["raw"].encode() if s and s["raw"] else
                                  (None if not s or s["raw"] is None else b"") for s in row]
        for row in table["s"].to_pylist()
    ]  # fmt: skip


@pytest.mark.parametrize(
    "type", [pa.large_binary(), pa.struct([("bytes", pa.binary())]), HUGGING_FACE]
)
def test_images_are_read_from_every_type_that_writers_use(tmp_path, type):
    value = {"bytes": b"image"} if pa.types.is_struct(type) else b"image"
    columns = {"image": [value], "caption": ["A dog"]}
    path = write_parquet(tmp_path / "t.parquet", columns, {"image": type, "caption": pa.string()})
    assert rows_of(path, with_images=True) == [(Cells(None, b"A dog"), b"image")]
    assert rows_of(path) == [(Cells(None, b"A dog"), None)]


@pytest.mark.parametrize(
    "column, type, values",
    [
        ("image", pa.int64(), [1]),
        ("image", pa.struct([("url", pa.string())]), [{"url": "x"}]),
        ("image", pa.list_(pa.string()), [["x"]]),
        ("caption", pa.int64(), [1]),
        ("caption", pa.list_(pa.int64()), [[1]]),
        ("caption", pa.list_(pa.list_(pa.string())), [[["x"]]]),
        ("split", pa.int64(), [0]),
        ("id", pa.float64(), [0.5]),
    ],
)
def test_a_column_of_another_type_is_named(tmp_path, column, type, values):
    columns = {"image": ["a.jpg"], "caption": ["A dog"], "split": ["train"], "id": ["1"]}
    types = dict.fromkeys(columns, pa.string()) | {column: type}
    path = write_parquet(tmp_path / "t.parquet", columns | {column: values}, types)
    name = str(type).partition("<")[0]
    named = (f"--{column}_column", f"is {name}", "expected")
    assert_no_table(path, *named, id="id", split="split")


def test_a_column_or_field_that_is_not_there_is_named_with_those_that_are(tmp_path):
    columns = {"image": ["a.jpg"], "sentences": [SENTENCES[0]], "caption": ["A dog"]}
    types = {"image": pa.string(), "sentences": pa.list_(STRUCTS), "caption": pa.string()}
    path = write_parquet(tmp_path / "t.parquet", columns, types)
    has = "it has: 'image', 'sentences', 'sentences.raw', 'sentences.tokens', 'sentences.n', 'cap"
    for caption, *named in [
        ("text", "no column 'text'", has),
        ("caption,text", "no column 'text'", "--caption_column=caption,text", has),
        ("sentences.rew", "no column 'sentences.rew'", has),
        ("caption.raw", "'caption.raw' has no field 'raw'"),
        ("sentences", "--caption_column=sentences.raw takes a field, of: raw, tokens, n"),
        ("sentences.n", "column 'sentences.n' is list<", "expected string or a list of strings"),
    ]:
        assert_no_table(path, *named, caption=caption)


def test_text_that_is_not_utf8_is_kept_as_bytes(tmp_path):
    texts = pa.array([b"A dog", b"A caf\xe9", b"A cat"])
    claimed = pa.Array.from_buffers(pa.string(), 3, texts.buffers())  # as Spark writes them
    structs = pa.StructArray.from_arrays([claimed], ["raw"])
    path = str(tmp_path / "t.parquet")
    pq.write_table(pa.table({"image": list("abc"), "caption": claimed, "s": structs}), path)
    assert captions_of(path) == captions_of(path, caption="s.raw") == texts.to_pylist()


def test_a_name_with_a_nul_costs_its_row(tmp_path):
    columns = {"image": ["a", "b\0", "c"], "caption": ["A dog", "A cat", "A\0cow"], "id": [1, 2, 3]}
    found = [cells for cells, _ in rows_of(write_parquet(tmp_path / "t.parquet", columns), id="id")]
    assert found[1] == "a name holds a NUL character: 'b\\x00'"
    assert [found[0], found[2]] == [Cells(b"a", b"A dog", None, 1), Cells(b"c", b"A\0cow", None, 3)]
