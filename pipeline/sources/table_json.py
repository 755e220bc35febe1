"""Reads rows of JSON files: an object a line, or one list of objects.

    {"image": "a.jpg", "caption": ["A dog", "A cat"]}      a line of a .jsonl, .ndjson or .json file

    [{"image": "a.jpg", "caption": "A dog"}, ...]          a .json file, read as a stream

It uses Python's own parser. Arrow's would fail the whole file for one bad line.
"""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from pipeline.accounting.rejects import printable
from pipeline.sources.caption_cells import find_captions
from pipeline.sources.json_files import read_json_list
from pipeline.sources.table_rows import Cells, Columns, show, without_nul
from pipeline.sources.text_files import read_lines, read_utf8
from tfrecords_schema.errors import InputError, one_line

HEAD = 16 << 20  # largest size in bytes of the first line's object
DEPTH = 3  # nesting of the fields that a message lists
_DECODER = json.JSONDecoder(parse_constant=lambda name: None)  # NaN and infinities become None


def jsonl_keys(path: str) -> list[str]:
    """The keys of the first non-blank line, and of its inner objects as `sentences.raw`.

    Raises:
      InputError: there is no such line, or it is not a JSON object.
    """
    for number, values in _json_lines(path):
        return _keys(path, f"line {number}", values)
    raise InputError(f"--input: {path} is empty")


def json_keys(path: str) -> list[str]:
    """The keys of the first object of a .json file, see `jsonl_keys`.

    Raises:
      InputError: the file is neither a list of objects nor an object a line.
    """
    if not _is_list(path):
        return jsonl_keys(path)
    return _keys(path, "entry 0", _object(next(read_json_list(path, ""))))


def read_jsonl(path: str, columns: Columns) -> Iterator[tuple[int, Cells | str]]:
    """Yields (line from 1, cells) of every line, or (line, fault)."""
    for number, values in _json_lines(path):
        yield number, _cells(values, columns)


def read_json_table(path: str, columns: Columns) -> Iterator[tuple[int, Cells | str]]:
    """Yields (entry from 0, cells) of a .json list, or (line, cells) of a file of object lines.

    Raises:
      InputError: see `json_keys`; or the file is not valid JSON.
    """
    if not _is_list(path):
        yield from read_jsonl(path, columns)
        return
    for number, entry in enumerate(read_json_list(path, "")):
        yield number, _cells(_object(entry), columns)


def _json_lines(path: str) -> Iterator[tuple[int, dict | str]]:
    for number, line in enumerate(read_lines(path), 1):
        if not line.strip():
            continue
        try:
            yield number, _object(_DECODER.decode(line))
        except (ValueError, RecursionError) as error:
            yield number, f"not JSON: {one_line(error)}: {show(line.strip())}"


def _object(value: Any) -> dict | str:
    return value if isinstance(value, dict) else f"no JSON object: {show(value)}"


def _cells(values: dict | str, columns: Columns) -> Cells | str:
    if isinstance(values, str):
        return values
    captions = find_captions(values, columns.caption)
    split = values.get(columns.split) if columns.split else None
    id = values.get(columns.id) if columns.id else None
    return without_nul(Cells(values.get(columns.image), captions, split, id))


def _keys(path: str, place: str, values: dict | str) -> list[str]:
    if isinstance(values, str):
        raise InputError(f"--input: {path}: {place}: {values}")
    return list(dict.fromkeys(map(printable, _fields(values, DEPTH))))


def _fields(values: Mapping[str, Any], depth: int) -> Iterator[str]:
    yield from values
    for name, value in values.items():
        structs = value if isinstance(value, list) else [value]
        for struct in structs:
            if isinstance(struct, dict) and depth > 1:
                yield from (f"{name}.{field}" for field in _fields(struct, depth - 1))


def _is_list(path: str) -> bool:
    """Whether a .json file is one list; otherwise it has an object a line.

    Raises:
      InputError: the file is neither.
    """
    head, line, rest = bytearray(), b"", b""
    for chunk in read_utf8(path):
        head += chunk
        start = re.search(rb"\S", head)
        if start and start[0] == b"[":
            return True
        text = bytes(head[start.start() :] if start else b"")
        line = re.match(rb"[^\r\n]*", text)[0].rstrip()  # type: ignore[index]
        rest = text[len(line) :].lstrip()
        if rest or len(head) > HEAD:
            break
    if rest and (_is_object(line) or (line.endswith(b"}") and rest.startswith(b"{"))):
        return False
    raise _no_table(path, bytes(head).strip())


def _is_object(line: bytes) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except (ValueError, RecursionError):
        return False


def _no_table(path: str, head: bytes) -> InputError:
    expected = "expected a list of objects, or an object a line"
    if not head:
        return InputError(f"--input: {path} is empty, {expected}")
    if not head.startswith(b"{"):
        return InputError(f"--input: {path} begins with {show(head[:80])}, {expected}")
    if re.search(rb'"(images|annotations)"\s*:', head):
        way = "where it is COCO's or Karpathy's, --source=coco or --source=karpathy reads it"
    else:
        way = "pandas writes such a list with to_json(orient='records')"
    return InputError(f"--input: {path} is one JSON object, {expected}; {way}")
