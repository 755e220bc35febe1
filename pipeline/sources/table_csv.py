"""Reads rows of CSV and TSV files, line by line.

    image,caption,split                 the first line has the column names, unless --columns does
    a.jpg,"A dog, two cats",train       quotes enclose cells; with tab delimiters they are text

An unclosed quote makes one cell of all lines up to the next quote, including rows, and no parser
detects it. So a cell with line breaks is rejected if one of its lines looks like a row of the
table. If the parser does detect it, only the first line is rejected, and the other lines of the
cell are read again. At the end the lines are counted: each is in one row or reject.
"""

import collections
import csv
import operator
from collections.abc import Iterator, Sequence

from pipeline.accounting.rejects import printable
from pipeline.sources.caption_cells import caption_ways, dig, together
from pipeline.sources.table_rows import Cells, Columns, check_columns, show
from pipeline.sources.text_files import read_lines
from tfrecords_schema.errors import InputError

TAB = "\t"
Taken = list[tuple[int, str]]  # the non-blank lines of a record, each (number, line)


def csv_header(
    path: str, delimiter: str = "", quoting: str = "", header: Sequence[str] = ()
) -> list[str]:
    """The column names; for the arguments see `read_csv`.

    Raises:
      InputError: the file is empty, or its first line cannot be parsed.
    """
    if header:
        return list(header)
    return _header(path, _Lines(path), _delimiter(path, delimiter), quoting)


def read_csv(
    path: str, delimiter: str, quoting: str, header: Sequence[str], columns: Columns
) -> Iterator[tuple[int, Cells | str]]:
    """Yields (line, cells) of every row, or (line, fault).

    Args:
      path: path of the file.
      delimiter: the delimiter of cells; '' means a comma, or a tab if the suffix is .tsv.
      quoting: csv, or none if quotes are text; '' means none for tabs, csv for other delimiters.
      header: the column names; empty if they are in the first line.
      columns: the columns to read.

    Raises:
      InputError: see `csv_header`; or the file lacks one of `columns`.
      RuntimeError: a line is lost, which is a defect of this module.
    """
    delimiter = _delimiter(path, delimiter)
    lines, used = _Lines(path), 0
    if header:
        names = list(header)
    else:
        names = _header(path, lines, delimiter, quoting)
        used = lines.count
    check_columns(path, names, columns)
    width = len(names)
    # An absent column has the index of the None that is appended to every row.
    image, split, id = (
        names.index(name) if name in names else width
        for name in (columns.image, columns.split, columns.id)
    )
    ways = [(names.index(way[0]), way[1:]) for way in caption_ways(columns.caption, names)]
    is_plain = len(ways) == 1 and not ways[0][1]
    pick = operator.itemgetter(image, ways[0][0], split, id)
    for taken, cells, error in _records(lines, delimiter, quoting):
        used += len(taken)
        problem = error or _problem(taken, cells, width, bool(header))
        if not problem and len(taken) > 1:
            problem = _looks_like_rows(taken, cells, delimiter, width, image)
        if problem:
            yield taken[0][0], problem
            for number, _ in taken[1:]:
                yield number, f"within the cell that begins on line {taken[0][0]}: {problem}"
            continue
        row = Cells(*pick([*cells, None]))
        if not is_plain:
            found = together([dig(cells[place], fields) for place, fields in ways])
            row = row._replace(caption=found)
        yield taken[0][0], row
    if used != lines.count:
        raise RuntimeError(f"{path}: {lines.count} lines were read, {used} are accounted for")


def _problem(taken: Taken, cells: list[str], width: int, is_given: bool) -> str:
    if len(cells) != width:
        where = "--columns" if is_given else "the header"
        return f"{len(cells)} columns, expected {width} as in {where}"
    if "\0" in taken[0][1] or (len(taken) > 1 and any("\0" in line for _, line in taken)):
        text = show(taken[0][1].strip())
        return f"holds a NUL byte, is the file UTF-16 without a byte order mark? {text}"
    return ""


def _looks_like_rows(taken: Taken, cells: list[str], delimiter: str, width: int, image: int) -> str:
    """The fault of a cell with line breaks that may have swallowed rows; empty if it has not.

    A line looks like a row if it has the same number of cells, with or without regard to quotes.
    It also does if the cell of its image, counted from either end, has this record's suffix.
    """
    path = cells[image].strip()
    suffix = path[path.rfind(".") :].lower() if "." in path[-6:] else "\0"
    for _, line in taken[1:]:
        for row in (_split_quoted(line, delimiter), line.rstrip("\n").split(delimiter)):
            ends = [row[i] for i in (image, image - width) if -len(row) <= i < len(row)]
            is_image = any(cell.strip().lower().endswith(suffix) for cell in ends)
            if len(row) > 1 and (len(row) == width or is_image):
                return (
                    f"lines {taken[0][0]} to {taken[-1][0]} are one quoted cell whose lines look "
                    f"like rows: is a quote not closed? {show(taken[0][1].strip())}"
                )
    return ""


def _split_quoted(line: str, delimiter: str) -> list[str]:
    try:
        return next(csv.reader([line], delimiter=delimiter), [])
    except csv.Error:
        return []


class _Lines:
    """The lines of a file for a CSV reader, with a way to read lines again."""

    def __init__(self, path: str):
        self.count = 0  # number of lines that are not blank, each counted once
        self.taken: Taken = []  # lines of the record being read, including blank lines
        self._rest = enumerate(read_lines(path), 1)
        self._again: collections.deque = collections.deque()

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        if self._again:
            numbered = self._again.popleft()
        else:
            number, line = next(self._rest)
            if "\r" in line:  # the CSV reader would end a row at each
                line = line.rstrip("\r\n").replace("\r", " ") + "\n"
            if line[0] not in " \n" or not _is_blank(line):
                self.count += 1
            numbered = number, line
        self.taken.append(numbered)
        return numbered[1]

    def give_back_all_but_one(self) -> None:
        self._again.extendleft(reversed(self.taken[1:]))
        del self.taken[1:]


def _records(lines: _Lines, delimiter: str, quoting: str) -> Iterator[tuple[Taken, list[str], str]]:
    """Yields (lines, cells, fault) of every record; blank lines are skipped."""
    reader: Iterator[list[str]]
    if quoting == "none" or (not quoting and delimiter == TAB):
        reader = (line.rstrip("\n").split(delimiter) for line in lines)
    else:
        reader = csv.reader(lines, delimiter=delimiter, strict=True)
    while True:
        lines.taken = []
        cells: list[str] = []
        problem = ""
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            # An unclosed quote swallows lines up to the next quote, the end of the file or the
            # reader's limit for a field.
            problem = f"{error}, is a quote not closed? {show(lines.taken[0][1].strip())}"
            lines.give_back_all_but_one()
        taken = lines.taken
        if len(taken) > 1 or len(cells) < 2:  # otherwise no line is blank: it has a delimiter
            taken = [numbered for numbered in taken if not _is_blank(numbered[1])]
        if taken:
            yield taken, cells, problem


def _is_blank(line: str) -> bool:
    return not line.strip(" \n")


def _header(path: str, lines: _Lines, delimiter: str, quoting: str) -> list[str]:
    for taken, cells, error in _records(lines, delimiter, quoting):
        problem = error or _problem(taken, cells, len(cells), False)
        if not problem and len(taken) > 1:
            problem = _looks_like_rows(taken, cells, delimiter, len(cells), 0)
        if problem:
            raise InputError(f"--input: {path}: the header: {problem}")
        return [printable(name.strip()) for name in cells]
    raise InputError(f"--input: {path} is empty")


def _delimiter(path: str, delimiter: str) -> str:
    return delimiter or (TAB if path.lower().removesuffix(".gz").endswith(".tsv") else ",")
