"""`python -m pipeline.engines.local_worker PID` is one of several local worker processes.

It is Beam's own worker, with TensorFlow's log and that of Beam's channels hidden, except errors. It
ends when the launcher, process PID, has ended, so that it does not write while another job runs.
"""

import logging
import os
import sys
import threading
import time

from tfrecords_schema.start_tensorflow import start_tensorflow

POLL_S = 0.2


def end_with(launcher: int) -> None:
    """Ends this process as soon as its parent is not `launcher`."""
    while os.getppid() == launcher:
        time.sleep(POLL_S)
    os._exit(1)


if __name__ == "__main__":
    threading.Thread(target=end_with, args=(int(sys.argv[1]),), daemon=True).start()
    logging.disable(logging.WARNING)
    start_tensorflow(log_level=3)  # hides decoder errors, which are in the rejects table

    from apache_beam.runners.worker import sdk_worker_main

    from pipeline.engines.worker_failures import (
        hush_workers,
    )  # imports TensorFlow, so it comes after start_tensorflow

    hush_workers()
    sdk_worker_main.main([])
