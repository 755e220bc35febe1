"""Rows of Parquet files, a run of row groups at a time.

    image: string                                a path or URI, or
    image: binary                                the bytes of the image, or
    image: struct<bytes: binary, path: string>   either, as Hugging Face data sets have it
    caption: string or list<string>

Row groups are read in batches of bounded size, and of every row group only the columns that are
asked for. Text is taken as bytes and decoded by row, since Arrow decodes a column or nothing.
"""

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
import pyarrow.types as types

from pipeline.sources.files import open_raw
from pipeline.sources.table_rows import Cells, Columns
from tfrecords_schema.errors import InputError, one_line

PART_BYTES = 64 << 20  # row groups are put together to parts of at least this, uncompressed
BATCH_BYTES = 16 << 20
MAX_BATCH = 4096  # rows


class Parquet(NamedTuple):
    """What the footer of a file says."""

    schema: pa.Schema
    row_groups: list[tuple[int, int]]  # (rows, bytes) of each


def read_footer(path: str) -> Parquet:
    """The schema and row groups of a file.

    Raises:
      InputError: it is no Parquet file, or damaged.
    """
    with _open(path) as file:
        groups = [file.metadata.row_group(i) for i in range(file.num_row_groups)]
        sizes = [(group.num_rows, group.total_byte_size) for group in groups]
        return Parquet(file.schema_arrow, sizes)


def runs_of_row_groups(row_groups: Sequence[tuple[int, int]]) -> Iterator[tuple[int, int, int]]:
    """(first row group, the one after the last, first row) of every part of a file."""
    first = row = rows = size = 0
    for i, (group_rows, group_bytes) in enumerate(row_groups, 1):
        rows, size = rows + group_rows, size + group_bytes
        if size >= PART_BYTES or i == len(row_groups):
            yield first, i, row
            first, row, rows, size = i, row + rows, 0, 0


def check_types(path: str, schema: pa.Schema, columns: Columns) -> None:
    """Raises InputError where a column holds something else than its kind of thing."""
    expected = {
        "image": "a path (string), the image (binary) or both (struct of bytes and path)",
        "caption": "string or a list of strings",
        "split": "string",
        "id": "string or integer",
    }
    for kind, name in columns._asdict().items():
        if not name:
            continue
        type = schema.field(name).type
        if types.is_dictionary(type):
            type = type.value_type
        if not (
            _is_text(type)
            or (kind == "image" and is_inline(schema, name))
            or (kind == "caption" and _is_list(type) and _is_text(type.value_type))
            or (kind == "id" and types.is_integer(type))
        ):
            message = f"column {name!r} is {type}, expected {expected[kind]}"
            raise InputError(f"--input: {path}: {message} (--{kind}_column)")


def is_inline(schema: pa.Schema, image: str) -> bool:
    """Whether the column `image` holds the images themselves."""
    type = schema.field(image).type
    if types.is_struct(type):
        names = [field.name for field in type]
        path_is_text = "path" not in names or _is_text(type.field("path").type)
        return "bytes" in names and _is_binary(type.field("bytes").type) and path_is_text
    return _is_binary(type)


def read_row_groups(
    path: str, first: int, after: int, columns: Columns, with_images: bool
) -> Iterator[tuple[Cells, bytes | None]]:
    """(cells, image) of every row of the row groups from `first` to before `after`.

    Args:
      path: of the file.
      first: row group.
      after: row group after the last.
      columns: the split and the id may be empty.
      with_images: without, inline images are left alone and come out as None.

    Raises:
      InputError: the file is damaged, or has lost a column or row group that it had.
    """
    with _open(path) as file:
        schema, metadata = file.schema_arrow, file.metadata
        missing = [name for name in columns if name and name not in schema.names]
        if missing or after > file.num_row_groups:
            raise InputError(f"--input: {path} has changed since the job began, run again")
        texts = [name for name in columns[1:] if name]
        groups = [metadata.row_group(i) for i in range(first, after)]
        size, rows = sum(g.total_byte_size for g in groups), sum(g.num_rows for g in groups)
        batches = file.iter_batches(
            batch_size=max(1, min(MAX_BATCH, BATCH_BYTES * rows // max(size, 1))),
            row_groups=range(first, after),
            columns=[*texts, *_image_columns(schema, columns.image, with_images)],
            use_threads=False,
        )
        for batch in batches:
            nothing = [None] * batch.num_rows
            image, path_of_image = _images(batch, columns.image)
            cells = [_values(batch.column(name)) if name else nothing for name in columns[1:]]
            rows_of_cells = map(Cells, path_of_image or nothing, *cells)
            yield from zip(rows_of_cells, image or nothing, strict=True)


@contextlib.contextmanager
def _open(path: str) -> Iterator[pq.ParquetFile]:
    try:
        # With Arrow's defaults a whole row group would be in memory at once.
        with (
            open_raw(path) as raw,
            pq.ParquetFile(raw, pre_buffer=False, buffer_size=1 << 16) as file,
        ):
            yield file
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"--input: {path} cannot be read: {one_line(error)}") from error


def _image_columns(schema: pa.Schema, image: str, with_images: bool) -> list[str]:
    type = schema.field(image).type
    if types.is_struct(type):
        names = [field.name for field in type]
        wanted = ["bytes"] * with_images + ["path"] * ("path" in names)
        return [f"{image}.{name}" for name in wanted]
    return [image] if with_images or not is_inline(schema, image) else []


def _images(batch: pa.RecordBatch, image: str) -> tuple[list | None, list | None]:
    """The images and the paths of a batch, each None where it has no such column."""
    if image not in batch.schema.names:
        return None, None
    column = batch.column(image)
    if types.is_struct(column.type):
        fields = dict(zip([field.name for field in column.type], column.flatten(), strict=True))
        found = [_values(fields[name]) if name in fields else None for name in ("bytes", "path")]
        return found[0], found[1]
    return (_values(column), None) if _is_binary(column.type) else (None, _values(column))


def _values(column: pa.Array) -> list[Any]:
    """The values of a column, text as bytes."""
    if types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if _is_text(column.type):
        column = column.cast(pa.large_binary())
    elif _is_list(column.type):
        column = column.cast(pa.large_list(pa.large_binary()))
    return column.to_pylist()


def _is_text(type: pa.DataType) -> bool:
    """Whether it may hold text; some writers do not tell it from bytes, all nulls have no type."""
    is_string = types.is_string(type) or types.is_large_string(type) or types.is_string_view(type)
    return is_string or _is_binary(type) or types.is_null(type)


def _is_binary(type: pa.DataType) -> bool:
    return types.is_binary(type) or types.is_large_binary(type) or types.is_binary_view(type)


def _is_list(type: pa.DataType) -> bool:
    return types.is_list(type) or types.is_large_list(type) or types.is_fixed_size_list(type)
