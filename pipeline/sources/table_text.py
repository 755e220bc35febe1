"""Reads tables of text by their file names: CSV, TSV, JSON Lines, JSON."""

from collections.abc import Iterator

from pipeline.sources import table_csv, table_json
from pipeline.sources.table_rows import Cells, Columns, TextFormat

_TEXT = {
    ".csv": "csv",
    ".txt": "csv",
    ".tsv": "tsv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "json",
}
KINDS = _TEXT | {f"{suffix}.gz": kind for suffix, kind in _TEXT.items()} | {".parquet": "parquet"}
SUFFIXES = tuple(KINDS)


def table_kind(path: str) -> str:
    """csv, tsv, jsonl, json or parquet, by the suffix of a file; '' if it is no table."""
    name = path.lower()
    return next((kind for suffix, kind in KINDS.items() if name.endswith(suffix)), "")


def column_names(path: str, text: TextFormat) -> list[str]:
    """The columns of a table of text; for JSON the keys of its first object.

    Fields of inner JSON objects are listed too, as `sentences.raw`.

    Raises:
      InputError: the file is empty or not of its kind, or its beginning cannot be parsed.
    """
    match table_kind(path):
        case "jsonl":
            return table_json.jsonl_keys(path)
        case "json":
            return table_json.json_keys(path)
        case _:
            return table_csv.csv_header(path, *text)


def read_table(path: str, text: TextFormat, columns: Columns) -> Iterator[tuple[int, Cells | str]]:
    """Yields (number, cells) of every row of a table of text, or (number, fault).

    The number is that of the line, from 1, or of the entry of a JSON list, from 0.

    Raises:
      InputError: see `column_names`; the file is damaged, or lacks a column.
    """
    match table_kind(path):
        case "jsonl":
            return table_json.read_jsonl(path, columns)
        case "json":
            return table_json.read_json_table(path, columns)
        case _:
            return table_csv.read_csv(path, *text, columns)
