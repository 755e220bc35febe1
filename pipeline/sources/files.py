"""Finding and reading files on any filesystem that Beam knows."""

import io
import re
from collections.abc import Iterator, Sequence
from typing import Any, BinaryIO

import ijson
from apache_beam.io.filesystem import BeamIOError, CompressionTypes
from apache_beam.io.filesystems import FileSystems

from pipeline.rejects import printable
from tfrecords_schema.errors import InputError, one_line

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".gif", ".bmp")
WILDCARDS = "*?["


def check_directory(directory: str, flag: str = "--input") -> None:
    """Raises InputError where what `flag` names is no directory that holds something."""
    check_no_wildcards(directory, flag)
    if not is_directory(directory, flag):
        raise InputError(f"{flag}: directory {directory} does not exist or is empty")


def check_no_wildcards(path: str, flag: str = "--input") -> None:
    """Raises InputError where Beam would take `path`, which `flag` names, as a pattern."""
    if any(character in path for character in WILDCARDS):
        raise InputError(f"{flag}: {path} holds one of * ? [, which Beam takes as wildcards")


def is_directory(path: str, flag: str = "--input") -> bool:
    """Whether there is a file somewhere below `path`, which `flag` names."""
    try:
        # At any depth: there may be nothing but folders in it, which `*` does not match.
        [match] = FileSystems.match([FileSystems.join(path, "**")], limits=[1])
        return bool(match.metadata_list)
    except BeamIOError:
        return False
    except ValueError as error:  # no filesystem for the path's scheme
        raise InputError(f"{flag}: {path}: {error}") from error


def first_directory(directory: str, names: Sequence[str]) -> str | None:
    """The first of `names` that is a directory in `directory`."""
    paths = (FileSystems.join(directory, name) for name in names)
    return next((path for path in paths if is_directory(path)), None)


def find_images(directory: str, names: Sequence[str]) -> str:
    """The first of `names` that is a directory in `directory`, which `--input` names.

    Raises:
      InputError: there is none.
    """
    images = first_directory(directory, names)
    if images is None:
        raise InputError(
            f"--input: {directory} has no directory of images, one of: {', '.join(names)}"
        )
    return images


def first_file(directory: str, names: Sequence[str]) -> str | None:
    """The first of `names` that exists in `directory`."""
    paths = (FileSystems.join(directory, name) for name in names)
    return next((path for path in paths if FileSystems.exists(path)), None)


def matching_files(directory: str, pattern: str) -> list[str]:
    """The files in `directory` whose names match `pattern`, sorted; there may be none."""
    [match] = FileSystems.match([FileSystems.join(directory, pattern)])
    return sorted(metadata.path for metadata in match.metadata_list)


def find_files(path: str, suffixes: tuple[str, ...]) -> list[str]:
    """The files that `--input` stands for, sorted: one file, a pattern, or a directory of files.

    Raises:
      InputError: there is none whose name ends in one of `suffixes`.
    """
    try:
        is_pattern = any(character in path for character in WILDCARDS)
        pattern = FileSystems.join(path, "*") if not is_pattern and is_directory(path) else path
        [match] = FileSystems.match([pattern])
    except (BeamIOError, ValueError) as error:
        raise InputError(f"--input: {path}: {error}") from error
    names = sorted(metadata.path for metadata in match.metadata_list)
    if not names:
        raise InputError(f"--input: {path} does not exist or is empty")
    found = [name for name in names if name.lower().endswith(suffixes)]
    if not found:
        raise InputError(f"--input: {path} has no file that ends in {', '.join(suffixes)}")
    return found


def list_images(directory: str) -> Iterator[tuple[str, str]]:
    """(name, path) of every image file directly in `directory`."""
    [match] = FileSystems.match([FileSystems.join(directory, "*")])
    for metadata in match.metadata_list:
        name = FileSystems.split(metadata.path)[1]
        if name.lower().endswith(IMAGE_SUFFIXES):
            yield printable(name), printable(metadata.path)


def read_lines(path: str) -> Iterator[str]:
    """The lines of a UTF-8 file with their ends.

    Bytes that are not UTF-8 become lone surrogates: the line is kept, and refused by itself.
    """
    with FileSystems.open(path) as file:
        yield from io.TextIOWrapper(
            file,  # type: ignore[type-var]
            encoding="utf-8-sig",
            errors="surrogateescape",
            newline="\n",
        )


def first_line(path: str) -> str:
    """The first line that is not blank.

    Raises:
      InputError: there is none.
    """
    line = next((line for line in read_lines(path) if line.strip()), None)
    if line is None:
        raise InputError(f"--input: the captions file {path} is empty")
    return line.strip()


def open_raw(path: str) -> BinaryIO:
    """Opens a file for reading at any place, its bytes as they are."""
    return FileSystems.open(path, compression_type=CompressionTypes.UNCOMPRESSED)


def read_image_bytes(location: str) -> bytes:
    """The bytes at `location`: a path, or path#bytes=first-last for a range, as in HTTP.

    Raises:
      OSError: it cannot be read, or the file ends before the range does.
    """
    span = re.fullmatch(r"(.*)#bytes=(\d+)-(-?\d+)", location, re.DOTALL)
    if span is None:
        with open_raw(location) as file:
            return file.read()
    path, first, last = span[1], int(span[2]), int(span[3])
    with open_raw(path) as file:
        file.seek(first)
        content = file.read(last - first + 1)
    if len(content) != last - first + 1:
        raise OSError(f"{path} ends before byte {last}")
    return content


def byte_range(path: str, first: int, length: int) -> str:
    """The location of `length` bytes from `first` on within the file at `path`."""
    return f"{path}#bytes={first}-{first + length - 1}"


def read_json_list(path: str, name: str) -> Iterator[Any]:
    """The entries of the list `name` at the top of a JSON file, read as a stream.

    The whole file is read, whatever stands after the list, so that a file that was cut off is known
    by its end.

    Raises:
      InputError: the file is no valid JSON, or has no such list with an entry in it.
    """
    count = 0
    with open_raw(path) as file:
        try:
            for entry in ijson.items(file, f"{name}.item"):
                yield entry
                count += 1
        # Of ijson; a lone half of a UTF-16 pair; a number that nothing can hold.
        except (ijson.JSONError, ValueError, ArithmeticError) as error:
            raise InputError(
                f"{path} is no valid JSON: at or before byte {file.tell()}, after {count} entries "
                f"of {name!r}: {one_line(error)}"
            ) from error
    if not count:
        raise InputError(f"{path} must be a JSON object that has a list {name!r} with entries")
