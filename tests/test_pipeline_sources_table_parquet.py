"""Row groups of Parquet: inline images, types of columns, damaged files, bounded memory."""

import gc
import os
import tracemalloc

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from test_pipeline_sources_table import (
    assert_refused,
    find,
    make_table,
    read,
    rejects,
    said,
    write,
    write_parquet,
)

from pipeline.join_captions import JoinRules, join_image
from pipeline.sources import table_parquet
from pipeline.sources.files import read_image_bytes
from tfrecords_schema.errors import InputError

HUGGING_FACE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
IMAGES = [b"first", b"second", b"", None, b"second", b"second", b"last"]


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
    assert [row.image_id for row in found] == [f"t.parquet:{i}" for i in range(len(IMAGES))]
    images = [read_image_bytes(row.location) if row.location else b"" for row in found]
    assert images == [image or b"" for image in IMAGES]
    assert [row.uri for row in found] == [
        f"{path}#row={i}" if i is not None else "" for i in (0, 1, None, None, 4, 4, 6)
    ]
    assert read(path, tmp_path / "staged") == found
    assert len(find(path, tmp_path / "staged").parts) == (3 if part_bytes == 1 else 1)


def test_captions_with_a_row_and_the_image_each_are_one_image_by_its_id(tmp_path):
    path = write_parquet(
        tmp_path / "t.parquet",
        {"image": [b"x"] * 5 + [b"y"], "caption": list("abcdef"), "id": [1] * 5 + [2]},
    )
    found = read(path, tmp_path / "staged", id="id")
    rules = JoinRules("captions", "images", (1.0, 0.0, 0.0), True, "coco")
    [image] = join_image("1", [row for row in found if row.image_id == "1"], rules)
    assert (image.uri, image.captions) == (f"{path}#row=0", list("abcde"))


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
        assert [row.image_id for row in found] == ["a.jpg", "b.jpg", "t.parquet:2"]
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
    assert_refused(path, path, "cannot be read", staging=tmp_path / "elsewhere")


def test_a_file_that_has_changed_is_staged_anew(tmp_path):
    path = write_inline(tmp_path / "t.parquet", True)
    before = read(path, tmp_path / "staged")
    os.utime(path, (1, 1))
    after = read(path, tmp_path / "staged")
    assert [row.text for row in after] == [row.text for row in before]
    assert not {row.location for row in before if row.location} & {row.location for row in after}


def test_without_a_staging_directory_inline_images_are_left_alone(tmp_path):
    path = write_inline(tmp_path / "t.parquet", True)
    found = read(path)
    assert len(found) == len(IMAGES) and {(row.uri, row.location) for row in found} == {("", "")}


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
    monkeypatch.setattr(table_parquet, "PART_BYTES", 1)
    path = make_table(tmp_path, "parquet")
    rows = pq.read_table(path)
    pq.write_table(rows, path, row_group_size=2)
    assert [part[3] for part in find(path).parts] == [(0, 1, 0), (1, 2, 2), (2, 3, 4)]
    assert [row.caption_id for row in read(path)] == [f"table.parquet:{i}" for i in range(5)]


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
    source = find(path, tmp_path / "staged")
    before, arrow = pa.total_allocated_bytes(), 0
    tracemalloc.start()
    for part in source.parts:
        for _ in source.read(part):
            arrow = max(arrow, pa.total_allocated_bytes() - before)
    python = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert size < arrow < 8 << 20 and size < python < 8 << 20


@pytest.mark.parametrize(
    "columns, types",
    [
        ({"caption": ["A dog"]}, {"caption": pa.large_string()}),
        ({"caption": ["A dog"]}, {"caption": pa.binary()}),
        ({"caption": ["A dog"]}, {"caption": pa.dictionary(pa.int32(), pa.string())}),
        ({"caption": [["A dog"]]}, {"caption": pa.list_(pa.string())}),
        ({"caption": [["A dog"]]}, {"caption": pa.large_list(pa.large_string())}),
        ({"caption": [["A dog"]]}, {"caption": pa.list_(pa.string(), 1)}),
        ({"image": ["a.jpg"]}, {"image": pa.dictionary(pa.int8(), pa.large_string())}),
        ({"split": ["train"]}, {"split": pa.dictionary(pa.int8(), pa.string())}),
    ],
)
def test_text_is_read_from_every_type_that_writers_use(tmp_path, columns, types):
    columns = {"image": ["a.jpg"], "caption": ["A dog"], "split": ["train"], **columns}
    types = dict.fromkeys(columns, pa.string()) | types
    path = write_parquet(tmp_path / "t.parquet", columns, types)
    assert said(read(path)) == [("a.jpg", "train", "A dog")]


@pytest.mark.parametrize(
    "type", [pa.large_binary(), pa.struct([("bytes", pa.binary())]), HUGGING_FACE]
)
def test_images_are_read_from_every_type_that_writers_use(tmp_path, type):
    value = {"bytes": b"image"} if pa.types.is_struct(type) else b"image"
    columns = {"image": [value], "caption": ["A dog"]}
    path = write_parquet(tmp_path / "t.parquet", columns, {"image": type, "caption": pa.string()})
    for _ in range(2):
        [found] = read(path, tmp_path / "staged")
        assert read_image_bytes(found.location) == b"image"


@pytest.mark.parametrize(
    "column, type, values",
    [
        ("image", pa.int64(), [1]),
        ("image", pa.struct([("url", pa.string())]), [{"url": "x"}]),
        ("image", pa.list_(pa.string()), [["x"]]),
        ("caption", pa.int64(), [1]),
        ("caption", pa.list_(pa.int64()), [[1]]),
        ("split", pa.int64(), [0]),
        ("id", pa.float64(), [0.5]),
    ],
)
def test_a_column_of_another_type_is_named(tmp_path, column, type, values):
    columns = {"image": ["a.jpg"], "caption": ["A dog"], "split": ["train"], "id": ["1"]}
    types = dict.fromkeys(columns, pa.string()) | {column: type}
    path = write_parquet(tmp_path / "t.parquet", columns | {column: values}, types)
    name = str(type).partition("<")[0]
    assert_refused(path, path, f"--{column}_column", f"is {name}", "expected", id="id")


def test_text_that_is_not_utf8_costs_only_its_row(tmp_path):
    captions = pa.array([b"A dog", b"A caf\xe9", b"A cat"])
    claimed = pa.Array.from_buffers(pa.string(), 3, captions.buffers())  # as Spark writes them
    path = str(tmp_path / "t.parquet")
    pq.write_table(pa.table({"image": list("abc"), "caption": claimed}), path)
    found = read(path)
    assert rejects(found) == [("t.parquet:1", "not valid UTF-8: A caf\\xe9")]
    assert said(found) == [("a", "", "A dog"), ("b", "", ""), ("c", "", "A cat")]


@pytest.mark.parametrize(
    "content", [b"", b"PAR1", b"no parquet at all", b"PAR1\xff\xff\xff\x00PAR1"]
)
def test_a_file_that_is_no_parquet_is_named(tmp_path, content):
    path = write(tmp_path / "t.parquet", content)
    assert_refused(path, path, "cannot be read")


def test_a_parquet_file_that_is_cut_off_is_named(tmp_path):
    path = make_table(tmp_path, "parquet")
    write(tmp_path / "table.parquet", (tmp_path / "table.parquet").read_bytes()[:-30])
    assert_refused(path, path, "cannot be read")


def test_a_parquet_file_that_changes_after_it_was_found_is_refused(tmp_path):
    path = make_table(tmp_path, "parquet")
    source = find(path)
    write_parquet(tmp_path / "table.parquet", {"image": ["a.jpg"]})
    with pytest.raises(InputError, match="changed"):
        list(source.read(source.parts[0]))


def test_an_empty_parquet_file_has_no_parts(tmp_path):
    path = write_parquet(
        tmp_path / "t.parquet", {"image": [], "caption": []}, dict.fromkeys(["image", "caption"],
        pa.string()),
    )  # fmt: skip
    assert read(path) == []
