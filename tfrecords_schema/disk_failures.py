"""Errors of a disk or an object store: full, read-only, a file or bucket that is not there.

They are no defects, so a message of one line names the file and the reason.
"""

import errno
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager

import tensorflow as tf

from tfrecords_schema.atomic_file import TEMPORARY
from tfrecords_schema.errors import InputError, one_line

DISK_ERRORS = (OSError, tf.errors.OpError)  # what Python and TensorFlow raise of files
_REASONS = {os.strerror(number) for number in errno.errorcode}
_SCHEME = re.compile(r"File system scheme '(.*)' not implemented \(file: '(.*)'\)")
_OF_STORES = ("Error executing an HTTP request", "GCS path ")
# Ours, and TensorFlow's of a checkpoint that is being written.
TEMPORARY_NAMES = re.compile(rf"{re.escape(TEMPORARY)}\w+|_temp/part-\S+\.tempstate\d+")


def disk_failure(error: Exception) -> str:
    """The file and what is wrong with it, in one line; empty where the error may be a defect.

    TensorFlow's errors of a file are `path; reason`, with the operating system's words.
    """
    line = one_line(error)
    if isinstance(error, OSError) and error.strerror:
        if isinstance(error, ConnectionError) and not isinstance(error, BrokenPipeError):
            return ""
        if error.errno and error.strerror not in _REASONS:
            line = f"{os.strerror(error.errno)}: {line}"  # HDF5 gives several lines of its own
        else:
            line = f"{error.filename or 'standard output'}: {error.strerror}"
    elif isinstance(error, tf.errors.OpError):
        path, separator, reason = line.rpartition("; ")
        if separator and reason in _REASONS:
            line = f"{path}: {reason}"
        elif found := _SCHEME.fullmatch(line):
            line = f"{found[2]}: TensorFlow has no file system for {found[1]}://"
        elif line.startswith(_OF_STORES):
            line = " ".join(str(error).split())  # the last of its lines names the file
        elif line.endswith(" is not a directory"):
            pass
        else:
            return ""
    else:
        return ""
    return TEMPORARY_NAMES.sub("", line)


def failure_line(error: Exception) -> str:
    """What went wrong with a file that was written, in one line."""
    return disk_failure(error) or one_line(error)


@contextmanager
def writing_to(flag: str, directory: str) -> Iterator[None]:
    """Raises an InputError that names the flag and the directory where a disk refuses to write."""
    try:
        yield
    except DISK_ERRORS as error:
        raise InputError(
            f"--{flag}: {directory} cannot be written to: {failure_line(error)}"
        ) from error


@contextmanager
def file_named(path: str) -> Iterator[None]:
    """Puts `path` into errors of Python's files, which do not name the file that was full."""
    try:
        yield
    except OSError as error:
        if error.filename is None:
            error.filename = path
        raise
