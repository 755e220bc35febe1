"""Row groups of Parquet: inline images, types of columns, damaged files, bounded memory."""

import functools
import gc
import os
import pickle
import tracemalloc
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.sources import table_parquet
from pipeline.sources.files import read_image_bytes
from pipeline.sources.split_names import make_split_names
from pipeline.sources.table import find_table
from pipeline.sources.table_rows import Cells, Columns, TextFormat, check_columns
from tfrecords_schema.errors import InputError

HUGGING_FACE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
IMAGES = [b"first", b"second", b"", None, b"second", b"second", b"last"]


def write(path, content):
    path.write_bytes(content)
    return str(path)


def write_parquet(path, columns, types=None, **options):
    schema = pa.schema(list(types.items())) if types else None
    pq.write_table(pa.table(columns, schema=schema), path, **options)
    return str(path)


def find(path, staging=""):
    names = make_split_names("train", None)
    source = find_table(str(path), "", Columns(), TextFormat(), str(staging), names)
    return pickle.loads(pickle.dumps(source))  # as it is shipped to the workers


def read(path, staging=""):
    source = find(path, staging)
    return [found for part in source.parts for found in source.read(part)]


def write_inline(path, is_struct, row_group_size=3):
    values = [{"bytes": b, "path": None} for b in IMAGES] if is_struct else IMAGES
    captions = [f"Caption {i}" for i in range(len(IMAGES))]
    return write_parquet(
        path,
        {"image": values, "caption": captions},
        {"image": HUGGING_FACE if is_struct else pa.binary(), "caption": pa.string()},
        row_group_size=row_group_size,
    )


@pytest.mark.parametrize("is_struct", [True, False])
@pytest.mark.parametrize("part_bytes", [1, 1 << 30])
def test_inline_images_come_back_by_their_locations(tmp_path, monkeypatch, is_struct, part_bytes):
    monkeypatch.setattr(table_parquet, "PART_BYTES", part_bytes)
    path = write_inline(tmp_path / "t.parquet", is_struct)
    found = read(path, tmp_path / "staged")
    assert [row.text for row in found] == [f"Caption {i}" for i in range(len(IMAGES))]
    keys = [row.key for row in found]
    assert [keys.index(key) for key in keys] == [0, 1, 2, 3, 1, 1, 6]  # an image is its bytes
    images = [read_image_bytes(row.location) if row.location else b"" for row in found]
    assert images == [image or b"" for image in IMAGES]
    assert [row.uri for row in found] == [
        f"{path}#row={i}" if i is not None else "" for i in (0, 1, None, None, 4, 4, 6)
    ]
    assert read(path, tmp_path / "staged") == found
    assert len(find(path, tmp_path / "staged").parts) == (3 if part_bytes == 1 else 1)


def test_a_struct_with_a_path_alone_is_a_path(tmp_path):
    path = write_parquet(
        tmp_path / "t.parquet",
        {
            "image": [{"bytes": None, "path": "a.jpg"}, {"bytes": b"b", "path": "b.jpg"}, None],
            "caption": ["A", "B", "C"],
        },
        {"image": HUGGING_FACE, "caption": pa.string()},
    )
    for _ in range(2):
        found = read(path, tmp_path / "staged")
        assert [row.image_id for row in found[:2]] == ["a.jpg", "b.jpg"]
        assert [row.uri for row in found] == [f"{tmp_path}/a.jpg", f"{path}#row=1", ""]
        assert [bool(row.location) for row in found] == [False, True, False]
        assert read_image_bytes(found[1].location) == b"b"


@pytest.mark.parametrize("is_struct", [True, False])
def test_the_second_reading_leaves_the_image_column_alone(tmp_path, is_struct):
    path = write_inline(tmp_path / "t.parquet", is_struct)
    found = read(path, tmp_path / "staged")
    stat = os.stat(path)
    metadata = pq.read_metadata(path)
    with open(path, "r+b") as file:
        for group in range(metadata.num_row_groups):
            column = metadata.row_group(group).column(0)
            assert column.path_in_schema.startswith("image")
            start = column.dictionary_page_offset or column.data_page_offset
            file.seek(start)
            file.write(b"\xff" * column.total_compressed_size)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert read(path, tmp_path / "staged") == found
    with pytest.raises(InputError, match="cannot be read"):
        read(path, tmp_path / "elsewhere")


def test_a_file_that_has_changed_is_staged_anew(tmp_path):
    path = write_inline(tmp_path / "t.parquet", True)
    before = read(path, tmp_path / "staged")
    os.utime(path, (1, 1))
    after = read(path, tmp_path / "staged")
    assert [row.text for row in after] == [row.text for row in before]
    assert not {row.location for row in before if row.location} & {row.location for row in after}


def test_without_a_staging_directory_no_image_is_staged(tmp_path):
    path = write_inline(tmp_path / "t.parquet", True)
    found = read(path)
    assert [row.key for row in found] == [row.key for row in read(path, tmp_path / "staged")]
    assert {row.location for row in found} == {""}


def test_two_workers_may_read_a_part_at_once(tmp_path):
    source = find(write_inline(tmp_path / "t.parquet", True), tmp_path / "staged")
    [part] = source.parts
    for one, other in zip(source.read(part), source.read(part), strict=True):
        assert one == other
    assert [read_image_bytes(r.location) for r in source.read(part) if r.location] == [
        image for image in IMAGES if image
    ]


def test_parts_are_runs_of_row_groups_that_are_large_enough(tmp_path, monkeypatch):
    def runs(*sizes):
        return list(table_parquet.runs_of_row_groups([(10, size) for size in sizes]))

    monkeypatch.setattr(table_parquet, "PART_BYTES", 100)
    assert runs() == []
    assert runs(1) == [(0, 1, 0)]
    assert runs(100, 99, 1, 1) == [(0, 1, 0), (1, 3, 10), (3, 4, 30)]
    assert runs(500, 500) == [(0, 1, 0), (1, 2, 10)]


def rows_of(path, with_images=False, **columns):
    """(cells, image) of all rows, after the checks that come first."""
    columns = Columns(**{"split": "", **columns})
    footer = table_parquet.read_footer(path)
    check_columns(path, table_parquet.column_names(footer.schema), columns)
    table_parquet.check_types(path, footer.schema, columns)
    count = len(footer.row_groups)
    return list(table_parquet.read_row_groups(path, 0, count, columns, with_images))


def captions_of(path, **columns):
    return [cells.caption for cells, _ in rows_of(path, **columns)]


def test_runs_of_row_groups_are_read_by_themselves(tmp_path):
    columns = {"image": list("abcdefg"), "caption": [f"Caption {i}" for i in range(7)]}
    path = write_parquet(tmp_path / "t.parquet", columns, row_group_size=2)
    assert [rows for rows, _ in table_parquet.read_footer(path).row_groups] == [2, 2, 2, 1]
    read = functools.partial(table_parquet.read_row_groups, path)
    found = [list(read(i, j, Columns(split=""), False)) for i, j in ((0, 1), (1, 3), (3, 4))]
    assert [[cells.image for cells, _ in rows] for rows in found] == [
        [b"a", b"b"], [b"c", b"d", b"e", b"f"], [b"g"],
    ]  # fmt: skip


def test_memory_is_bounded_by_a_batch(tmp_path, monkeypatch):
    monkeypatch.setattr(table_parquet, "BATCH_BYTES", 1 << 20)
    path, size = str(tmp_path / "t.parquet"), 100_000
    schema = pa.schema([("image", HUGGING_FACE), ("caption", pa.string())])
    with pq.ParquetWriter(path, schema, compression="none", use_dictionary=False,
                          write_batch_size=4) as writer:  # fmt: skip
        rows = [{"image": {"bytes": os.urandom(size), "path": None}, "caption": "A dog"}] * 400
        writer.write_table(pa.Table.from_pylist(rows, schema))  # one row group of 40 MB
    del rows
    gc.collect()
    before, arrow = pa.total_allocated_bytes(), 0
    tracemalloc.start()
    for _ in table_parquet.read_row_groups(path, 0, 1, Columns(split=""), True):
        arrow = max(arrow, pa.total_allocated_bytes() - before)
    python = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert size < arrow < 8 << 20 and size < python < 8 << 20


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


def assert_no_table(path, *named, **columns):
    with pytest.raises(InputError) as error:
        rows_of(path, **columns)
    for text in (path, *named):
        assert text in str(error.value)


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


@pytest.mark.parametrize(
    "content", [b"", b"PAR1", b"no parquet at all", b"PAR1\xff\xff\xff\x00PAR1"]
)
def test_a_file_that_is_no_parquet_is_named(tmp_path, content):
    assert_no_table(write(tmp_path / "t.parquet", content), "cannot be read")


def test_a_parquet_file_that_is_cut_off_is_named(tmp_path):
    path = write_parquet(tmp_path / "t.parquet", {"image": ["a"], "caption": ["A dog"]})
    assert_no_table(write(tmp_path / "t.parquet", Path(path).read_bytes()[:-30]), "cannot be read")


def test_a_parquet_file_that_changes_after_it_was_found_is_refused(tmp_path):
    read = functools.partial(table_parquet.read_row_groups, columns=Columns(split=""))
    path = write_parquet(tmp_path / "t.parquet", {"image": ["a.jpg"]})
    with pytest.raises(InputError, match="changed"):
        list(read(path, 0, 1, with_images=False))
    path = write_parquet(tmp_path / "t.parquet", {"image": ["a.jpg"], "caption": ["A dog"]})
    with pytest.raises(InputError, match="changed"):
        list(read(path, 0, 2, with_images=False))


def test_rows_that_the_footer_counts_and_pages_lack_are_missed(tmp_path, monkeypatch):
    path = write_parquet(tmp_path / "t.parquet", {"image": list("abc"), "caption": list("xyz")})
    whole = pq.ParquetFile.iter_batches
    monkeypatch.setattr(
        pq.ParquetFile,
        "iter_batches",
        lambda file, **options: (batch.slice(1) for batch in whole(file, **options)),
    )
    assert_no_table(path, "is damaged: 1 rows of its footer are not there")


def test_an_empty_parquet_file_has_no_parts(tmp_path):
    types = dict.fromkeys(["image", "caption"], pa.string())
    path = write_parquet(tmp_path / "t.parquet", {"image": [], "caption": []}, types)
    footer = table_parquet.read_footer(path)
    assert list(table_parquet.runs_of_row_groups(footer.row_groups)) in ([], [(0, 1, 0)])
    assert rows_of(path) == []
