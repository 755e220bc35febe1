"""What was not used, and why: the rows of `rejected.parquet`."""

from typing import NamedTuple

import pyarrow as pa

from tfrecords_schema.errors import one_line

REJECT_SCHEMA = pa.schema([(name, pa.string()) for name in (
    "id", "uri", "split", "stage", "exception", "message",
)])  # fmt: skip

# The stages at which something is refused. A `caption` row costs one caption, a `duplicate` row
# a repeated mention; every other row costs an image.
CAPTION, DUPLICATE, SPLIT, JOIN, READ, DECODE, ENCODE = (
    "caption", "duplicate", "split", "join", "read", "decode", "encode",
)  # fmt: skip
UNASSIGNED = "unassigned"  # the `split` of what belongs to none


class Reject(NamedTuple):
    """One row of the rejects table."""

    id: str  # of the image or caption; file:line where it has none
    uri: str  # the file that holds it
    split: str  # train, validation, test or unassigned
    stage: str
    exception: str  # class name
    message: str


def reject(id: str, uri: str, split: str, stage: str, error: Exception) -> Reject:
    """The row for an exception."""
    return Reject(id, uri, split, stage, type(error).__name__, printable(one_line(error)))


def printable(text: str) -> str:
    """`text` with bytes that are not UTF-8 shown as escapes, so that any table takes it."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
