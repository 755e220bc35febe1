"""The source `table`: CSV, TSV, JSON Lines, JSON or Parquet, one file or many of one kind.

    image,caption,split              a row for every caption; rows of one image are joined
    a.jpg,A dog,train                the path is relative to --image_directory, else to the table
    a.jpg,"A dog, asleep",train

A row may have a list of captions, and a row of Parquet the image itself. Such images are copied to
the staging directory, see `staged_images`. An image is identified by the file that its path leads
to from the directory of its table, or by its bytes if they are in the table. A name in a column
identifies it only with --id_column. Lines count from 1, rows of Parquet and entries of JSON from 0.
"""

import functools
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

from pipeline.accounting.rejects import CAPTION, UNASSIGNED, Reject, printable, reject
from pipeline.sources import table_parquet, table_text
from pipeline.sources.caption_cells import caption_ways
from pipeline.sources.files import (
    WILDCARDS,
    check_directory,
    content_digest,
    find_files,
    join_path,
    same_path,
)
from pipeline.sources.mentions import Mention, Source
from pipeline.sources.split_names import BY_NAME, known_names, splits_of_paths
from pipeline.sources.staged_images import file_stamp, pack_path, stage_images
from pipeline.sources.table_rows import (
    ROW_ORDERS,
    Cells,
    Columns,
    TextFormat,
    check_columns,
    short_names,
    show,
    to_text,
    with_captions,
)
from pipeline.sources.text_files import encoding_of, open_bytes
from tfrecords_schema.errors import InputError
from tfrecords_schema.source_ids import number_of

FILE_ORDERS = ROW_ORDERS * 10**10  # orders of the rows of a file; 9 * 10**5 files fit
FOOTER_THREADS = 16
_ASIDE = (".txt", ".txt.gz", ".json", ".json.gz")


class TablePart(NamedTuple):
    """A file, or a run of row groups of a Parquet file."""

    path: str
    name: str  # short and unique
    number: int  # number of the file
    split: str  # split in the names of file and folder
    run: tuple[int, int, int] | None = None  # see `table_parquet.runs_of_row_groups`
    stamp: tuple[int, float] | None = None  # stamp of a file that has images


class InlineImage(NamedTuple):
    """An image in the table itself."""

    uri: str
    location: str  # "" if it is not staged
    content: str


def find_table(
    path: str,
    image_directory: str,
    columns: Columns,
    text: TextFormat,
    staging: str,
    split_names: Mapping[str, str],
) -> Source:
    """Finds a table.

    Args:
      path: a file, a pattern, or a directory of files.
      image_directory: the base of relative paths; '' means the directory of each file.
      columns: the column names; the split column may be absent if it has its default name.
      text: the format of tables of text.
      staging: directory for inline images; '' if no image is opened.
      split_names: names of splits in the split column, or in the names of the files if there is
        no such column; empty if the source's splits are ignored.

    Raises:
      InputError: there is no file; files of several kinds; a column is missing or of a wrong type.
    """
    files = _find_files(path)
    kind = table_text.table_kind(files[0])
    if image_directory and staging:
        check_directory(image_directory, "--image_directory")
    with ThreadPoolExecutor(FOOTER_THREADS) as threads:  # reads of footers may be slow
        described = list(threads.map(functools.partial(_describe, text=text), files))
    columns = _find_columns(files, [names for names, _ in described], kind, columns)
    if not split_names:
        columns = columns._replace(split="")
    # An empty `split` is not searched for: pandas names the column of its index "".
    by_column = bool(columns.split) and any(columns.split in names for names, _ in described)
    splits = [""] * len(files) if by_column else splits_of_paths(files, split_names)
    parts: list[TablePart] = []
    inline = False
    for i, (file, name) in enumerate(zip(files, short_names(files), strict=True)):
        part, footer = TablePart(file, name, i, splits[i]), described[i][1]
        if footer is None:
            parts.append(part)
            continue
        table_parquet.check_types(file, footer.schema, columns)
        is_inline = table_parquet.is_inline(footer.schema, columns.image)
        inline |= is_inline
        stamp = file_stamp(file) if is_inline else None
        for run in table_parquet.runs_of_row_groups(footer.row_groups):
            parts.append(part._replace(run=run, stamp=stamp))
    many_folders = len({file.rpartition("/")[0] for file in files}) > 1 and not image_directory
    names_may_collide = not columns.id and (many_folders or inline)
    read = functools.partial(
        read_part,
        columns=columns,
        text=text,
        image_directory=image_directory,
        staging=staging,
        split_names=split_names,
        by_column=by_column,
        full_ids=names_may_collide,
    )
    whence = f"column {columns.split!r}" if by_column else BY_NAME if any(splits) else ""
    return Source(
        parts,
        read,
        f"{path}, which is UTF-16" if kind != "parquet" and _is_utf16(files[0]) else path,
        image_directory or path,
        whence,
        tuple(sorted({*splits} - {""})),
        names_may_collide=names_may_collide,
    )


def read_part(
    part: TablePart,
    columns: Columns,
    text: TextFormat,
    image_directory: str,
    staging: str,
    split_names: Mapping[str, str],
    by_column: bool,
    full_ids: bool,
) -> Iterator[Mention | Reject]:
    """Reads one part.

    Args:
      part: the part to read.
      columns: see `find_table`; the split column is '' if it is absent or ignored.
      text: see `find_table`.
      image_directory: see `find_table`.
      staging: see `find_table`.
      split_names: names of splits; empty if the source's splits are ignored.
      by_column: whether the split is in the split column.
      full_ids: whether several images may have one name.

    Yields:
      A mention or a reject a caption, and at least one mention for every row that can be parsed.

    Raises:
      InputError: the file is damaged, a split has an unknown name, or an image would have to be
        downloaded.
    """
    for number, cells, inline in _rows(part, columns, text, staging):
        place = f"{part.name}:{number}"
        if isinstance(cells, str):
            yield reject(place, part.path, UNASSIGNED, CAPTION, ValueError(cells))
            continue
        where = f"--input: {part.path}: row {number}: column"
        split = part.split
        if by_column:
            split = _split(cells.split, f"{where} {columns.split!r}", split_names)
        elif columns.split and cells.split:
            raise InputError(
                f"{where} {columns.split!r} has {show(cells.split)}, but the first row has no such "
                "column: give it to every row; --split_fractions=0.8,0.1,0.1 splits by hash instead"
            )
        order = part.number * FILE_ORDERS + number * ROW_ORDERS
        mention = Mention(place, split, caption_id=place, order=order)
        try:
            mention = _identify(mention, cells, inline, part, columns, image_directory, full_ids)
        except _DownloadError as error:
            raise InputError(f"{where} {columns.image!r} {error}") from error
        except ValueError as error:
            yield reject(place, part.path, UNASSIGNED, CAPTION, error)
            yield mention._replace(caption_id="", order=0, problem=str(error))
        else:
            yield from with_captions(mention, cells.caption, part.path)


class _DownloadError(ValueError):
    """The path of an image is a web address."""


def _identify(
    mention: Mention,
    cells: Cells,
    inline: InlineImage | None,
    part: TablePart,
    columns: Columns,
    image_directory: str,
    full_ids: bool,
) -> Mention:
    """Fills in the identity, the names and the file of the mention's image.

    Raises:
      ValueError: a cell has no valid name of an image.
    """
    place = mention.key
    path = to_text(cells.image)
    if path is None:
        raise ValueError(f"the image is {show(cells.image)}: expected a path")
    path = path.strip()
    if inline is not None and inline.content:
        mention = mention._replace(
            key=f"{mention.split}:{inline.content}",
            image_id=printable(path) or place,
            full_id=place,
            **inline._asdict(),
        )
    elif path:
        if path.lower().startswith(("http://", "https://")):
            raise _DownloadError(
                f"has {show(path)}: beamcap downloads no images; fetch them first, for instance "
                "with img2dataset, and give --source=webdataset"
            )
        folder, _, _ = part.path.rpartition("/")
        uri = printable(join_path(image_directory or folder, path))
        short_folder = "" if image_directory else part.name.rpartition("/")[0]
        full_id = printable(join_path(short_folder, path)) if full_ids else ""
        image_id = printable(path)
        mention = mention._replace(key=same_path(uri), uri=uri, image_id=image_id, full_id=full_id)
    else:
        mention = mention._replace(problem=f"column {columns.image!r} is empty")
    if not columns.id:
        return mention
    is_number = isinstance(cells.id, int) and not isinstance(cells.id, bool)
    name = str(cells.id) if is_number else to_text(cells.id)
    if name is None or not name.strip():
        raise ValueError(f"the id is {show(cells.id)}: expected a string or an integer")
    return mention._replace(
        key=printable(name.strip()),
        has_integer_id=is_number and number_of(name) == cells.id,
        image_id="",
        full_id="",
    )


def _rows(
    part: TablePart, columns: Columns, text: TextFormat, staging: str
) -> Iterator[tuple[int, Cells | str, InlineImage | None]]:
    """Yields (row, its cells or its fault, its inline image)."""
    if part.run is None:
        for number, row in table_text.read_table(part.path, text, columns):
            yield number, row, None
        return
    first_group, after, first_row = part.run
    read = functools.partial(table_parquet.read_row_groups, part.path, first_group, after, columns)
    if part.stamp is None:
        for number, (cells, _) in enumerate(read(False), first_row):
            yield number, cells, None
        return
    if not staging:  # no image is opened, but its bytes identify it
        for number, (cells, image) in enumerate(read(True), first_row):
            content = content_digest(image) if image else ""
            yield number, cells, InlineImage(f"{part.path}#row={number}", "", content)
        return
    pack = pack_path(staging, part.path, columns.image, part.run, part.stamp)
    for number, staged in enumerate(stage_images(pack, read), first_row):
        uri = f"{part.path}#row={first_row + staged.first}"
        yield number, staged.row, InlineImage(uri, staged.location, staged.content)


def _find_files(path: str) -> list[str]:
    """The files of a table, all of one kind."""
    files = find_files(path, table_text.SUFFIXES)
    if path not in files and not any(mark in path for mark in WILDCARDS):  # a directory
        tables = [file for file in files if not _is_aside(file)]
        files = tables or _find_below(path) or files
    for file in files:
        if table_text.table_kind(file) != table_text.table_kind(files[0]):
            raise InputError(
                f"--input: {files[0]} and {file} are tables of two kinds: name one of them, or a "
                "pattern such as DIR/*.csv"
            )
    return files


def _is_aside(path: str) -> bool:
    """Whether a file is not a table but often next to one: README.txt, dataset_info.json."""
    if not path.lower().endswith(_ASIDE):
        return False
    if table_text.table_kind(path) != "json":
        return True
    try:
        table_text.column_names(path, TextFormat())
    except InputError as error:
        return "is one JSON object" in str(error)
    return False


def _find_below(directory: str) -> list[str]:
    """The tables in the folders of a directory that has none itself."""
    suffixes = tuple(suffix for suffix in table_text.SUFFIXES if suffix not in _ASIDE)
    try:
        return find_files(directory, suffixes)
    except InputError:
        return []


def _is_utf16(path: str) -> bool:
    with open_bytes(path) as file:
        return "16" in encoding_of(file.read(4))


def _split(value: Any, where: str, names: Mapping[str, str]) -> str:
    text = to_text(value)
    name = None if text is None else text.strip().lower()
    if name and name in names:
        return names[name]
    if name == "":
        return ""
    raise InputError(f"{where} has {show(value)}, expected one of: {known_names(names)}")


def _describe(path: str, text: TextFormat) -> tuple[list[str], table_parquet.Parquet | None]:
    """The column names, and the footer of a Parquet file."""
    if table_text.table_kind(path) == "parquet":
        footer = table_parquet.read_footer(path)
        return table_parquet.column_names(footer.schema), footer
    return table_text.column_names(path, text), None


def _find_columns(
    files: Sequence[str], names: Sequence[list[str]], kind: str, columns: Columns
) -> Columns:
    """Checks that all files have `columns`; removes the split column if it is absent.

    Raises:
      InputError: a column is missing, repeated, or only in some of the files.
    """
    check_columns(files[0], names[0], columns)
    if kind in ("jsonl", "json"):  # an entry may omit any key
        return columns
    captions = [way[0] for way in caption_ways(columns.caption, names[0])]
    for file, own in zip(files, names, strict=True):
        for name in filter(None, (columns.image, *captions, columns.split, columns.id)):
            if (name in own) != (name in names[0]):
                has, lacks = (file, files[0]) if name in own else (files[0], file)
                raise InputError(f"--input: {has} has a column {name!r}, {lacks} has none")
    return columns if columns.split in names[0] else columns._replace(split="")
