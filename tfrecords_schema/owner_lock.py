"""One owner of a directory at a time: an `owner.json` in it says who it is.

The same protocol serves the local disk and an object store, which has neither exclusive creation
nor an atomic rename, only a last writer.

- Who wants the directory writes a mark of its own: host, process, a random token. On a local disk
  this is done under a lock of the kernel's, so that one wins. Elsewhere it looks again a little
  later, and is the owner if the mark is still its own.
- The owner renews the mark every `BEAT_S`, and looks at that time whether it is still its own. If
  another job has taken over, it stops.
- A mark of this machine whose process has ended is taken over at once. Any other mark is watched:
  if it is renewed, its owner lives; if not for `EXPIRES_S` by the watcher's own clock, it is taken
  over. Clocks of two machines are never compared.

Two jobs may both take themselves for the owner where a store takes longer than `SETTLE_S`, but no
longer than `BEAT_S`. That does no harm to what is written whole or not at all, such as shards.
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
EXPIRES_S = 40.0  # a mark that has stayed the same for so long is of a dead job
SETTLE_S = 6.0  # TensorFlow may show what was in a bucket five seconds ago
POLL_S = 1.0  # between two looks at another's mark


@contextmanager
def hold_directory(directory: str, flag: str, folder: str = "") -> Iterator[None]:
    """Owns a directory as long as the context lasts; makes it where it is missing.

    Args:
      directory: to be owned.
      flag: by which the user gave it, for messages.
      folder: within it, where the mark lies.

    Raises:
      InputError: another job owns it or, at any time within the context, has taken it over.
      OSError, tf.errors.OpError: the mark cannot be written.
    """
    hold = _Hold(directory, flag, folder)
    with stop_signals.at_end(hold.release):
        try:
            hold.acquire()
            yield
        except BaseException as error:
            if hold.lost:  # Beam turns the interrupt into another error
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
        """Becomes the owner, and renews the mark from now on.

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
        """Writes the mark, after a wait where it cannot be known whether another owner lives."""
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
                continue  # another one has written after this one
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
        """Renews the mark until the end, or until it is another's: then it ends this job."""
        while not self._ended.wait(BEAT_S) and not self.lost:
            # A full disk, or a store that is away for a time: the next time may do.
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
            if not found or self._owns(found):  # without a mark someone has tidied up
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
    """A KeyboardInterrupt, where Python's own handler would raise one."""
    main = threading.main_thread().ident
    if main is not None and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.pthread_kill(main, signal.SIGINT)
