"""Writes the files of an evaluation, which may have taken hours: a full disk does not lose them."""

import os
import tempfile
from collections.abc import Mapping

from tfrecords_schema.atomic_file import write_text
from tfrecords_schema.disk_failures import DISK_ERRORS, failure_line
from tfrecords_schema.errors import InputError


def write_evaluation(run: str, texts: Mapping[str, str]) -> None:
    """Writes files into a run, or into a temporary directory if the run cannot be written to.

    Args:
      run: the directory of the run.
      texts: name of a file -> its contents.

    Raises:
      InputError: the run cannot be written to; the message says where the files are.
    """
    try:
        _write(run, texts)
    except DISK_ERRORS as error:
        reason = failure_line(error)
        try:
            instead = tempfile.mkdtemp(prefix="beamcap-")
            _write(instead, texts)
        except DISK_ERRORS as other:
            raise InputError(
                f"--run: {reason}. The scores are not saved: a temporary directory "
                f"cannot be written to either ({failure_line(other)})"
            ) from error
        raise InputError(f"--run: {reason}. {' and '.join(texts)} are in {instead}") from error


def _write(directory: str, texts: Mapping[str, str]) -> None:
    for name, text in texts.items():
        write_text(os.path.join(directory, name), text)
