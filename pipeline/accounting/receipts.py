"""Receipts of complete shards, from which an interrupted job resumes."""

import json
import os
from collections.abc import Sequence
from typing import Any, NamedTuple

import tensorflow as tf

from tfrecords_schema.atomic_file import TEMPORARY, read_text, write_text
from tfrecords_schema.shards import DATASET_NAME

RECEIPT_DIRECTORY = "receipts"


class Receipt(NamedTuple):
    """The contents of a complete shard, its rejects and its times."""

    fingerprint: str
    shard: dict[str, Any]  # the fields of manifest.Shard
    text: dict[str, int]  # see `write_shards.to_record`
    rejects: list[list[str]]  # the fields of Reject
    seconds: dict[str, float]  # stage -> time in it, summed over threads except for `write`
    time: float  # time of completion, in seconds since 1970
    pictures: Sequence[tuple[str, str]] = ()  # (digest of the file, image id) of written images


def read_receipt(directory: str, shard: str) -> Receipt | None:
    """The receipt of a complete shard; None if the shard is not complete."""
    path = _receipt_path(directory, shard)
    if not tf.io.gfile.exists(path):
        return None
    receipt = Receipt(**json.loads(read_text(path)))
    file = os.path.join(directory, shard)
    if not tf.io.gfile.exists(file) or tf.io.gfile.stat(file).length != receipt.shard["bytes"]:
        return None
    return receipt


def write_receipt(directory: str, receipt: Receipt) -> None:
    """Commits a shard whose file is in place."""
    write_text(_receipt_path(directory, receipt.shard["file"]), json.dumps(receipt._asdict()))


def complete_shards(directory: str) -> str:
    """A message with the number of complete shards of the dataset at `directory`."""
    folder = os.path.join(directory, RECEIPT_DIRECTORY)
    try:
        names = tf.io.gfile.listdir(folder) if tf.io.gfile.isdir(folder) else []
    except (OSError, tf.errors.OpError):  # the disk may be what has failed
        return f"complete shards are kept in {directory}"
    n = sum(name.startswith(f"{DATASET_NAME}-") and TEMPORARY not in name for name in names)
    if not n:
        return f"no shard is complete yet in {directory}"
    return f"{n} complete {'shard is' if n == 1 else 'shards are'} kept in {directory}"


def forget_rejected(directory: str) -> int:
    """Removes the receipts of shards with rejects, so that these shards are written again.

    Returns:
      The number of such shards.
    """
    folder = os.path.join(directory, RECEIPT_DIRECTORY)
    names = [name for name in tf.io.gfile.listdir(folder) if name.startswith(DATASET_NAME)]
    forgotten = 0
    for name in names:
        receipt = read_receipt(directory, name.removesuffix(".json"))
        if receipt is not None and receipt.rejects:
            tf.io.gfile.remove(os.path.join(folder, name))
            forgotten += 1
    return forgotten


def _receipt_path(directory: str, shard: str) -> str:
    return os.path.join(directory, RECEIPT_DIRECTORY, f"{shard}.json")
