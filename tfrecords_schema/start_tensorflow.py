"""Importing TensorFlow without the log lines that it writes before anyone can ask it not to."""

import os


def start_tensorflow(log_level: int = 2) -> None:
    """Imports TensorFlow and finds the devices, with standard error turned away meanwhile.

    Its C++ libraries log what they did not find (CUDA on a machine without GPU) straight to file
    descriptor 2, before their log level counts. Python errors are raised as ever.

    Args:
      log_level: of the C++ libraries, 2 for errors and 3 for what ends the process.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", str(log_level))
    screen, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        import tensorflow as tf

        tf.config.list_physical_devices()
    finally:
        os.dup2(screen, 2)
        os.close(screen)
        os.close(nowhere)
