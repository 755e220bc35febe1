"""Atomic files: a reader sees a file complete or not at all.

A file is written under a temporary name and renamed when complete.

| filesystem | why a reader never sees half a file |
|---|---|
| local disk, NFS, HDFS | a rename is atomic |
| gs://, s3:// | a rename is a copy, and an object is visible only when its upload is complete |

A killed process leaves a file with a temporary name, which the next start removes. The rename of a
directory is atomic on the filesystems of the first row only; an object store renames file by file.
There the writer adds a receipt after the directory, and a directory without one is incomplete.
"""

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import tensorflow as tf

TEMPORARY = ".incomplete-"  # part of the name of an unfinished file or directory


@contextmanager
def complete_or_absent(path: str) -> Iterator[str]:
    """Yields a temporary path to write a file or directory to; renames it to `path` at the end.

    An earlier `path` is replaced. On an exception the temporary path is removed, and `path` stays
    as it was.
    """
    temporary = f"{path}{TEMPORARY}{uuid.uuid4().hex[:8]}"
    try:
        yield temporary
        if tf.io.gfile.isdir(path) and tf.io.gfile.exists(temporary):
            tf.io.gfile.rmtree(path)
        tf.io.gfile.rename(temporary, path, overwrite=True)
    except BaseException:
        with suppress(tf.errors.OpError):  # the first error is the one to raise
            if tf.io.gfile.isdir(temporary):
                tf.io.gfile.rmtree(temporary)
            elif tf.io.gfile.exists(temporary):
                tf.io.gfile.remove(temporary)
        raise


def write_text(path: str, text: str) -> None:
    """Writes `text` as UTF-8 to `path`; makes its directory if it is missing."""
    tf.io.gfile.makedirs(os.path.dirname(path) or ".")
    with complete_or_absent(path) as temporary, tf.io.gfile.GFile(temporary, "wb") as file:
        file.write(text.encode("utf-8"))


def read_text(path: str) -> str:
    """The UTF-8 text of the file at `path`."""
    with tf.io.gfile.GFile(path, "rb") as file:
        return file.read().decode("utf-8")
