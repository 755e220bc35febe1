"""Finds captions in the cells of a row: texts, lists of texts, and fields of structs.

A dog                                    one caption
["A dog", "A cat"]                       a list in JSON, in a cell that holds text
['A dog', "A dog's tail"]                the same in Python's syntax, as pandas writes it
['A dog' 'A cat']                        the same in NumPy's syntax, as pandas writes it
[1] a dog                                not a list of texts: one caption

caption_0,caption_1                      the captions of several columns
sentences.raw                            field `raw` of a struct, or of a list of structs
"""

import ast
import json
import re
from collections.abc import Container, Mapping, Sequence
from typing import Any

Way = tuple[str, ...]  # path to a value: a column, then fields of structs

_ITEM = re.compile(
    r"""'([^'\\]*(?:\\.[^'\\]*)*)'|"([^"\\]*(?:\\.[^"\\]*)*)"|(?:None|nan|NaN|null)\b""", re.DOTALL
)
_GAP = re.compile(r"\s*,\s*|\s+|(?=\]$)")
_ESCAPE = re.compile(
    r"\\(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U(00[01][0-9a-fA-F]{5})|(.))", re.DOTALL
)
_CONTROL = {"n": "\n", "r": "\r", "t": "\t"}


def caption_ways(caption: str, columns: Container[str]) -> list[Way]:
    """The ways to the captions that `--caption_column` names.

    Args:
      caption: the value of the flag.
      columns: the columns of the table. A column with exactly the flag's value as its name takes
        precedence, even if it has dots or commas.
    """
    if caption in columns:
        return [(caption,)]
    return [_way(name.strip(), columns) for name in caption.split(",")]


def _way(name: str, columns: Container[str]) -> Way:
    words = name.split(".")
    for end in range(len(words), 0, -1):
        if (column := ".".join(words[:end])) in columns:
            return (column, *words[end:])
    return (words[0], *words[1:])


def find_captions(record: Mapping[str, Any], caption: str) -> Any:
    """The value of a row, a dict by column name, that `caption` names; None if there is none."""
    if caption in record:
        return record[caption]
    return together([dig(record.get(w[0]), w[1:]) for w in caption_ways(caption, record)])


def dig(value: Any, fields: Way) -> Any:
    """The value at the end of `fields`; for a list the values of all its structs, in one list.

    A text is parsed as JSON or as a Python literal. The result is None if there is no value.
    """
    if not fields:
        return value
    if isinstance(value, str | bytes):
        value = _parse(value)
    if isinstance(value, dict):
        return dig(value.get(fields[0]), fields[1:])
    if not isinstance(value, list):
        return None
    found = [dig(struct, fields) for struct in value]
    return [text for texts in found for text in (texts if isinstance(texts, list) else [texts])]


def together(values: Sequence[Any]) -> Any:
    """The non-empty captions of several cells as one list; a single cell is returned unchanged."""
    if len(values) == 1:
        return values[0]
    captions: list[Any] = []
    for value in values:
        listed = captions_in_text(value)
        if listed is not None or isinstance(value, list):
            captions += value if listed is None else listed
        elif value is not None and not (isinstance(value, str | bytes) and not value.strip()):
            captions.append(value)
    return captions


def captions_in_text(value: Any) -> list[str | None] | None:
    """The captions in a text that is a list of texts; None for any other value."""
    if isinstance(value, bytes):
        if b"[" not in value:
            return None
        value = value.decode("utf-8", "surrogateescape")
    if not isinstance(value, str):
        return None
    text = value.strip()
    if not (text.startswith("[") and text.endswith("]")):
        return None
    try:
        found = json.loads(text, parse_constant=lambda name: None)
    except (ValueError, RecursionError):
        return _written_by_python(text)
    return found if all(item is None or isinstance(item, str) for item in found) else None


def _written_by_python(text: str) -> list[str | None] | None:
    """The strings of a list or array in Python's or NumPy's syntax.

    Python's own parser is not used: it joins 'A dog' 'A cat' into one string.
    """
    found: list[str | None] = []
    place, end = 1 + len(text[1:]) - len(text[1:].lstrip()), len(text) - 1
    while place < end:
        item = _ITEM.match(text, place)
        gap = item and _GAP.match(text, item.end())
        if not item or not gap:
            return None
        quoted = item[1] if item[1] is not None else item[2]
        found.append(quoted if quoted is None else _ESCAPE.sub(_unescape, quoted))
        place = gap.end()
    return found


def _unescape(found: re.Match[str]) -> str:
    code = found[1] or found[2] or found[3]
    if code and int(code, 16) <= 0x10FFFF:
        return chr(int(code, 16))
    if found[4] in ("\\", "'", '"'):
        return found[4]
    return _CONTROL.get(found[4] or "", found[0])


def _parse(text: str | bytes) -> Any:
    if isinstance(text, bytes):
        text = text.decode("utf-8", "surrogateescape")
    try:
        return json.loads(text, parse_constant=lambda name: None)
    except (ValueError, RecursionError):
        pass
    try:
        return ast.literal_eval(text.strip())
    except (ValueError, SyntaxError, RecursionError, MemoryError, TypeError):
        return None
