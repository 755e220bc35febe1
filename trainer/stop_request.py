"""Stops a run on SIGTERM, which a cluster sends before it takes a machine away, and on Ctrl-C.

The command handles signals from its start, see `tfrecords_schema.stop_signals`. Before training
there is nothing to save, so a signal ends the process. In training the first signal asks the run
to save and stop, and a second one ends it.
"""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from tfrecords_schema import stop_signals

STOPPED_STATUS = 75  # EX_TEMPFAIL of sysexits.h: try again


class StoppedError(Exception):
    """The run was asked to stop. It is saved, and the same command continues it."""


@contextmanager
def stop_requests() -> Iterator[threading.Event]:
    """Yields an event that SIGTERM sets, and in the command Ctrl-C too, within the context.

    Only the main thread of a program can handle signals; in other threads the event is never set.
    """
    asked = threading.Event()
    if stop_signals.is_listening():
        kept = "the last checkpoint is kept; the same command continues the run"
        with stop_signals.first_signal(asked.set), stop_signals.kept(lambda: kept):
            yield asked
        return
    if threading.current_thread() is not threading.main_thread():
        yield asked
        return
    before = signal.signal(signal.SIGTERM, lambda *_: asked.set())
    try:
        yield asked
    finally:
        signal.signal(signal.SIGTERM, before)
