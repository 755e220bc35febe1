"""Locates the fault in an invalid JSON file: line, column and byte.

The parser only tells the chunk. So the file is read again up to that chunk, and from there byte by
byte. This takes no time for valid files.
"""

import re
from typing import Any

import ijson

from pipeline.sources.json_text import NAN, STRING, changes_string, chunks, parsed, without_nan
from pipeline.sources.text_files import encoding_of, open_bytes
from tfrecords_schema.errors import one_line

# Errors of ijson; for lone surrogates; for numbers out of range.
ERRORS = (ijson.JSONError, ValueError, ArithmeticError)
_PIECES = re.compile(STRING + b"|" + NAN + b"|.", re.DOTALL)
_CONTINUATION = bytes(range(0x80, 0xC0))  # UTF-8 continuation bytes
_WORD = frozenset(b"+-.0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
_SURROGATES = re.compile(
    rb"\\[^u]|\\u[dD][89abAB]..\\u[dD][c-fC-F]..|(\\u[dD][89a-fA-F])|\\u", re.DOTALL
)


def fault_reason(error: Exception) -> str:
    """The reason for the parser's error, in one line."""
    if isinstance(error, UnicodeDecodeError):
        return "half of a UTF-16 pair in a string"
    if isinstance(error, ArithmeticError):
        return "a number that nothing can hold"
    reason = one_line(error)
    if "premature EOF" in reason or "Incomplete JSON" in reason:
        return "the file ends there, was it cut off?"
    return reason.removeprefix("b'").partition("\\n")[0]  # yajl's message, which is bytes


def fault_place(path: str, last: int) -> str:
    """Line, column and byte, from 1, of the fault in a file whose chunk `last` does not parse."""
    events = ijson.sendable_list()
    parser = ijson.basic_parse_coro(events)
    line, column, byte, text, in_string = 1, 0, 0, b"", False
    with open_bytes(path) as file:
        encoding = encoding_of(start := file.read(4096))
    for number, chunk in enumerate(chunks(path)):
        if number >= last - 1:  # the fault may begin in the chunk before the last
            text += chunk
        else:
            parser.send(without_nan(chunk, in_string))
            events.clear()
            line, column = _move_on(line, column, chunk)
            byte += _size(chunk, encoding)
            in_string ^= changes_string(chunk)
        if number >= last:
            break
    at = _find_fault(parser, text, in_string)
    line, column = _move_on(line, column, text[:at])
    byte += _size(text[:at], encoding) + _mark(start)
    return f"line {line}, column {column + 1} (byte {byte + 1})"


def _send(parser: Any, text: bytes) -> Exception | None:
    try:
        parser.send(text)
    except ERRORS as error:
        return error
    return None


def _find_fault(parser: Any, text: bytes, in_string: bool) -> int:
    """The index in `text` of the token that `parser` rejects.

    It is the last byte if the parser accepts all of them. In a string that is not valid text it is
    the invalid character.
    """
    opened = b'"' * in_string
    quote = -1 if in_string else None  # start of the current string
    word = None  # start of the current number or literal
    escaped = False
    for piece in _PIECES.finditer(opened + text):
        start = piece.start() - len(opened)
        if parsed(piece[0]) == b"null" != piece[0]:
            if _send(parser, b"null") is not None:
                return start
            word = start
            continue
        for at in range(max(start, 0), piece.end() - len(opened)):
            byte = text[at]
            if quote is None:
                # A space ends a number: if the parser rejects a space here, the number is wrong.
                if word is not None and byte not in _WORD and _send(parser, b" ") is not None:
                    return word
                word = (at if word is None else word) if byte in _WORD else None
            if (error := _send(parser, text[at : at + 1])) is not None:
                if quote is not None:
                    return _fault_in_string(error, text, quote, at, escaped)
                return at if word is None else word
            if quote is None:
                quote = at if byte == ord('"') else None
            elif escaped or byte == ord("\\"):
                escaped = not escaped
            elif byte == ord('"'):
                quote = None
    return max(len(text) - 1, 0)


def _fault_in_string(error: Exception, text: bytes, quote: int, at: int, escaped: bool) -> int:
    body = text[quote + 1 : at + 1]
    try:
        body.decode("utf-8")
    except UnicodeDecodeError as problem:
        return quote + 1 + problem.start
    if isinstance(error, UnicodeDecodeError):
        halves = (found.start() for found in _SURROGATES.finditer(body) if found[1])
        return quote + 1 + next(halves, -1)
    if escaped:
        return at - 1
    is_over = text[at] == ord('"') and quote >= 0  # a complete string at a wrong place
    return quote if is_over else at


def _move_on(line: int, column: int, text: bytes) -> tuple[int, int]:
    """(line, column) after `text`."""
    lines = text.count(b"\n")
    after = text[text.rfind(b"\n") + 1 :]
    characters = len(after.translate(None, _CONTINUATION))
    return line + lines, characters if lines else column + characters


def _size(text: bytes, encoding: str) -> int:
    """The number of bytes in the file for `text`, which is UTF-8."""
    if encoding == "utf-8-sig":
        return len(text)
    without_mark = {"utf-16": "utf-16-le", "utf-32": "utf-32-le"}.get(encoding, encoding)
    return len(text.decode("utf-8", "surrogatepass").encode(without_mark, "surrogatepass"))


def _mark(start: bytes) -> int:
    """The length of the byte order mark."""
    encoding = encoding_of(start)
    if encoding == "utf-8-sig":
        return 3 * start.startswith(b"\xef\xbb\xbf")
    return {"utf-16": 2, "utf-32": 4}.get(encoding, 0)
