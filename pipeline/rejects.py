"""What was not used, and why: the rows of `rejected.parquet`."""

import re
from typing import NamedTuple

import pyarrow as pa

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
    """The row for an exception; TensorFlow's graph traces are cut from its message."""
    message = str(error).split("\n")[0]
    message = re.sub(r"\{\{[^}]*\}\}\s*", "", message)
    return Reject(id, uri, split, stage, type(error).__name__, printable(message))


def printable(text: str) -> str:
    """`text` with what is not UTF-8 shown as escapes, so that any table or screen takes it."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
