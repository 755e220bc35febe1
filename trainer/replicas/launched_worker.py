"""What a worker has to know of the process that launched it: whether it is still there.

A launcher that is killed can end nobody. Its end of a pipe is closed by the system all the same,
and the workers, whose standard input the other end is, see that.
"""

import os
import signal
import threading
import time

VARIABLE = "BEAMCAP_LAUNCHED"  # set in the environment of a worker that was launched
GRACE_S = 10  # to save the run


def end_with_launcher() -> None:
    """Has this process end as by Ctrl-C when its launcher has, if it was launched."""
    if os.environ.pop(VARIABLE, ""):
        threading.Thread(target=_wait, name="launcher", daemon=True).start()


def _wait() -> None:
    while os.read(0, 1):
        pass  # nothing is written there
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(GRACE_S)
    os._exit(1)
