"""SIGTERM: what a cluster sends before it takes a machine away."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

STOPPED_STATUS = 75  # EX_TEMPFAIL of sysexits.h: try again


class StoppedError(Exception):
    """The run was asked to stop; it is saved, and the same command continues it."""


@contextmanager
def stop_requests() -> Iterator[threading.Event]:
    """An event that SIGTERM sets, as long as the context lasts.

    Only the main thread can listen to signals; elsewhere the event is never set.
    """
    asked = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield asked
        return
    before = signal.signal(signal.SIGTERM, lambda *_: asked.set())
    try:
        yield asked
    finally:
        signal.signal(signal.SIGTERM, before)
