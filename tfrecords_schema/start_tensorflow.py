"""Imports TensorFlow without the log lines that it writes before its log level is set."""

import contextlib
import os
import sys
from collections.abc import Iterator

from tfrecords_schema.errors import InputError
from tfrecords_schema.keras_settings import choose_backend, import_keras


def start_tensorflow(log_level: int = 2) -> None:
    """Imports TensorFlow and finds the devices, with standard error discarded meanwhile.

    Its C++ libraries log missing hardware (CUDA on a machine without GPU) directly to file
    descriptor 2, before their log level takes effect. Python errors are raised as usual.

    Keras is imported too, so that it runs on TensorFlow. If it rejects the user's keras.json, the
    process ends with one line and status 2.

    Args:
      log_level: the log level of the C++ libraries, 2 for errors and 3 for fatal errors.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", str(log_level))
    choose_backend()
    try:
        with native_stderr_discarded():
            import_keras()
            import tensorflow as tf

            tf.config.list_physical_devices()
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)


@contextlib.contextmanager
def native_stderr_discarded() -> Iterator[None]:
    """Discards file descriptor 2, where C libraries write messages that no log level stops.

    Python's exceptions pass through. Python's own output to `sys.stderr` is lost too.
    """
    screen, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(screen, 2)
        os.close(screen)
        os.close(nowhere)
