"""Tables of images and captions: CSV, TSV, JSON Lines or Parquet, one file or many of a kind.

    image,caption,split              a row for every caption; rows of one image are put together
    a.jpg,A dog,train                the path is relative to --image_directory, else to the table
    a.jpg,"A dog, asleep",train

A row of JSONL or Parquet may hold a list of captions, and a row of Parquet the image itself: such
images are copied to the staging directory, see `staged_images`. An image's id is the `id` column
where one is named, else its path, else file:row. Lines count from 1, rows of Parquet from 0.
"""

import functools
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from apache_beam.io.filesystems import FileSystems

from pipeline.rejects import CAPTION, UNASSIGNED, Reject, printable, reject
from pipeline.sources import table_parquet, table_text
from pipeline.sources.files import find_files, is_directory
from pipeline.sources.mentions import Mention, Source
from pipeline.sources.staged_images import file_stamp, pack_path, stage_images
from pipeline.sources.table_rows import (
    ROW_ORDERS,
    SPLIT_NAMES,
    Cells,
    Columns,
    short_names,
    show,
    to_text,
    with_captions,
)
from tfrecords_schema.errors import InputError

KINDS = {".csv": "csv", ".tsv": "tsv", ".jsonl": "jsonl", ".ndjson": "jsonl", ".parquet": "parquet"}
FILE_ORDERS = ROW_ORDERS * 10**10  # the same for the rows of a file; 9 * 10**5 files fit
FOOTER_THREADS = 16


def find_table(path: str, image_directory: str, columns: Columns, staging: str) -> Source:
    """Finds a table.

    Args:
      path: a file, a pattern, or a directory of files.
      image_directory: that relative paths start at; '' is the directory of each file.
      columns: their names; the default name of the split column may be absent.
      staging: directory for inline images; '' where the images are not wanted.

    Raises:
      InputError: there is no file; files of several kinds; a column is missing or of a wrong type;
        images that would have to be downloaded.
    """
    files = find_files(path, tuple(KINDS))
    for file in files:
        if _kind(file) != _kind(files[0]):
            raise InputError(f"--input: {files[0]} and {file} are tables of two kinds")
    if image_directory and not is_directory(image_directory):
        raise InputError(f"--image_directory={image_directory} does not exist or is empty")
    with ThreadPoolExecutor(FOOTER_THREADS) as threads:  # footers may lie far away
        described = list(threads.map(_describe, files))
    first_names = described[0][0]
    for name, kind in zip(columns, columns._fields, strict=True):
        _check_column(files[0], first_names, name, kind)
    has_splits = columns.split in first_names
    if _kind(files[0]) != "jsonl":  # in which any line may leave out a key
        for file, (names, _) in zip(files, described, strict=True):
            _check_same(file, names, files[0], first_names, columns)
        columns = columns if has_splits else columns._replace(split="")
    parts: list[tuple[Any, ...]] = []
    for i, (file, name) in enumerate(zip(files, short_names(files), strict=True)):
        footer = described[i][1]
        if footer is None:
            parts.append((file, name, i, None, None))
            continue
        table_parquet.check_types(file, footer.schema, columns)
        is_inline = table_parquet.is_inline(footer.schema, columns.image)
        stamp = file_stamp(file) if is_inline else None
        for run in table_parquet.runs_of_row_groups(footer.row_groups):
            parts.append((file, name, i, run, stamp))
    _refuse_downloads(parts, columns)
    read = functools.partial(
        read_part,
        columns=columns,
        image_directory=image_directory,
        staging=staging,
        has_splits=has_splits,
    )
    return Source(parts, read, path, image_directory or path, has_splits)


def read_part(
    part: tuple[Any, ...],
    columns: Columns,
    image_directory: str,
    staging: str,
    has_splits: bool,
) -> Iterator[Mention | Reject]:
    """Reads one part.

    Args:
      part: (file, its short name, its number, run of row groups, stamp); the run is that of a
        Parquet file, the stamp that of one with inline images.
      columns: see `find_table`; the split column is '' where there is none.
      image_directory: see `find_table`.
      staging: see `find_table`.
      has_splits: whether the first row has a split.

    Yields:
      A mention or a reject a caption; of every row that can be parsed at least one mention.

    Raises:
      InputError: the file is damaged, or a split has no name that is known.
    """
    path, name, file_number, _, _ = part
    directory = image_directory or path[: path.rfind("/") + 1]
    for number, cells, uri, location in _rows(part, columns, staging):
        place = f"{name}:{number}"
        if isinstance(cells, str):
            yield reject(place, path, UNASSIGNED, CAPTION, ValueError(cells))
            continue
        where = f"--input: {path}: row {number}: column {columns.split!r}"
        if cells.split and not has_splits:
            raise InputError(f"{where} has {show(cells.split)}, but the first row has no split")
        image_id, image_path, problem = _identify(cells, columns, place)
        if image_path and not uri:
            uri = printable(_join(directory, image_path))
        order = file_number * FILE_ORDERS + number * ROW_ORDERS
        split = _split(cells.split, where)
        mention = Mention(image_id, split, uri, location, caption_id=place, order=order)
        if problem:
            yield reject(place, path, UNASSIGNED, CAPTION, ValueError(problem))
            yield Mention(place, split)
        else:
            yield from with_captions(mention, cells.caption, path)


def _rows(
    part: tuple[Any, ...], columns: Columns, staging: str
) -> Iterator[tuple[int, Cells | str, str, str]]:
    """(row, its cells or what is wrong with it, URI and location of its inline image)."""
    path, _, _, run, stamp = part
    if run is None:
        delimiter = table_text.DELIMITERS.get(_kind(path), "")
        lines = (
            table_text.read_csv(path, delimiter, columns)
            if delimiter
            else table_text.read_jsonl(path, columns)
        )
        for number, row in lines:
            yield number, row, "", ""
        return
    first_group, after, first_row = run
    read = functools.partial(table_parquet.read_row_groups, path, first_group, after, columns)
    if stamp is None or not staging:
        for number, (cells, _) in enumerate(read(False), first_row):
            yield number, cells, "", ""
        return
    pack = pack_path(staging, path, columns.image, run, stamp)
    for number, (cells, location, first) in enumerate(stage_images(pack, read), first_row):
        yield number, cells, f"{path}#row={first_row + first}" if location else "", location


def _identify(cells: Cells, columns: Columns, place: str) -> tuple[str, str, str]:
    """(image id, path of the image, what is wrong with them)."""
    path = to_text(cells.image)
    if path is None:
        return "", "", f"the image is {show(cells.image)}: expected a path"
    path = path.strip()
    if not columns.id:
        return printable(path) or place, path, ""
    is_number = isinstance(cells.id, int) and not isinstance(cells.id, bool)
    name = str(cells.id) if is_number else to_text(cells.id)
    if name is None or not name.strip():
        return "", "", f"the id is {show(cells.id)}: expected a string or an integer"
    return printable(name.strip()), path, ""


def _split(value: Any, where: str) -> str:
    text = to_text(value)
    name = None if text is None else text.strip().lower()
    if name and name in SPLIT_NAMES:
        return SPLIT_NAMES[name]
    if name == "":
        return ""
    raise InputError(f"{where} has {show(value)}, expected one of: {', '.join(SPLIT_NAMES)}")


def _join(directory: str, path: str) -> str:
    is_whole = "://" in path or path.startswith("/") or not directory
    return path if is_whole else FileSystems.join(directory, path)


def _describe(path: str) -> tuple[list[str], table_parquet.Parquet | None]:
    """The names of the columns, and of a Parquet file the footer."""
    if _kind(path) == "parquet":
        footer = table_parquet.read_footer(path)
        return footer.schema.names, footer
    if _kind(path) == "jsonl":
        return table_text.jsonl_keys(path), None
    return table_text.csv_header(path, table_text.DELIMITERS[_kind(path)]), None


def _check_column(path: str, names: list[str], name: str, kind: str) -> None:
    optional = (kind == "id" and not name) or (kind == "split" and name in ("", "split"))
    if names.count(name) != 1 and not (optional and name not in names):
        problem = f"has {names.count(name) or 'no'} column{'s' * (name in names)} {name!r}"
        has = ", ".join(map(show, names))
        raise InputError(f"--input: {path} {problem} (--{kind}_column={name}); it has: {has}")


def _check_same(
    path: str, names: list[str], first: str, first_names: list[str], columns: Columns
) -> None:
    for name in filter(None, columns):
        if (name in names) != (name in first_names):
            has, lacks = (path, first) if name in names else (first, path)
            raise InputError(f"--input: {has} has a column {name!r}, {lacks} has none")


def _refuse_downloads(parts: list[tuple[Any, ...]], columns: Columns) -> None:
    if not parts:
        return
    for number, cells, _, _ in _rows(parts[0], columns, staging=""):
        image = None if isinstance(cells, str) else to_text(cells.image)
        if image and image.strip().lower().startswith(("http://", "https://")):
            raise InputError(
                f"--input: {parts[0][0]}: row {number}: column {columns.image!r} has "
                f"{show(image)}: beamcap downloads no images; fetch them first, for instance "
                "with img2dataset, and give --source=webdataset"
            )
        return


def _kind(path: str) -> str:
    return KINDS[path[path.rfind(".") :].lower()]
