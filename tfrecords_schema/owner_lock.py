"""A lock on a directory: the file `owner.json` names the one process that may write.

The same protocol works on a local disk and on an object store, which has neither exclusive creation
nor an atomic rename; there the last writer wins.

- A process that wants the directory writes its own mark: host, process, a random token. On a local
  disk it does so under a kernel lock, so that one process wins. Elsewhere it reads the mark again a
  little later, and is the owner if the mark is still its own.
- The owner renews the mark every `BEAT_S`, and checks that it is still its own. If another job has
  taken over, it stops.
- A mark of this machine whose process has ended is taken over at once. Any other mark is watched.
  If it is renewed, its owner is alive. If it is not renewed for `EXPIRES_S` by the watcher's own
  clock, it is taken over. Clocks of two machines are never compared.

Two jobs may both act as the owner, if a store takes between `SETTLE_S` and `BEAT_S` to show a new
mark. That does no harm to atomic files, such as shards.
"""

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import tensorflow as tf

from tfrecords_schema import stop_signals
from tfrecords_schema.errors import InputError
from tfrecords_schema.messages import logger
from tfrecords_schema.owner_mark import (
    alone_in,
    is_running,
    name_owner,
    new_mark,
    parse_mark,
    read_mark,
    write_mark,
)

OWNER_FILE = "owner.json"
BEAT_S = 10.0  # between two renewals of the mark
EXPIRES_S = 40.0  # a mark that is unchanged for this time belongs to a dead job
SETTLE_S = 6.0  # TensorFlow may show contents of a bucket that are up to five seconds old
POLL_S = 1.0  # between two reads of another job's mark


@contextmanager
def hold_directory(directory: str, flag: str, folder: str = "") -> Iterator[None]:
    """Owns a directory within the context; makes it if it is missing.

    Args:
      directory: the directory to own.
      flag: the flag that named it, for messages.
      folder: the folder within it for the mark.

    Raises:
      InputError: another job owns it, or has taken it over within the context.
      OSError, tf.errors.OpError: the mark cannot be written.
    """
    hold = _Hold(directory, flag, folder)
    with stop_signals.at_end(hold.release):
        try:
            hold.acquire()
            yield
        except BaseException as error:
            if hold.lost:  # Beam turns the KeyboardInterrupt into another error
                raise InputError(hold.lost) from error
            raise
        finally:
            hold.release()
    if hold.lost:
        raise InputError(hold.lost)


class _Hold:
    """This job's mark in one directory."""

    def __init__(self, directory: str, flag: str, folder: str):
        self.lost = ""  # the error message when another job has taken over
        self._directory = directory
        self._flag = flag
        self._folder = os.path.join(directory, folder) if folder else directory
        self._path = os.path.join(self._folder, OWNER_FILE)
        self._mark = new_mark()
        self._ended = threading.Event()
        self._renewing = threading.Lock()

    def acquire(self) -> None:
        """Becomes the owner, and starts to renew the mark.

        Raises:
          InputError: another job is the owner.
          OSError, tf.errors.OpError: the mark cannot be written.
        """
        tf.io.gfile.makedirs(self._folder)
        self._take()
        is_main = threading.current_thread() is threading.main_thread()
        threading.Thread(target=self._keep, args=(is_main,), name="owner", daemon=True).start()

    def release(self) -> None:
        """Removes the mark if it is this job's; it may be called again."""
        self._ended.set()
        with self._renewing, suppress(OSError, tf.errors.OpError), alone_in(self._folder):
            if self._owns(read_mark(self._path)):
                tf.io.gfile.remove(self._path)

    def _take(self) -> None:
        """Writes the mark. Waits first if it is unknown whether another owner is alive."""
        watched, since = "", 0.0
        while True:
            with alone_in(self._folder) as is_alone:
                found = read_mark(self._path)
                running = is_running(parse_mark(found))
                expired = found == watched and time.monotonic() - since >= EXPIRES_S
                is_free = not found or running is False or expired
                if is_free:
                    write_mark(self._path, self._mark)
            if is_free:
                if is_alone:
                    return
                time.sleep(SETTLE_S)
                if self._owns(read_mark(self._path)):
                    return
                continue  # another job has written its mark later
            if running or (watched and found != watched):
                raise InputError(
                    f"--{self._flag}: another job writes to {self._directory}: "
                    f"{name_owner(found)}. Wait for its end, or end it, or give another directory"
                )
            if not watched:
                logger.info(
                    f"Another job has begun to write to {self._directory}: {name_owner(found)}. "
                    f"Whether it lives is seen only by its renewing {self._path}: waiting for "
                    f"that, {EXPIRES_S:.0f} seconds at most"
                )
                watched, since = found, time.monotonic()
            time.sleep(POLL_S)

    def _keep(self, is_main: bool) -> None:
        """Renews the mark until release. Ends this job if another one has taken over."""
        while not self._ended.wait(BEAT_S) and not self.lost:
            # The disk may be full, or the store unavailable; the next renewal may succeed.
            with suppress(OSError, tf.errors.OpError):
                self._renew()
            if self.lost and stop_signals.is_listening():
                stop_signals.end(2, f"error: {self.lost}")
            elif self.lost and is_main:
                _interrupt_main_thread()

    def _renew(self) -> None:
        with self._renewing, alone_in(self._folder):
            if self._ended.is_set():
                return
            found = read_mark(self._path)
            if not found or self._owns(found):  # a missing mark was deleted by someone
                self._mark["renewed"] += 1
                write_mark(self._path, self._mark)
            else:
                self.lost = (
                    f"--{self._flag}: another job has taken {self._directory} over, because this "
                    f"one did not renew its mark in time: {name_owner(found)}. This one stops; "
                    "what is complete is kept"
                )

    def _owns(self, found: str) -> bool:
        return parse_mark(found).get("token") == self._mark["token"]


def _interrupt_main_thread() -> None:
    """Raises a KeyboardInterrupt in the main thread, if Python's own handler is installed."""
    main = threading.main_thread().ident
    if main is not None and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.pthread_kill(main, signal.SIGINT)
