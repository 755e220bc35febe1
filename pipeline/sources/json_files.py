"""Reads lists in JSON files of any size, as streams.

A file may be UTF-8 or UTF-16 and compressed, see `text_files`, and have NaN, see `json_text`.
"""

from collections.abc import Iterator
from typing import Any

import ijson

from pipeline.sources.json_fault import ERRORS, fault_place, fault_reason
from pipeline.sources.json_text import parsed_chunks
from tfrecords_schema.errors import InputError


class NoListError(InputError):
    """A valid JSON file does not have this list, or the list is empty."""


def read_json_list(path: str, name: str) -> Iterator[Any]:
    """Reads the entries of a list in a JSON file, as a stream.

    The whole file is read, also after the list, so that a truncated file is detected.

    Args:
      path: path of the file.
      name: name of the list at the top level of the file; '' if the file is the list.

    Raises:
      NoListError: the file has no such list, or it is empty.
      InputError: the file is not valid JSON, or cannot be decompressed or decoded.
    """
    text, count = _Text(path), 0
    if not name and not text.first.lstrip().startswith(b"["):
        raise NoListError(f"{path} must be a JSON list with entries")
    try:
        for entry in ijson.items(text, f"{name}.item" if name else "item"):
            yield entry
            count += 1
    except InputError:
        raise
    except ERRORS as error:
        of = f"entries of {name!r}" if name else "entries"
        raise InputError(
            f"{path} is no valid JSON: {fault_place(path, text.chunks - 1)}, after {count} {of}: "
            f"{fault_reason(error)}"
        ) from error
    if not count:
        expected = f"a JSON object that has a list {name!r}" if name else "a JSON list"
        raise NoListError(f"{path} must be {expected} with entries")


class _Text:
    """The text of a JSON file as a file object for ijson, with NaN and infinities as null."""

    def __init__(self, path: str):
        self.chunks = 0  # number of chunks read
        self._rest = parsed_chunks(path)
        self.first = next(self._rest, b"")
        if not self.first:
            raise InputError(f"{path} is empty, expected JSON")

    def read(self, size: int) -> bytes:
        """The next chunk, of any size; b"" at the end, and if ijson asks for 0 bytes."""
        if size == 0:
            return b""
        self.chunks += 1
        return self.first if self.chunks == 1 else next(self._rest, b"")
