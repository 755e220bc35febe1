"""Rows of CSV, TSV and JSON Lines files, read line by line.

    image,caption,split                                    the header of a CSV or TSV file
    a.jpg,"A dog, two cats",train

    {"image": "a.jpg", "caption": ["A dog", "A cat"]}      a line of a JSONL file

Python's own parsers, not Arrow's: Arrow's JSON reader fails the whole file for one bad line, and
its CSV reader takes a quote that nobody closed for a caption which runs to the next quote or to the
end of the file, rows and all, without a word. Here such a line is rejected by itself, and what the
quote had swallowed is read again. Both parsers are far quicker than what comes after them.
"""

import collections
import csv
import json
from collections.abc import Iterable, Iterator

from pipeline.rejects import printable
from pipeline.sources.files import read_lines
from pipeline.sources.table_rows import Cells, Columns, show
from tfrecords_schema.errors import InputError, one_line

DELIMITERS = {"csv": ",", "tsv": "\t"}


def csv_header(path: str, delimiter: str) -> list[str]:
    """The names of the columns.

    Raises:
      InputError: the file is empty, or its first line cannot be parsed.
    """
    return _header(path, _csv_records(path, delimiter))


def read_csv(path: str, delimiter: str, columns: Columns) -> Iterator[tuple[int, Cells | str]]:
    """(line, cells) of every row, or (line, what is wrong with it).

    Raises:
      InputError: see `csv_header`; or it lacks a column that `columns` names.
    """
    records = _csv_records(path, delimiter)
    header = _header(path, records)
    missing = [name for name in columns if name and name not in header]
    if missing:
        raise InputError(f"--input: {path} has no column {missing[0]!r}, unlike the first file")
    places = [header.index(name) if name else -1 for name in columns]
    for number, record in records:
        if isinstance(record, str):
            yield number, record
        elif len(record) != len(header):
            yield number, f"{len(record)} columns, expected {len(header)} as in the header"
        else:
            yield number, Cells(*(None if place < 0 else record[place] for place in places))


def jsonl_keys(path: str) -> list[str]:
    """The keys of the first line that is not blank.

    Raises:
      InputError: there is none, or it is no JSON object.
    """
    for number, values in _json_objects(path):
        if isinstance(values, str):
            raise InputError(f"--input: {path}: line {number}: {values}")
        return list(values)
    raise InputError(f"--input: {path} is empty")


def read_jsonl(path: str, columns: Columns) -> Iterator[tuple[int, Cells | str]]:
    """(line, cells) of every line, or (line, what is wrong with it)."""
    for number, values in _json_objects(path):
        if isinstance(values, str):
            yield number, values
        else:
            yield number, Cells(*(values.get(name) if name else None for name in columns))


def _json_objects(path: str) -> Iterator[tuple[int, dict | str]]:
    for number, line in enumerate(read_lines(path), 1):
        if not line.strip():
            continue
        try:
            values = json.loads(line)
        except (ValueError, RecursionError) as error:
            yield number, f"not JSON: {one_line(error)}: {show(line.strip())}"
            continue
        yield number, values if isinstance(values, dict) else f"no JSON object: {show(values)}"


class _Lines:
    """Lines for a CSV reader, which may be given back to be read again."""

    def __init__(self, lines: Iterable[str]):
        self._rest = enumerate(lines, 1)
        self._again: collections.deque = collections.deque()
        self.taken: list[tuple[int, str]] = []  # (number, line), of the record being read

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        numbered = self._again.popleft() if self._again else next(self._rest)
        self.taken.append(numbered)
        return numbered[1]

    def give_back_all_but_one(self) -> None:
        self._again.extendleft(reversed(self.taken[1:]))


def _csv_records(path: str, delimiter: str) -> Iterator[tuple[int, list[str] | str]]:
    """(its first line, the record or what is wrong) for all but blank lines."""
    lines = _Lines(read_lines(path))
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    while True:
        lines.taken.clear()
        record: list[str] | str
        try:
            record = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            # A quote that is not closed swallows lines, up to the next quote, to the end of the
            # file or to the reader's limit for a field.
            record = f"{error}, is a quote not closed? {show(lines.taken[0][1].strip())}"
            lines.give_back_all_but_one()
        if record:
            yield lines.taken[0][0], record


def _header(path: str, records: Iterator[tuple[int, list[str] | str]]) -> list[str]:
    for _, record in records:
        if isinstance(record, str):
            raise InputError(f"--input: {path}: the header: {record}")
        return [printable(name.strip()) for name in record]
    raise InputError(f"--input: {path} is empty")
