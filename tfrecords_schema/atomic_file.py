"""Files that are there whole or not at all.

A file is written under a temporary name and renamed when complete.

| filesystem | why a reader never sees half a file |
|---|---|
| local disk, NFS, HDFS | a rename is atomic |
| gs://, s3:// | a rename is a copy, and an object is visible only when its upload is complete |

What a kill leaves is a file with a temporary name, which the next start removes. A directory is
renamed at once on the first, but file by file in an object store: whoever writes one there writes a
receipt after it, and takes a directory without receipt for half of one.
"""

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress

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
        with suppress(tf.errors.OpError):  # what was raised first is what is told
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
