"""The output directory: its owner, and the check that it is new or of this configuration."""

import json
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import tensorflow as tf

from pipeline.accounting.receipts import RECEIPT_DIRECTORY
from pipeline.config import PipelineConfig
from tfrecords_schema.atomic_file import TEMPORARY, read_text, write_text
from tfrecords_schema.disk_failures import writing_to
from tfrecords_schema.errors import InputError
from tfrecords_schema.owner_lock import OWNER_FILE, hold_directory
from tfrecords_schema.same_settings import check_same_settings, name_differences
from tfrecords_schema.shards import DATASET_NAME, shard_name

CONFIG_FILE = "config.json"  # within receipts/
STAGED_DIRECTORY = "staged_images"  # images from containers; removed at the end of the run


@contextmanager
def hold_output(directory: str) -> Iterator[None]:
    """Owns the output directory within the context; see `owner_lock`.

    Raises:
      InputError: another job owns it, or it cannot be written to.
    """
    with ExitStack() as stack:
        with writing_to("output", directory):
            stack.enter_context(hold_directory(directory, "output", RECEIPT_DIRECTORY))
        yield


def check_output(config: PipelineConfig) -> None:
    """Checks that the output directory is new, empty, or this configuration's.

    Raises:
      InputError: it holds another configuration's dataset, or other files.
    """
    path, content = _config_path(config.output), config.content()
    if not tf.io.gfile.exists(config.output):
        return
    if not tf.io.gfile.isdir(config.output):
        raise InputError(f"--output: {config.output} is a file, it must be a directory")
    if not tf.io.gfile.exists(path):
        if not _is_empty(config.output):
            raise InputError(
                f"--output: {config.output} is not empty and holds no beamcap dataset: "
                "give a new or empty directory"
            )
        return
    if _shards(config.output):
        check_same_settings("output", config.output, json.loads(read_text(path)), content)


def claim_output(config: PipelineConfig) -> None:
    """Writes the configuration into a directory that passes `check_output`; removes leftovers.

    Raises:
      InputError: it cannot be written to.
    """
    path, content = _config_path(config.output), config.content()
    if tf.io.gfile.exists(path):
        if name_differences(json.loads(read_text(path)), content):  # from a run without a shard
            for name in tf.io.gfile.listdir(os.path.dirname(path)):
                if not name.startswith(OWNER_FILE):
                    remove(os.path.join(os.path.dirname(path), name))
        remove_unfinished(config.output)
    with writing_to("output", config.output):
        write_text(path, json.dumps(content, indent=2) + "\n")


def remove_unfinished(directory: str) -> None:
    """Removes the temporary files of killed runs."""
    for folder in ("", RECEIPT_DIRECTORY, STAGED_DIRECTORY):
        path = os.path.join(directory, folder)
        for name in tf.io.gfile.listdir(path) if tf.io.gfile.isdir(path) else []:
            if TEMPORARY in name:
                remove(os.path.join(path, name))


def remove(path: str) -> None:
    """Removes a file or directory if it is there."""
    if tf.io.gfile.isdir(path):
        tf.io.gfile.rmtree(path)
    elif tf.io.gfile.exists(path):
        tf.io.gfile.remove(path)


def refuse_leftovers(directory: str, shard_counts: dict[str, int]) -> None:
    """Raises InputError if there is a shard that does not belong to these counts."""
    expected = {shard_name(split, i, n) for split, n in shard_counts.items() for i in range(n)}
    for name in _shards(directory):
        if name not in expected:
            raise InputError(
                f"--output: {directory} holds {name}, which does not belong to "
                f"{shard_counts} shards: the source has changed since this dataset was begun. "
                "Give a new directory"
            )


def _config_path(directory: str) -> str:
    return os.path.join(directory, RECEIPT_DIRECTORY, CONFIG_FILE)


def _is_empty(directory: str) -> bool:
    """Whether the directory is empty, or has only the first files of a killed job."""
    names = {name.rstrip("/") for name in tf.io.gfile.listdir(directory)}
    if names - {RECEIPT_DIRECTORY}:
        return False
    receipts = os.path.join(directory, RECEIPT_DIRECTORY)
    if not tf.io.gfile.isdir(receipts):
        return not names
    begun = (OWNER_FILE, f"{CONFIG_FILE}{TEMPORARY}")
    return all(name.startswith(begun) for name in tf.io.gfile.listdir(receipts))


def _shards(directory: str) -> list[str]:
    names = sorted(tf.io.gfile.listdir(directory))
    return [n for n in names if n.startswith(f"{DATASET_NAME}-") and TEMPORARY not in n]
