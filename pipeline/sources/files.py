"""Finds and reads files on any filesystem of Beam."""

import fnmatch
import glob
import hashlib
import os
import posixpath
import re
from collections.abc import Iterator, Sequence
from typing import BinaryIO

from apache_beam.io.filesystem import BeamIOError, CompressionTypes
from apache_beam.io.filesystems import FileSystems

from pipeline.accounting.rejects import printable
from tfrecords_schema.errors import InputError
from tfrecords_schema.image_formats import IMAGE_SUFFIXES

WILDCARDS = "*?["


def check_directory(directory: str, flag: str = "--input") -> None:
    """Raises InputError if the path that `flag` names is not a directory with a file in it."""
    check_no_wildcards(directory, flag)
    if is_directory(directory, flag):
        return
    if not is_local(directory) or not os.path.lexists(directory):
        problem = "does not exist" if is_local(directory) else "does not exist or is empty"
    elif not os.path.exists(directory):
        problem = f"is a link to {os.readlink(directory)}, which does not exist"
    elif os.path.isdir(directory):
        problem = "is there, but has no file in it"
    else:
        problem = "is a file, it must be a directory"
    raise InputError(f"{flag}: directory {directory} {problem}")


def is_local(path: str) -> bool:
    """Whether a path is on the local filesystem."""
    return FileSystems.get_scheme(path) is None


def check_no_wildcards(path: str, flag: str = "--input") -> None:
    """Raises InputError if Beam would read `path`, which `flag` names, as a pattern."""
    if any(character in path for character in WILDCARDS):
        raise InputError(f"{flag}: {path} holds one of * ? [, which Beam takes as wildcards")


def is_directory(path: str, flag: str = "--input") -> bool:
    """Whether there is a file anywhere below `path`, which `flag` names; links are followed.

    Raises:
      InputError: there is no filesystem for its scheme, or it is not readable.
    """
    if is_local(path):
        return os.path.isdir(path) and any(True for _ in _walk(path, flag))
    try:
        # It searches at any depth, since `*` does not match folders.
        [match] = FileSystems.match([FileSystems.join(path, "**")], limits=[1])
        return bool(match.metadata_list)
    except BeamIOError:
        return False
    except ValueError as error:  # no filesystem for the path's scheme
        raise InputError(f"{flag}: {path}: {error}") from error


def _walk(directory: str, flag: str = "--input") -> Iterator[str]:
    """The files below a local directory, including links to files and directories."""

    def refuse(error: OSError) -> None:
        raise InputError(f"{flag}: {error.filename} cannot be read: {error.strerror}") from error

    for folder, folders, names in os.walk(directory, onerror=refuse, followlinks=True):
        folders.sort()
        for name in sorted(names):
            yield os.path.join(folder, name)


def walk_files(directory: str) -> Iterator[str]:
    """The paths of all files below a directory; links are followed."""
    if is_local(directory):
        yield from _walk(directory)
        return
    [match] = FileSystems.match([FileSystems.join(directory, "**")])
    yield from sorted(metadata.path for metadata in match.metadata_list)


def files_in(directory: str) -> list[str]:
    """The sorted paths of the files directly in a directory; links to files are included."""
    if is_local(directory):
        try:
            with os.scandir(directory) as entries:
                return sorted(entry.path for entry in entries if entry.is_file())
        except OSError as error:
            raise InputError(f"--input: {directory} cannot be read: {error.strerror}") from error
    [match] = FileSystems.match([FileSystems.join(directory, "*")])
    return sorted(metadata.path for metadata in match.metadata_list)


def join_path(directory: str, path: str) -> str:
    """The path to open: `path`, below `directory` if it is relative.

    `.` and `..` within `path` are resolved, so that each picture has one path. In a bucket they are
    part of a name, so a URI is not changed.
    """
    if "://" in path:
        return path
    path = same_path(path)
    if path.startswith("/") or not directory:
        return path
    # Beam's own join looks up the filesystem each time, which takes longer than reading a row.
    return f"{directory}{'' if directory.endswith('/') else '/'}{path}"


def same_path(path: str) -> str:
    """The normal form of a path, without `.`, `..` and double slashes."""
    is_plain = "//" not in path and "/." not in path and path[:1] != "."
    return path if (is_plain and path[-1:] != "/") or "://" in path else posixpath.normpath(path)


def first_directory(directory: str, names: Sequence[str]) -> str | None:
    """The first of `names` that is a directory in `directory`."""
    paths = (FileSystems.join(directory, name) for name in names)
    return next((path for path in paths if is_directory(path)), None)


def find_images(directory: str, names: Sequence[str], needs_images: bool) -> str:
    """The first of `names` that is a directory in `directory`, which `--input` names.

    Returns:
      Its path; "" if there is none and no image will be opened.

    Raises:
      InputError: there is none, or none with a file in it.
    """
    images = first_directory(directory, names)
    if images is None and needs_images:
        paths = [FileSystems.join(directory, name) for name in names]
        empty = [path for path in paths if is_local(path) and os.path.isdir(path)]
        if empty:
            raise InputError(f"--input: directory {empty[0]} is there, but has no file in it")
        raise InputError(
            f"--input: {directory} has no directory of images, one of: {', '.join(names)}"
        )
    return images or ""


def first_file(directory: str, names: Sequence[str]) -> str | None:
    """The first of `names` that exists in `directory`."""
    paths = (FileSystems.join(directory, name) for name in names)
    return next((path for path in paths if FileSystems.exists(path)), None)


def matching_files(directory: str, pattern: str) -> list[str]:
    """The sorted files in `directory` whose names match `pattern`; it may be empty."""
    if is_local(directory) and not os.path.isdir(directory):
        return []
    paths = files_in(directory)
    return [path for path in paths if fnmatch.fnmatchcase(FileSystems.split(path)[1], pattern)]


def find_files(path: str, suffixes: tuple[str, ...]) -> list[str]:
    """The sorted files that `--input` names: one file, a pattern, or a directory of files.

    A directory means the files directly in it, or, if there are none, those in its folders.

    Raises:
      InputError: there is no file whose name ends in one of `suffixes`.
    """
    if any(character in path for character in WILDCARDS):
        names = _matches(path)
    elif is_directory(path):
        names = [name for name in files_in(path) if name.lower().endswith(suffixes)]
        names = names or list(walk_files(path))
    else:
        names = [path]
        if not _exists(path):
            if is_local(path) and os.path.lexists(path):
                check_directory(path)  # its error describes what is there
            raise InputError(f"--input: {path} does not exist or is empty")
    found = [name for name in names if name.lower().endswith(suffixes)]
    if not found:
        raise InputError(f"--input: {path} has no file that ends in {', '.join(suffixes)}")
    return found


def _matches(pattern: str) -> list[str]:
    if is_local(pattern):
        paths = sorted(path for path in glob.glob(pattern, recursive=True) if os.path.isfile(path))
    else:
        try:
            [match] = FileSystems.match([pattern])
        except (BeamIOError, ValueError) as error:
            raise InputError(f"--input: {pattern}: {error}") from error
        paths = sorted(metadata.path for metadata in match.metadata_list)
    if not paths:
        raise InputError(f"--input: {pattern} matches no file")
    return paths


def _exists(path: str) -> bool:
    try:
        return os.path.isfile(path) if is_local(path) else FileSystems.exists(path)
    except (BeamIOError, ValueError) as error:
        raise InputError(f"--input: {path}: {error}") from error


def list_images(directory: str) -> Iterator[tuple[str, str]]:
    """(name, path) of every image file directly in `directory`."""
    for path in files_in(directory):
        name = FileSystems.split(path)[1]
        if name.lower().endswith(IMAGE_SUFFIXES):
            yield printable(name), printable(path)


def open_raw(path: str) -> BinaryIO:
    """Opens a file for random access, without decompression."""
    return FileSystems.open(path, compression_type=CompressionTypes.UNCOMPRESSED)


def read_image_bytes(location: str) -> bytes:
    """The bytes at `location`: a path, or path#bytes=first-last for a range, as in HTTP.

    Raises:
      OSError: the file cannot be read, or ends before the range does.
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


def content_digest(content: bytes) -> str:
    """128 bits of a SHA-256, as hexadecimal digits, to identify files with equal bytes.

    Among a billion different files two share these with a probability below 10**-20.
    """
    return hashlib.sha256(content).hexdigest()[:32]


def byte_range(path: str, first: int, length: int) -> str:
    """The location of `length` bytes from `first` on in the file at `path`."""
    return f"{path}#bytes={first}-{first + length - 1}"
