"""Finds the pictures that the arguments of `caption` name."""

import glob
import os
import sys
from collections.abc import Iterable, Iterator

import tensorflow as tf

from tfrecords_schema.errors import one_line
from tfrecords_schema.image_formats import IMAGE_SUFFIXES, OTHER_FORMATS

PICTURE_SUFFIXES = (*IMAGE_SUFFIXES, *OTHER_FORMATS)  # OTHER_FORMATS get an error that names them
WILDCARDS = "*?["
STANDARD_INPUT = "-"


def find_pictures(arguments: Iterable[str]) -> Iterator[tuple[str, str]]:
    """The pictures of each argument, in the order of the arguments.

    An argument is a file, a folder, a pattern, or `-` for such names on standard input, one a line.
    A folder means all pictures below it, sorted; a pattern means the files that it matches, sorted.
    An existing file whose name has wildcards is taken as a file.

    Yields:
      (name of a file, ""), or (argument, why it names no picture).
    """
    for argument in arguments:
        if argument != STANDARD_INPUT:
            yield from _find(argument)
            continue
        for line in sys.stdin.buffer:
            if name := os.fsdecode(line.rstrip(b"\r\n")):
                yield from _find(name)


def read_picture(name: str) -> bytes:
    """The contents of a file.

    Raises:
      OSError, ValueError, tf.errors.OpError: the file cannot be read; see `reason`.
    """
    if is_local(name):
        with open(name, "rb") as file:
            return file.read()
    with tf.io.gfile.GFile(name, "rb") as file:
        return file.read()


def reason(error: Exception, name: str) -> str:
    """Why a file cannot be read, in one line without its name."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return one_line(error).replace(name, "").strip(" ;:") or type(error).__name__


def is_local(name: str) -> bool:
    """Whether a name is a path on the local filesystem, not a URI."""
    return "://" not in name


def _find(name: str) -> Iterator[tuple[str, str]]:
    try:
        if (os.path.isdir if is_local(name) else tf.io.gfile.isdir)(name):
            yield from _in_folder(name)
        elif _exists(name) or not any(character in name for character in WILDCARDS):
            yield name, ""  # reading a missing file gives its error
        else:
            yield from _matching(name)
    except tf.errors.OpError as error:  # an unknown scheme or bucket, or no permission
        yield name, reason(error, name)


def _exists(name: str) -> bool:
    return os.path.lexists(name) if is_local(name) else tf.io.gfile.exists(name)


def _in_folder(folder: str) -> Iterator[tuple[str, str]]:
    refused: list[OSError] = []
    if is_local(folder):
        steps = os.walk(folder, onerror=refused.append, followlinks=True)
    else:
        steps = tf.io.gfile.walk(folder)
    is_empty, seen = True, set()
    for path, folders, names in steps:
        real = os.path.realpath(path) if is_local(path) else path
        if real in seen:  # a symbolic link back to a parent
            folders.clear()
            continue
        seen.add(real)
        folders.sort()
        for name in sorted(names):
            if name.lower().endswith(PICTURE_SUFFIXES):
                is_empty = False
                yield os.path.join(path, name), ""
    for error in refused:
        yield os.fsdecode(error.filename), reason(error, folder)
    if is_empty and not refused:
        yield folder, f"the folder has no picture, a file that ends in {', '.join(IMAGE_SUFFIXES)}"


def _matching(pattern: str) -> Iterator[tuple[str, str]]:
    if is_local(pattern):
        names = [name for name in glob.glob(pattern, recursive=True) if not os.path.isdir(name)]
    else:
        names = tf.io.gfile.glob(pattern)
    if not names:
        yield pattern, "the pattern matches no file"
    for name in sorted(names):
        yield name, ""
