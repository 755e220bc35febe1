"""Handles Ctrl-C and SIGTERM at any moment: prints one line, ends workers and releases the lock.

Python's own handling is an exception in the main thread. It is delayed during a C++ call, gets lost
in callbacks, is turned into another error by Beam, and leaves threads that finish their shards. So
a thread waits for the signals, prints what is kept, and ends the process. Unfinished files have
temporary names, see `tfrecords_schema.atomic_file`, so this end loses no complete work.

Code that can do better than end, such as a training run that can save, handles the first signal
with `first_signal`; the second one always ends the process.

This applies only to a process that called `listen`; others keep Python's own handling.
"""

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import NoReturn

SIGNALS = {int(signal.SIGINT): "interrupted", int(signal.SIGTERM): "terminated"}
GRACE_S = 10  # limit of all waits at the end

_screen: int | None = None  # a copy of standard error, which is discarded while TensorFlow loads
_ending = threading.Lock()
_status: int | None = None  # exit status after the first signal; None means 128 + its number
_kept: list[Callable[[], str]] = [lambda: "nothing was changed yet; the same command goes on"]
_first: list[Callable[[], None]] = []
_at_end: list[Callable[[], None]] = []


def hold_back() -> None:
    """Blocks the signals until `listen`, also across an exec."""
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)


def listen(status: int | None = None) -> None:
    """Makes a signal end this process by `end`; an ignored signal stays ignored.

    Args:
      status: exit status after the first signal, instead of 128 + its number.
    """
    global _screen, _status
    _screen, _status = os.dup(2), status
    receive, send = os.pipe()
    os.set_blocking(send, False)
    signal.set_wakeup_fd(send, warn_on_full_buffer=False)
    _catch()
    threading.Thread(target=_wait, args=(receive,), name="stop", daemon=True).start()
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)


@contextmanager
def at_end(act: Callable[[], None]) -> Iterator[None]:
    """Makes `end` call `act`, within the context."""
    _at_end.append(act)
    try:
        yield
    finally:
        _at_end.remove(act)


@contextmanager
def first_signal(act: Callable[[], None]) -> Iterator[None]:
    """Makes the first signal call `act` in a thread instead of ending the process, in the context.

    TensorFlow's servers of several workers catch SIGTERM themselves; this overrides them.
    """
    _first.append(act)
    if is_listening() and threading.current_thread() is threading.main_thread():
        _catch()
    try:
        yield
    finally:
        _first.remove(act)


@contextmanager
def kept(tell: Callable[[], str]) -> Iterator[None]:
    """Makes the message for a signal include what `tell` returns, within the context."""
    _kept.append(tell)
    try:
        yield
    finally:
        _kept.remove(tell)


def is_listening() -> bool:
    """Whether this process has called `listen`."""
    return _screen is not None


def end(status: int, message: str = "") -> NoReturn:
    """Ends the process now: first its worker processes, then the actions of `at_end`.

    No thread continues. Without `listen` it raises a SystemExit.

    Args:
      status: the exit status.
      message: a line for standard error; nothing is written there after it.
    """
    if _screen is None:
        if message:
            print(message, file=sys.stderr)
        sys.exit(status)
    if not _ending.acquire(blocking=False):
        threading.Event().wait()  # another thread is ending the process
    last_way_out = threading.Timer(GRACE_S, os._exit, [status])
    last_way_out.daemon = True
    last_way_out.start()
    if message:
        os.write(_screen, f"{_new_line()}{message}\n".encode(errors="backslashreplace"))
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # hides errors of threads about ended workers
    _end_children()
    for act in reversed(_at_end):
        with suppress(Exception):
            act()
    with suppress(Exception):
        sys.stdout.flush()
    os._exit(status)


def _catch() -> None:
    """Makes the signals that are not ignored wake the thread that waits for them."""
    for number in SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, lambda *_: None)


def _wait(receive: int) -> None:
    """Waits for signals, read as bytes from `receive`, until one ends the process."""
    number, status = _next_signal(receive), _status
    if _first:
        _first[-1]()
        number, status = _next_signal(receive), None
    status = 128 + number if status is None else status
    end_later = threading.Timer(GRACE_S, end, [status, SIGNALS[number]])
    end_later.daemon = True
    end_later.start()  # for a filesystem that does not answer
    try:
        what = _kept[-1]()
    except Exception:  # for example the directory is gone
        what = "the same command goes on"
    end(status, f"{SIGNALS[number]}: {what}")


def _next_signal(receive: int) -> int:
    number = 0
    while number not in SIGNALS:
        number = os.read(receive, 1)[0]
    return number


def _new_line() -> str:
    """A line feed if a progress bar is on the screen, else empty."""
    tqdm = getattr(sys.modules.get("tqdm"), "tqdm", None)
    return "\n" if getattr(tqdm, "_instances", None) else ""


def _end_children() -> None:
    """Kills all child processes and their children, until there are none."""
    import psutil

    while children := psutil.Process().children(recursive=True):
        for child in children:
            with suppress(psutil.Error):
                child.kill()
        psutil.wait_procs(children, timeout=GRACE_S)
