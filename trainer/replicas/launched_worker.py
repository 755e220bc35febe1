"""Ends a launched worker when its launcher is gone.

A launcher that is killed cannot end its workers. The system closes its end of the pipe that is the
workers' standard input, so a worker reads the end of that input.
"""

import os
import signal
import threading
import time

VARIABLE = "BEAMCAP_LAUNCHED"  # set in the environment of a launched worker
GRACE_S = 10  # time to save the run


def end_with_launcher() -> None:
    """Interrupts this process, as Ctrl-C does, when its launcher ends, if it was launched."""
    if os.environ.pop(VARIABLE, ""):
        threading.Thread(target=_wait, name="launcher", daemon=True).start()


def _wait() -> None:
    while os.read(0, 1):
        pass  # the launcher writes nothing there
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(GRACE_S)
    os._exit(1)
