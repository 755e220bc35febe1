"""What the environment does to a job: a full disk, a quota, a missing permission.

It is no defect, so the user is told in a line what happened and what is kept, without a stack
trace. What was raised inside a worker comes back from Beam as a RuntimeError whose text is the
worker's stack trace.
"""

import builtins
import errno
import logging
import os
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import grpc
import tensorflow as tf
from apache_beam.io.filesystem import BeamIOError
from apache_beam.runners.worker import sdk_worker

from pipeline.accounting.receipts import RECEIPT_DIRECTORY
from tfrecords_schema import stop_signals
from tfrecords_schema.atomic_file import TEMPORARY
from tfrecords_schema.errors import InputError, one_line
from tfrecords_schema.shards import DATASET_NAME

REASONS = tuple(
    os.strerror(number)
    for number in (
        errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EACCES, errno.EPERM, errno.EROFS,
        errno.EIO, errno.ESTALE,
    )
)  # fmt: skip
_RAISED = re.compile(r"^((?:\w+\.)*\w+): (.*)", re.MULTILINE)  # the last lines of a stack trace
_NOISE = re.compile(rf" \[while running '.*'\]|{re.escape(TEMPORARY)}\w+")  # Beam's, and ours
_LOGGERS = (  # of Beam's that log the error of a worker, each in its own words
    "", "apache_beam.runners.common", "apache_beam.runners.worker.sdk_worker",
    "apache_beam.runners.worker.data_plane", "apache_beam.runners.portability.local_job_service",
)  # fmt: skip


def hush_workers() -> None:
    """Has Beam raise an error of a worker in the launcher only, not print and log it before."""
    for name in _LOGGERS:
        logging.getLogger(name).addFilter(_has_no_stack_trace)
    sdk_worker.print = lambda *_, **__: None  # type: ignore[attr-defined]
    threading.excepthook = _tell_of_thread


@contextmanager
def told_in_one_line(kept: Callable[[], str]) -> Iterator[None]:
    """Ends the process with one line and status 2 for what is no defect; see `stop_signals`.

    Args:
      kept: says what is left of the work, and what the same command does; for signals too.
    """
    with stop_signals.kept(kept):
        try:
            yield
        except InputError as error:
            stop_signals.end(2, f"error: {_NOISE.sub('', str(error))}")
        except Exception as error:
            reason = environment_failure(error)
            if not reason:
                raise
            stop_signals.end(2, f"error: {reason}; {kept()}")


def environment_failure(error: Exception) -> str:
    """What the environment did, in one line; empty where the error may be a defect.

    An InputError that was raised in a worker is no defect either.
    """
    if isinstance(error, (OSError, tf.errors.OpError, BeamIOError)):
        return _reason(one_line(error), str(error))
    if isinstance(error, RuntimeError):
        kind, text = (_RAISED.findall(str(error)) or [("", "")])[-1]
        if kind == "RuntimeError":  # what Beam makes of an error that it cannot copy
            return environment_failure(RuntimeError(text))
        if kind.split(".")[-1] == InputError.__name__:
            return _NOISE.sub("", text)
        return _reason(text, text) if _is_of_files(kind) else ""
    return ""


def complete_shards(directory: str) -> str:
    """How many shards of the dataset at `directory` are complete, for a message."""
    folder = os.path.join(directory, RECEIPT_DIRECTORY)
    try:
        names = tf.io.gfile.listdir(folder) if tf.io.gfile.isdir(folder) else []
    except (OSError, tf.errors.OpError):  # it may be what has failed
        return f"complete shards are kept in {directory}"
    n = sum(name.startswith(f"{DATASET_NAME}-") and TEMPORARY not in name for name in names)
    if not n:
        return f"no shard is complete yet in {directory}"
    return f"{n} complete {'shard is' if n == 1 else 'shards are'} kept in {directory}"


def _has_no_stack_trace(record: logging.LogRecord) -> bool:
    return not record.exc_info and "Traceback (most recent call last)" not in record.getMessage()


def _tell_of_thread(raised: threading.ExceptHookArgs) -> None:
    """As Python does, but for a channel that was closed: that follows the end of a job."""
    if not issubclass(raised.exc_type, grpc.RpcError):
        threading.__excepthook__(raised)


def _is_of_files(name: str) -> bool:
    """Whether a class of errors, by its name in a stack trace, is of files and disks."""
    kind = name.split(".")[-1]
    found = getattr(builtins, kind, getattr(tf.errors, kind, None))
    is_error = isinstance(found, type) and issubclass(found, (OSError, tf.errors.OpError))
    return is_error or kind == BeamIOError.__name__


def _reason(line: str, text: str) -> str:
    """`line` where `text` gives one of REASONS, else nothing."""
    found = [reason for reason in REASONS if reason.lower() in text.lower()]
    if not found:
        return ""
    line = _NOISE.sub("", line)
    return line if found[0].lower() in line.lower() else f"{found[0]}: {line}"
