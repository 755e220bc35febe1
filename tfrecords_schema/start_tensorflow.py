"""Importing TensorFlow without the log lines that it writes before anyone can ask it not to."""

import contextlib
import os
import sys
from collections.abc import Iterator

from tfrecords_schema.errors import InputError
from tfrecords_schema.keras_settings import choose_backend, import_keras


def start_tensorflow(log_level: int = 2) -> None:
    """Imports TensorFlow and finds the devices, with standard error turned away meanwhile.

    Its C++ libraries log what they did not find (CUDA on a machine without GPU) straight to file
    descriptor 2, before their log level counts. Python errors are raised as ever.

    Keras is imported too, so that it runs on TensorFlow. Where it does not like the user's
    keras.json the process ends with one line and status 2.

    Args:
      log_level: of the C++ libraries, 2 for errors and 3 for what ends the process.
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
    """Turns file descriptor 2 away, where C libraries write what no log level holds back.

    Python's exceptions pass through. What Python itself writes to `sys.stderr` within is lost too.
    """
    screen, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(screen, 2)
        os.close(screen)
        os.close(nowhere)
