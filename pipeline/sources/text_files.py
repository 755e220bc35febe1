"""Reads text files on any filesystem of Beam: their lines, or their bytes as UTF-8.

    UTF-8          with or without a byte order mark
    UTF-16, -32    with a byte order mark; UTF-16 also without, if it begins with ASCII
    .gz            is decompressed
    line ends      \\n or \\r\\n; or \\r alone, if the first line ends so

If lines end in \\n, a carriage return within a line is an ordinary character.
"""

import codecs
import contextlib
import gzip
import io
import re
import zlib
from collections.abc import Iterator
from typing import IO

from pipeline.sources.files import open_raw
from tfrecords_schema.errors import InputError, one_line

CHUNK = 1 << 16
_MARKS = {  # UTF-32 first: its mark begins with that of UTF-16
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
# The errors of decompressing or decoding a truncated or damaged file.
_DAMAGE = (EOFError, gzip.BadGzipFile, zlib.error, UnicodeDecodeError)


def read_lines(path: str) -> Iterator[str]:
    """Yields the lines of a text file, with their line ends.

    Bytes that are not UTF-8 become lone surrogates, so only that line is rejected later.

    Raises:
      InputError: the file is not a complete gzip file, or ends within a UTF-16 character.
    """
    number = 0
    try:
        with open_bytes(path) as file:
            sample = _read_sample(file)
            encoding = encoding_of(sample)
            newline = _newline(sample.decode(encoding, "replace"))
            for number, line in enumerate(  # noqa: B007, the number is used where it fails
                io.TextIOWrapper(file, encoding, _errors(encoding), newline), 1
            ):
                yield line
    except _DAMAGE as error:
        raise _damaged(path, f"after line {number}", error) from error


def read_utf8(path: str) -> Iterator[bytes]:
    """Yields the text of a file as UTF-8 without a mark, in chunks of about CHUNK bytes.

    Invalid bytes of a UTF-8 file are not changed.

    Raises:
      InputError: see `read_lines`.
    """
    size = 0
    try:
        with open_bytes(path) as file:
            encoding = encoding_of(_read_sample(file))
            if encoding == "utf-8-sig":
                chunk = file.read(CHUNK).removeprefix(codecs.BOM_UTF8)
                while chunk:
                    yield chunk
                    size += len(chunk)
                    chunk = file.read(CHUNK)
                return
            decoder = codecs.getincrementaldecoder(encoding)("surrogatepass")
            while chunk := file.read(CHUNK):
                yield decoder.decode(chunk).encode("utf-8", "surrogatepass")
                size += len(chunk)
            decoder.decode(b"", final=True)
    except _DAMAGE as error:
        raise _damaged(path, f"after byte {size}", error) from error


def first_line(path: str) -> str:
    """The first line that is not blank.

    Raises:
      InputError: there is no such line; or see `read_lines`.
    """
    line = next((line for line in read_lines(path) if line.strip()), None)
    if line is None:
        raise InputError(f"--input: the captions file {path} is empty")
    return line.strip()


@contextlib.contextmanager
def open_bytes(path: str) -> Iterator[IO[bytes]]:
    """Opens a file for reading, decompressed if its name ends in .gz."""
    with open_raw(path) as raw:
        if not path.lower().endswith(".gz"):
            yield raw
            return
        # Beam's own decompression accepts a truncated file.
        with gzip.GzipFile(fileobj=raw) as file:
            yield file  # type: ignore[misc]


def encoding_of(sample: bytes) -> str:
    """The encoding of a text that begins with `sample`; utf-8-sig by default."""
    for mark, encoding in _MARKS.items():
        if sample.startswith(mark):
            return encoding
    # Two ASCII characters, with which column names and all JSON begin.
    is_nul = tuple(byte == 0 for byte in sample[:4])
    if is_nul == (False, True, False, True):
        return "utf-16-le"
    if is_nul == (True, False, True, False):
        return "utf-16-be"
    return "utf-8-sig"


def _read_sample(file: IO[bytes]) -> bytes:
    sample = file.read(CHUNK)
    file.seek(0)
    return sample


def _newline(sample: str) -> str:
    """TextIOWrapper's `newline`; "" if lines may end in a carriage return alone."""
    first = re.search("\r\n|[\r\n]", sample)
    if first is None or first[0] != "\r" or first.end() == len(sample):
        return "\n"
    returns = sample.count("\r") - sample.count("\r\n")
    return "" if returns > sample.count("\n") else "\n"


def _errors(encoding: str) -> str:
    return "surrogateescape" if encoding == "utf-8-sig" else "surrogatepass"


def _damaged(path: str, place: str, error: Exception) -> InputError:
    if isinstance(error, UnicodeDecodeError):
        problem = f"is cut off or damaged: it is {error.encoding.upper()}, and"
    elif isinstance(error, EOFError):
        problem = "is cut off:"
    else:
        problem = "cannot be decompressed:"
    return InputError(f"--input: {path}: {place}: the file {problem} {one_line(error)}")
