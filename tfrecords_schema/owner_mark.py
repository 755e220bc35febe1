"""The mark of the process that owns a directory: reads, writes and checks it."""

import errno
import fcntl
import json
import os
import socket
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import tensorflow as tf


def new_mark() -> dict[str, Any]:
    """Makes a unique mark of this process."""
    return {
        "token": uuid.uuid4().hex,
        "host": socket.gethostname(),
        "machine": _machine(),
        "pid": os.getpid(),
        "process_start": _process_start(os.getpid()),
        "since": time.time(),
        "renewed": 0,
    }


def write_mark(path: str, mark: dict[str, Any]) -> None:
    """Replaces the mark at `path`; a reader never sees half of it."""
    text = json.dumps(mark)
    if "://" in path:  # an object becomes visible only when complete
        with tf.io.gfile.GFile(path, "wb") as file:
            file.write(text)
        return
    temporary = f"{path}.{mark['token']}~"  # unique, since without a lock others write too
    with open(temporary, "w") as file:
        file.write(text)
    os.replace(temporary, path)


@contextmanager
def alone_in(folder: str) -> Iterator[bool]:
    """Locks out other processes if the filesystem can do that; yields whether it can."""
    if "://" in folder:
        yield False
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            locked = True
        except OSError:  # for example a directory on NFS
            locked = False
        yield locked
    finally:
        os.close(descriptor)


def read_mark(path: str) -> str:
    """The text of the mark; empty if there is none."""
    try:
        with tf.io.gfile.GFile(path, "rb") as file:
            return file.read(1 << 16).decode("utf-8", "replace")
    except tf.errors.NotFoundError:
        return ""


def parse_mark(text: str) -> dict[str, Any]:
    """The fields of a mark; empty if it is incomplete."""
    try:
        mark = json.loads(text)
    except ValueError:
        return {}
    return mark if isinstance(mark, dict) else {}


def is_running(mark: dict[str, Any]) -> bool | None:
    """Whether the process of a mark runs; None if that is unknown on this machine."""
    if mark.get("machine") != _machine() or not isinstance(mark.get("pid"), int):
        return None
    start, known = _process_start(mark["pid"]), mark.get("process_start")
    if start is None:
        return False
    return start == known if start and known else None


def _machine() -> str:
    """An identifier shared by all processes that see each other's process ids.

    It has the host's name, its boot id, and the PID namespace, since containers may share the
    first two.
    """
    try:
        with open("/proc/sys/kernel/random/boot_id") as file:
            boot = file.read().strip()
    except OSError:  # not Linux
        boot = str(uuid.getnode())
    namespace = ""
    with suppress(OSError):
        namespace = os.readlink("/proc/self/ns/pid")
    return f"{socket.gethostname()} {boot} {namespace}".strip()


def _process_start(pid: int) -> str | None:
    """The start time of a process, in the kernel's units; process ids are reused.

    It is empty if the process runs and its start time is unknown, None if the process has ended.
    """
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            fields = file.read().rpartition(")")[2].split()  # after the name, which may hold spaces
        return None if fields[0] in "ZX" else fields[19]  # Z is a zombie: ended, not yet reaped
    except OSError:
        pass
    try:
        os.kill(pid, 0)
    except OSError as error:
        return None if error.errno == errno.ESRCH else ""
    return ""


def name_owner(text: str) -> str:
    """A description of the process of a mark, for a message."""
    mark = parse_mark(text)
    if not isinstance(mark.get("since"), float):
        return "its mark cannot be read"
    since = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(mark["since"]))
    return f"process {mark.get('pid')} on host {mark.get('host')}, since {since}"
