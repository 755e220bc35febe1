"""Runs a command of the pipeline in this process, and ends it on errors."""

import logging
import traceback
from collections.abc import Callable
from typing import Any

from tfrecords_schema import stop_signals
from tfrecords_schema.start_tensorflow import start_tensorflow


def run_in_process(parse: Callable[[], tuple[Any, ...]], run: Callable[..., None]) -> None:
    """Calls `run` with the result of `parse`, and ends this process if that fails.

    `--help` and bad flags end it before TensorFlow is imported, which takes seconds.
    """
    stop_signals.listen()
    asked = parse()
    start_tensorflow(log_level=3)  # hides decoder errors, which are in the rejects table
    logging.getLogger().setLevel(logging.ERROR)  # hides Beam's warnings about optional packages

    from pipeline.engines.worker_failures import hush_workers  # imports TensorFlow, Beam

    hush_workers()
    try:
        run(*asked)
    except Exception:  # a defect; threads and worker processes must not continue
        traceback.print_exc()
        stop_signals.end(1)
