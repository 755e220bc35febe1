"""The rejects table `rejected.parquet`: everything that was not used, and why."""

import collections
import itertools
import os
import tempfile
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
import tensorflow as tf

from tfrecords_schema.atomic_file import complete_or_absent
from tfrecords_schema.errors import one_line

REJECT_SCHEMA = pa.schema([(name, pa.string()) for name in (
    "id", "uri", "split", "stage", "exception", "message",
)])  # fmt: skip

# The stages at which something is rejected. A `caption` row costs one caption, a `duplicate` row a
# repeated mention. A `source` row is a file that cannot be read further. It fails the whole job,
# since the rest of the file is unknown. Every other row costs an image.
SOURCE, CAPTION, DUPLICATE, SPLIT, JOIN, READ, DECODE, ENCODE = (
    "source", "caption", "duplicate", "split", "join", "read", "decode", "encode",
)  # fmt: skip
UNASSIGNED = "unassigned"  # the `split` of images in no split


class Reject(NamedTuple):
    """One row of the rejects table."""

    id: str  # id of the image or caption; file:line if it has none
    uri: str  # the file that it is in
    split: str  # train, validation, test or unassigned
    stage: str
    exception: str  # class name
    message: str


def reject(id: str, uri: str, split: str, stage: str, error: Exception) -> Reject:
    """The row for an exception."""
    return Reject(id, uri, split, stage, type(error).__name__, printable(one_line(error)))


def printable(text: str) -> str:
    """`text` with bytes that are not UTF-8 as escapes, so that every table accepts it."""
    try:
        encoded = text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:  # a lone surrogate that encodes no byte, as in JSON's "\\ud83d"
        encoded = text.encode("utf-8", "surrogatepass")
    return encoded.decode("utf-8", "backslashreplace")


def write_rejects(rows: Iterable[Reject], path: str) -> None:
    """Writes the rejects table, a Parquet file of REJECT_SCHEMA, in bounded memory."""
    remaining = iter(rows)
    # pyarrow cannot write to TensorFlow's files, so it writes to a local file.
    with tempfile.TemporaryDirectory() as directory, complete_or_absent(path) as temporary:
        local = os.path.join(directory, "table")
        with pq.ParquetWriter(local, REJECT_SCHEMA) as writer:
            while batch := list(itertools.islice(remaining, 10_000)):
                rows_now = [row._asdict() for row in batch]
                writer.write_table(pa.Table.from_pylist(rows_now, REJECT_SCHEMA))
        tf.io.gfile.copy(local, temporary)


def read_rejects(path: str) -> Iterator[Reject]:
    """The rows of a rejects table, read in batches."""
    with tempfile.TemporaryDirectory() as directory:
        local = os.path.join(directory, "table")
        tf.io.gfile.copy(path, local)
        for batch in pq.ParquetFile(local).iter_batches():
            for row in batch.to_pylist():
                yield Reject(**row)


def count_rejects(path: str) -> dict[tuple[str, str], int]:
    """Maps (split, stage) to its number of rows in the rejects table, read in batches."""
    counts: collections.Counter = collections.Counter()
    with tempfile.TemporaryDirectory() as directory:
        local = os.path.join(directory, "table")
        tf.io.gfile.copy(path, local)
        for batch in pq.ParquetFile(local).iter_batches(columns=["split", "stage"]):
            columns = batch.to_pydict()
            counts.update(zip(columns["split"], columns["stage"], strict=True))
    return dict(counts)
