"""What a disk or an object store does to a command: full, read-only, a file or bucket not there.

It is no defect, so the user is told in one line which file it was and why.
"""

import errno
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager

import tensorflow as tf

from tfrecords_schema.atomic_file import TEMPORARY
from tfrecords_schema.errors import one_line

DISK_ERRORS = (OSError, tf.errors.OpError)  # what Python and TensorFlow raise of files
_REASONS = {os.strerror(number) for number in errno.errorcode}
_SCHEME = re.compile(r"File system scheme '(.*)' not implemented \(file: '(.*)'\)")
_OF_STORES = ("Error executing an HTTP request", "GCS path ")
# Ours, and TensorFlow's of a checkpoint that is being written.
_TEMPORARY_NAMES = re.compile(rf"{re.escape(TEMPORARY)}\w+|_temp/part-\S+\.tempstate\d+")


def disk_failure(error: Exception) -> str:
    """The file and what is wrong with it, in one line; empty where the error may be a defect.

    TensorFlow's errors of a file are `path; reason`, with the operating system's words.
    """
    line = one_line(error)
    if isinstance(error, OSError) and error.strerror:
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
    return _TEMPORARY_NAMES.sub("", line)


def failure_line(error: Exception) -> str:
    """What went wrong with a file that was written, in one line."""
    return disk_failure(error) or one_line(error)


@contextmanager
def file_named(path: str) -> Iterator[None]:
    """Puts `path` into errors of Python's files, which do not name the file that was full."""
    try:
        yield
    except OSError as error:
        if error.filename is None:
            error.filename = path
        raise
