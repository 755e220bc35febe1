"""Prepares the text of JSON files for a parser, in chunks.

Python and JavaScript tools write `NaN`, `Infinity` and `-Infinity`, which are not valid JSON. The
parser gets null instead.
"""

import itertools
import re
from collections.abc import Iterator

from pipeline.sources.text_files import read_utf8

NAN = rb"-?Infinity|(?<!-)NaN"
STRING = rb'"[^"\\]*(?:\\.[^"\\]*)*"?'  # also the beginning of a string
_TOKENS = re.compile(STRING + b"|" + NAN, re.DOTALL)
_WORD_END = re.compile(rb"[-A-Za-z]{0,9}\Z")  # may be the beginning of a match of NAN


def parsed_chunks(path: str) -> Iterator[bytes]:
    """Yields the chunks of a file, prepared for the parser.

    Raises:
      InputError: the file cannot be decompressed or decoded.
    """
    in_string: bool | None = None  # whether the chunk begins within a string
    for number, text in enumerate(chunks(path)):
        has_nan = b"NaN" in text or b"Infinity" in text
        if has_nan and in_string is None:
            in_string = _begins_in_string(path, number)
        yield without_nan(text, bool(in_string)) if has_nan else text
        if in_string is not None:  # unknown, and not needed, in most files
            in_string ^= changes_string(text)


def chunks(path: str) -> Iterator[bytes]:
    """The text of a file in UTF-8, cut neither within an escape in a string nor within a NaN."""
    rest = b""
    for chunk in read_utf8(path):
        text = rest + chunk
        end = _safe_end(text)
        text, rest = text[:end], text[end:]
        if text:
            yield text
    if rest:
        yield rest


def _safe_end(text: bytes) -> int:
    """A position where `text` can be cut, at most 10 bytes before its end."""
    tail = text[-9:]
    end = len(text) - len(tail) + _WORD_END.search(tail).start()  # type: ignore[union-attr]
    head = text[:end]
    return end - (len(head) - len(head.rstrip(b"\\"))) % 2


def _begins_in_string(path: str, number: int) -> bool:
    """Whether chunk `number` of a file begins within a string."""
    before = itertools.islice(chunks(path), number)
    return sum(map(changes_string, before)) % 2 == 1


def changes_string(text: bytes) -> bool:
    """Whether exactly one of the two ends of `text` is within a string."""
    quotes = text.count(b'"')
    if b"\\" in text:
        quotes -= text.replace(b"\\\\", b"").count(b'\\"')
    return quotes % 2 == 1


def without_nan(text: bytes, in_string: bool) -> bytes:
    """Replaces NaN in a chunk; `in_string` says whether the chunk begins within a string."""
    opened = b'"' * in_string  # opens the string that the chunk begins in
    return _TOKENS.sub(lambda token: parsed(token[0]), opened + text)[len(opened) :]


def parsed(token: bytes) -> bytes:
    """null for a match of NAN; any other token unchanged."""
    return b"null" if token.endswith((b"NaN", b"Infinity")) and token[:1] != b'"' else token
