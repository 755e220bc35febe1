"""Errors of a disk or an object store, such as a full or read-only disk or a missing bucket.

They are no defects, so the message is one line with the file and the reason.
"""

import errno
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager

import tensorflow as tf

from tfrecords_schema.atomic_file import TEMPORARY
from tfrecords_schema.errors import InputError, one_line

DISK_ERRORS = (OSError, tf.errors.OpError)  # file errors of Python and TensorFlow
_REASONS = {os.strerror(number) for number in errno.errorcode}
_SCHEME = re.compile(r"File system scheme '(.*)' not implemented \(file: '(.*)'\)")
_OF_STORES = ("Error executing an HTTP request", "GCS path ")
# The names of this module, and of TensorFlow for a checkpoint that is being written.
TEMPORARY_NAMES = re.compile(rf"{re.escape(TEMPORARY)}\w+|_temp/part-\S+\.tempstate\d+")


def disk_failure(error: Exception) -> str:
    """The file and its error, in one line; empty if the error may be a defect.

    TensorFlow's errors about a file are `path; reason`, with the operating system's message.
    """
    line = one_line(error)
    if isinstance(error, OSError) and error.strerror:
        if isinstance(error, ConnectionError) and not isinstance(error, BrokenPipeError):
            return ""
        if error.errno and error.strerror not in _REASONS:
            line = f"{os.strerror(error.errno)}: {line}"  # HDF5's own message has several lines
        else:
            line = f"{error.filename or 'standard output'}: {error.strerror}"
    elif isinstance(error, tf.errors.OpError):
        path, separator, reason = line.rpartition("; ")
        if separator and reason in _REASONS:
            line = f"{path}: {reason}"
        elif found := _SCHEME.fullmatch(line):
            line = f"{found[2]}: TensorFlow has no file system for {found[1]}://"
        elif line.startswith(_OF_STORES):
            line = " ".join(str(error).split())  # the last line names the file
        elif line.endswith(" is not a directory"):
            pass
        else:
            return ""
    else:
        return ""
    return TEMPORARY_NAMES.sub("", line)


def failure_line(error: Exception) -> str:
    """The error of a failed write, in one line."""
    return disk_failure(error) or one_line(error)


@contextmanager
def writing_to(flag: str, directory: str) -> Iterator[None]:
    """Turns an error of writing to a directory into an InputError that names it and the flag."""
    try:
        yield
    except DISK_ERRORS as error:
        raise InputError(
            f"--{flag}: {directory} cannot be written to: {failure_line(error)}"
        ) from error


@contextmanager
def file_named(path: str) -> Iterator[None]:
    """Adds `path` to errors of Python's files, which do not name the file on a full disk."""
    try:
        yield
    except OSError as error:
        if error.filename is None:
            error.filename = path
        raise
