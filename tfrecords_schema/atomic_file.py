"""Files that are there whole or not at all.

A file is written under a temporary name and renamed when complete. The rename is atomic on a
local disk and on HDFS; object stores (gs://, s3://) make an object visible only when its upload
is complete, so there too a reader never sees half of one.
"""

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager

import tensorflow as tf

TEMPORARY = ".incomplete-"  # what the name of an unfinished file or directory holds


@contextmanager
def complete_or_absent(path: str) -> Iterator[str]:
    """Yields a temporary path to write a file or directory to; renames it to `path` at the end.

    What was at `path` is replaced. On an exception the temporary path is removed and `path`
    stays as it was.
    """
    temporary = f"{path}{TEMPORARY}{uuid.uuid4().hex[:8]}"
    try:
        yield temporary
        if tf.io.gfile.isdir(path) and tf.io.gfile.exists(temporary):
            tf.io.gfile.rmtree(path)
        tf.io.gfile.rename(temporary, path, overwrite=True)
    except BaseException:
        if tf.io.gfile.isdir(temporary):
            tf.io.gfile.rmtree(temporary)
        elif tf.io.gfile.exists(temporary):
            tf.io.gfile.remove(temporary)
        raise


def write_text(path: str, text: str) -> None:
    """Writes `text` as UTF-8 to `path`, making its directory where it is missing."""
    tf.io.gfile.makedirs(os.path.dirname(path) or ".")
    with complete_or_absent(path) as temporary, tf.io.gfile.GFile(temporary, "wb") as file:
        file.write(text.encode("utf-8"))


def read_text(path: str) -> str:
    """The UTF-8 text of the file at `path`."""
    with tf.io.gfile.GFile(path, "rb") as file:
        return file.read().decode("utf-8")
