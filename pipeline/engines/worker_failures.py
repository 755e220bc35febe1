"""Explains errors of Beam's workers, and keeps Beam from printing them too.

An error in a worker reaches the launcher as a RuntimeError whose text is the worker's stack trace,
or as an error of the same class with Beam's remarks in its message.
"""

import builtins
import errno
import logging
import os
import re
import threading

import grpc
import tensorflow as tf
from apache_beam.io.filesystem import BeamIOError
from apache_beam.runners.worker import sdk_worker

from tfrecords_schema.disk_failures import DISK_ERRORS, TEMPORARY_NAMES, disk_failure
from tfrecords_schema.errors import InputError, one_line

REASONS = tuple(
    os.strerror(number)
    for number in (
        errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EACCES, errno.EPERM, errno.EROFS,
        errno.EIO, errno.ESTALE,
    )
)  # fmt: skip
_RAISED = re.compile(r"^((?:\w+\.)*\w+): (.*)", re.MULTILINE)  # the last lines of a stack trace
_REMARK = re.compile(r" \[while running '.*'\]")  # added by Beam
_LOGGERS = (  # Beam's loggers that log the error of a worker
    "", "apache_beam.runners.common", "apache_beam.runners.worker.sdk_worker",
    "apache_beam.runners.worker.data_plane", "apache_beam.runners.portability.local_job_service",
)  # fmt: skip


def hush_workers() -> None:
    """Makes Beam raise a worker's error in the launcher without printing and logging it first."""
    for name in _LOGGERS:
        logging.getLogger(name).addFilter(_has_no_stack_trace)
    sdk_worker.print = lambda *_, **__: None  # type: ignore[attr-defined]
    threading.excepthook = _report_thread


def explain_failure(error: Exception) -> str:
    """`disk_failure`, also for an error of a worker; empty if the error may be a defect.

    An InputError of a worker is no defect: its message is returned.
    """
    if isinstance(error, InputError):
        return _REMARK.sub("", str(error))
    if isinstance(error, (*DISK_ERRORS, BeamIOError)):
        return disk_failure(error) or _with_reason(one_line(error), str(error))
    if isinstance(error, RuntimeError):
        kind, text = (_RAISED.findall(str(error)) or [("", "")])[-1]
        if kind == "RuntimeError":  # Beam's, if it cannot copy the original error
            return explain_failure(RuntimeError(text))
        if kind.split(".")[-1] == InputError.__name__:
            return _REMARK.sub("", text)
        return _with_reason(text, text) if _is_disk_error(kind) else ""
    return ""


def _has_no_stack_trace(record: logging.LogRecord) -> bool:
    return not record.exc_info and "Traceback (most recent call last)" not in record.getMessage()


def _report_thread(raised: threading.ExceptHookArgs) -> None:
    """Python's own report, except for closed channels, which follow the end of a job."""
    if not issubclass(raised.exc_type, grpc.RpcError):
        threading.__excepthook__(raised)


def _is_disk_error(name: str) -> bool:
    """Whether a class of errors, named as in a stack trace, is about files and disks."""
    kind = name.split(".")[-1]
    found = getattr(builtins, kind, getattr(tf.errors, kind, None))
    is_error = isinstance(found, type) and issubclass(found, DISK_ERRORS)
    return is_error or kind == BeamIOError.__name__


def _with_reason(line: str, text: str) -> str:
    """`line` with the reason of REASONS that `text` contains; empty if it contains none."""
    found = [reason for reason in REASONS if reason.lower() in text.lower()]
    if not found:
        return ""
    line = TEMPORARY_NAMES.sub("", _REMARK.sub("", line))
    return line if found[0].lower() in line.lower() else f"{found[0]}: {line}"
