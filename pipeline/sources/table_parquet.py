"""Reads rows of Parquet files, a run of row groups at a time.

    image: string                                a path or URI, or
    image: binary                                the bytes of the image, or
    image: struct<bytes: binary, path: string>   either, as Hugging Face data sets have it
    caption: string or list<string>
    sentences: list<struct<raw: string, ...>>    captions if `sentences.raw` is the caption column

Row groups are read in batches of bounded size, with only the columns, and only the fields of
structs, that are needed. Text is read as bytes and decoded by row, since Arrow can only decode a
whole column.
"""

import contextlib
import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pyarrow.types as types

from pipeline.sources.caption_cells import Way, caption_ways, together
from pipeline.sources.files import open_raw
from pipeline.sources.table_rows import Cells, Columns, without_nul
from tfrecords_schema.errors import InputError, one_line

PART_BYTES = 64 << 20  # smallest uncompressed size of a part, unless the file is smaller
BATCH_BYTES = 16 << 20
MAX_BATCH = 4096  # rows


class Parquet(NamedTuple):
    """The contents of a file's footer."""

    schema: pa.Schema
    row_groups: list[tuple[int, int]]  # (rows, bytes) of each row group


def read_footer(path: str) -> Parquet:
    """Reads the schema and the row groups of a file.

    Raises:
      InputError: the file is not Parquet, or is damaged.
    """
    with _open(path) as file:
        groups = [file.metadata.row_group(i) for i in range(file.num_row_groups)]
        sizes = [(group.num_rows, group.total_byte_size) for group in groups]
        return Parquet(file.schema_arrow, sizes)


def runs_of_row_groups(row_groups: Sequence[tuple[int, int]]) -> Iterator[tuple[int, int, int]]:
    """Yields (first row group, the one after the last, first row) of every part of a file."""
    first = row = rows = size = 0
    for i, (group_rows, group_bytes) in enumerate(row_groups, 1):
        rows, size = rows + group_rows, size + group_bytes
        if size >= PART_BYTES or i == len(row_groups):
            yield first, i, row
            first, row, rows, size = i, row + rows, 0, 0


def column_names(schema: pa.Schema) -> list[str]:
    """The column names, and names of fields of structs and of lists of them: `sentences.raw`."""
    return [name for field in schema for name in _names(field)]


def _names(field: pa.Field) -> Iterator[str]:
    yield field.name
    for inner in _fields(field.type):
        yield from (f"{field.name}.{name}" for name in _names(inner))


def _fields(type: pa.DataType) -> list[pa.Field]:
    """The fields of a struct, or of the structs in a list."""
    while _is_list(type):
        type = type.value_type
    return list(type) if types.is_struct(type) else []


def check_types(path: str, schema: pa.Schema, columns: Columns) -> None:
    """Raises InputError if a column has a wrong type."""
    expected = {
        "image": "a path (string), the image (binary) or both (struct of bytes and path)",
        "caption": "string or a list of strings",
        "split": "string",
        "id": "string or integer",
    }
    for kind, names in columns._asdict().items():
        ways = caption_ways(names, schema.names) if kind == "caption" else [(names,)]
        for way in ways if names else []:
            name, type = ".".join(way), _type_of(schema, way)
            if type is None:
                type, problem = schema.field(way[0]).type, f"has no field {'.'.join(way[1:])!r}"
            elif (
                _is_text(type)
                or (kind == "image" and is_inline(schema, name))
                or (kind == "caption" and _is_list(type) and _is_text(_plain(type.value_type)))
                or (kind == "id" and types.is_integer(type))
            ):
                continue
            else:
                problem = f"is {type}, expected {expected[kind]}"
            if kind == "caption" and (inner := _fields(type)):
                problem += f"; --caption_column={way[0]}.{inner[0].name} takes a field, of: "
                problem += ", ".join(field.name for field in inner)
            message = f"column {name!r} {problem}"
            raise InputError(f"--input: {path}: {message} (--{kind}_column={names})")


def _type_of(schema: pa.Schema, way: Way) -> pa.DataType | None:
    """The type at the end of `way`, as a list if a list is on the way; None if there is none."""
    type, is_list = _plain(schema.field(way[0]).type), False
    for name in way[1:]:
        while _is_list(type):
            type, is_list = type.value_type, True
        if not types.is_struct(type) or type.get_field_index(name) < 0:
            return None
        type = _plain(type.field(name).type)
    return pa.list_(type) if is_list and not _is_list(type) else type


def _plain(type: pa.DataType) -> pa.DataType:
    return type.value_type if types.is_dictionary(type) else type


def is_inline(schema: pa.Schema, image: str) -> bool:
    """Whether the column `image` holds image bytes."""
    type = schema.field(image).type
    if types.is_struct(type):
        names = [field.name for field in type]
        path_is_text = "path" not in names or _is_text(type.field("path").type)
        return "bytes" in names and _is_binary(type.field("bytes").type) and path_is_text
    return _is_binary(type)


def read_row_groups(
    path: str, first: int, after: int, columns: Columns, with_images: bool
) -> Iterator[tuple[Cells | str, bytes | None]]:
    """Yields (cells, image) of every row in the row groups from `first` to before `after`.

    Args:
      path: path of the file.
      first: the first row group.
      after: the row group after the last.
      columns: the columns to read; split and id may be empty.
      with_images: whether inline images are read; otherwise they are None.

    Yields:
      A row with an invalid name has a text instead of its cells, which is the reason.

    Raises:
      InputError: the file is damaged, or no longer has a column or row group.
    """
    with _open(path) as file:
        schema, metadata = file.schema_arrow, file.metadata
        ways = caption_ways(columns.caption, schema.names)
        needed = [columns.image, columns.split, columns.id, *(way[0] for way in ways)]
        missing = [name for name in needed if name and name not in schema.names]
        if missing or after > file.num_row_groups:
            raise InputError(f"--input: {path} has changed since the job began, run again")
        groups = [metadata.row_group(i) for i in range(first, after)]
        size, rows = sum(g.total_byte_size for g in groups), sum(g.num_rows for g in groups)
        batches = file.iter_batches(
            batch_size=max(1, min(MAX_BATCH, BATCH_BYTES * rows // max(size, 1))),
            row_groups=range(first, after),
            columns=[
                *(name for name in (columns.split, columns.id) if name),
                *(leaf for way in ways for leaf in _leaves(file, way)),
                *_image_columns(schema, columns.image, with_images),
            ],
            use_threads=False,
        )
        for batch in batches:
            nothing = [None] * batch.num_rows
            image, path_of_image = _images(batch, columns.image)
            split, id = (_values(batch.column(name)) if name else nothing for name in columns[2:4])
            captions = _captions(batch, ways)
            rows_of_cells = map(Cells, path_of_image or nothing, captions, split, id)
            if any(map(_hold_nul, (path_of_image or nothing, split, id))):
                yield from zip(map(without_nul, rows_of_cells), image or nothing, strict=True)
            else:
                yield from zip(rows_of_cells, image or nothing, strict=True)
            rows -= batch.num_rows
        if rows:
            raise InputError(f"--input: {path} is damaged: {rows} rows of its footer are not there")


def _hold_nul(values: list[Any]) -> bool:
    return b"\0" in b"".join([value for value in values if type(value) is bytes])


def _captions(batch: pa.RecordBatch, ways: Sequence[Way]) -> list[Any]:
    columns = [_values(batch.column(way[0]), way[1:]) for way in ways]
    if len(columns) == 1:
        return columns[0]
    return [together(cells) for cells in zip(*columns, strict=True)]


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
    """The images and the paths of a batch, each None if there is no such column."""
    if image not in batch.schema.names:
        return None, None
    column = batch.column(image)
    if types.is_struct(column.type):
        fields = dict(zip([field.name for field in column.type], column.flatten(), strict=True))
        found = [_values(fields[name]) if name in fields else None for name in ("bytes", "path")]
        return found[0], found[1]
    return (_values(column), None) if _is_binary(column.type) else (None, _values(column))


def _values(column: pa.Array, fields: Way = ()) -> list[Any]:
    """The values of a column, or of fields of its structs; text as bytes, lists flattened."""
    if types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if _is_list(column.type):
        inner = iter(_values(column.flatten(), fields))
        lengths = pc.list_value_length(column).to_pylist()  # None for a null, which has no values
        return [None if n is None else _flat(itertools.islice(inner, n)) for n in lengths]
    if fields:
        return _values(pc.struct_field(column, fields[0]), fields[1:])
    return (column.cast(pa.large_binary()) if _is_text(column.type) else column).to_pylist()


def _flat(values: Iterable[Any]) -> list[Any]:
    lists = (value if isinstance(value, list) else [value] for value in values)
    return [value for values in lists for value in values]


def _leaves(file: pq.ParquetFile, way: Way) -> list[str]:
    """The names of the file's leaf columns, in its own schema, that hold the values at `way`."""
    start, count = 0, 0
    fields: Iterable[pa.Field] = file.schema_arrow
    for name in way:
        for field in fields:
            if field.name == name:
                break
            start += _count_leaves(field.type)
        fields, count = _fields(field.type), _count_leaves(field.type)
    return [file.metadata.schema.column(i).path for i in range(start, start + count)]


def _count_leaves(type: pa.DataType) -> int:
    """The number of leaf columns of a type in a file; they are in the order of the schema."""
    if isinstance(type, pa.BaseExtensionType):
        return _count_leaves(type.storage_type)
    if types.is_struct(type):
        return sum(_count_leaves(field.type) for field in type)
    if types.is_map(type):
        return _count_leaves(type.key_type) + _count_leaves(type.item_type)
    return _count_leaves(type.value_type) if _is_list(type) else 1


def _is_text(type: pa.DataType) -> bool:
    """Whether a column may have text: some writers declare it as bytes, or as null if all are."""
    is_string = types.is_string(type) or types.is_large_string(type) or types.is_string_view(type)
    return is_string or _is_binary(type) or types.is_null(type)


def _is_binary(type: pa.DataType) -> bool:
    return types.is_binary(type) or types.is_large_binary(type) or types.is_binary_view(type)


def _is_list(type: pa.DataType) -> bool:
    return types.is_list(type) or types.is_large_list(type) or types.is_fixed_size_list(type)
