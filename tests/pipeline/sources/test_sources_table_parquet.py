"""Row groups of Parquet: inline images, parts, bounded memory, and damaged files."""

import functools
import gc
import os
import pickle
import tracemalloc
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from parquet_files import assert_no_table, rows_of
from table_files import HUGGING_FACE, write_parquet

from pipeline.sources import table_parquet
from pipeline.sources.files import read_image_bytes
from pipeline.sources.split_names import make_split_names
from pipeline.sources.table import find_table
from pipeline.sources.table_rows import Columns, TextFormat
from tfrecords_schema.errors import InputError

IMAGES = [b"first", b"second", b"", None, b"second", b"second", b"last"]


def write(path, content):
    path.write_bytes(content)
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
