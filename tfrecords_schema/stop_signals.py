"""Ctrl-C and SIGTERM at any moment: one line, the workers ended, the lock given back.

Python's own way is an exception in the main thread. It does not come while a C++ call lasts, gets
lost in callbacks, is turned into another by Beam, and leaves threads that end their shards first.
So a thread waits for the signals, tells what is kept, and ends the process. Whatever was under way
is written under temporary names, see `tfrecords_schema.atomic_file`: an end is a kill without loss.

Who can do better than end, such as a training run that can save, takes the first signal by
`first_signal`; the second one ends the process all the same.

Only a process that called `listen` is ended so; elsewhere Python's own way stays.
"""

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import NoReturn

SIGNALS = {int(signal.SIGINT): "interrupted", int(signal.SIGTERM): "terminated"}
GRACE_S = 10  # after which the end waits for nothing

_screen: int | None = None  # a copy of standard error, which TensorFlow's import turns away
_ending = threading.Lock()
_status: int | None = None  # of a process that the first signal ends; 128 + its number if None
_kept: list[Callable[[], str]] = [lambda: "nothing was changed yet; the same command goes on"]
_first: list[Callable[[], None]] = []
_at_end: list[Callable[[], None]] = []


def hold_back() -> None:
    """Keeps the signals back until `listen`, also through an exec."""
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)


def listen(status: int | None = None) -> None:
    """Ends this process by `end` when a signal comes; a signal that is ignored stays so.

    Args:
      status: of the process that the first signal ends, in place of 128 + its number.
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
    """Has `end` call `act`, as long as the context lasts."""
    _at_end.append(act)
    try:
        yield
    finally:
        _at_end.remove(act)


@contextmanager
def first_signal(act: Callable[[], None]) -> Iterator[None]:
    """Has the first signal call `act`, in a thread, and not end the process, within the context.

    TensorFlow's servers of several workers catch SIGTERM for themselves; this takes it back.
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
    """Has the line for a signal say what `tell` returns, as long as the context lasts."""
    _kept.append(tell)
    try:
        yield
    finally:
        _kept.remove(tell)


def is_listening() -> bool:
    """Whether this process was told to `listen`."""
    return _screen is not None


def end(status: int, message: str = "") -> NoReturn:
    """Ends the process now: its worker processes first, then what `at_end` was given.

    No thread goes on. Where this process does not `listen` it is a SystemExit.

    Args:
      status: of the process.
      message: a line for standard error; nothing is written there after it.
    """
    if _screen is None:
        if message:
            print(message, file=sys.stderr)
        sys.exit(status)
    if not _ending.acquire(blocking=False):
        threading.Event().wait()  # another thread ends the process
    last_way_out = threading.Timer(GRACE_S, os._exit, [status])
    last_way_out.daemon = True
    last_way_out.start()
    if message:
        os.write(_screen, f"{_new_line()}{message}\n".encode(errors="backslashreplace"))
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # threads will miss their workers
    _end_children()
    for act in reversed(_at_end):
        with suppress(Exception):
            act()
    with suppress(Exception):
        sys.stdout.flush()
    os._exit(status)


def _catch() -> None:
    """Has the signals that are not ignored wake the thread that waits for them."""
    for number in SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, lambda *_: None)


def _wait(receive: int) -> None:
    """Waits for signals, which are written to `receive` as bytes, until one ends the process."""
    number, status = _next_signal(receive), _status
    if _first:
        _first[-1]()
        number, status = _next_signal(receive), None
    status = 128 + number if status is None else status
    end_later = threading.Timer(GRACE_S, end, [status, SIGNALS[number]])
    end_later.daemon = True
    end_later.start()  # a filesystem that does not answer
    try:
        what = _kept[-1]()
    except Exception:  # such as a directory that has gone
        what = "the same command goes on"
    end(status, f"{SIGNALS[number]}: {what}")


def _next_signal(receive: int) -> int:
    number = 0
    while number not in SIGNALS:
        number = os.read(receive, 1)[0]
    return number


def _new_line() -> str:
    """A line end where a progress bar stands on the screen."""
    tqdm = getattr(sys.modules.get("tqdm"), "tqdm", None)
    return "\n" if getattr(tqdm, "_instances", None) else ""


def _end_children() -> None:
    """Kills the processes that this one has started, and theirs, until there is none."""
    import psutil

    while children := psutil.Process().children(recursive=True):
        for child in children:
            with suppress(psutil.Error):
                child.kill()
        psutil.wait_procs(children, timeout=GRACE_S)
