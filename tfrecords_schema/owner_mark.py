"""The mark that says which process owns a directory: reading, writing, who lives."""

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
    """A mark of this process, unlike any other."""
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
    """Replaces what is at `path`; a reader never sees half of it."""
    text = json.dumps(mark)
    if "://" in path:  # an object is there when it is whole
        with tf.io.gfile.GFile(path, "wb") as file:
            file.write(text)
        return
    temporary = f"{path}.{mark['token']}~"  # where no lock is, another writer has its own
    with open(temporary, "w") as file:
        file.write(text)
    os.replace(temporary, path)


@contextmanager
def alone_in(folder: str) -> Iterator[bool]:
    """Keeps the other processes out where the filesystem can do that; yields whether it can."""
    if "://" in folder:
        yield False
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            locked = True
        except OSError:  # such as NFS, for a directory
            locked = False
        yield locked
    finally:
        os.close(descriptor)


def read_mark(path: str) -> str:
    """What is in the mark; empty where there is none."""
    try:
        with tf.io.gfile.GFile(path, "rb") as file:
            return file.read(1 << 16).decode("utf-8", "replace")
    except tf.errors.NotFoundError:
        return ""


def parse_mark(text: str) -> dict[str, Any]:
    """The fields of a mark; none where it is half written."""
    try:
        mark = json.loads(text)
    except ValueError:
        return {}
    return mark if isinstance(mark, dict) else {}


def is_running(mark: dict[str, Any]) -> bool | None:
    """Whether the process that wrote the mark runs; None where that cannot be seen from here."""
    if mark.get("machine") != _machine() or not isinstance(mark.get("pid"), int):
        return None
    start, known = _process_start(mark["pid"]), mark.get("process_start")
    if start is None:
        return False
    return start == known if start and known else None


def _machine() -> str:
    """A name for all the processes that see each other by their numbers.

    It holds the host's name, its boot, and the namespace of process numbers: containers may share
    the first two.
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
    """When a process began, in the kernel's units; numbers of processes are used again.

    It is empty where the process is there and its start cannot be seen, None where it has ended.
    """
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            fields = file.read().rpartition(")")[2].split()  # after the name, which may be anything
        return None if fields[0] in "ZX" else fields[19]  # Z: ended, its parent has not looked
    except OSError:
        pass
    try:
        os.kill(pid, 0)
    except OSError as error:
        return None if error.errno == errno.ESRCH else ""
    return ""


def name_owner(text: str) -> str:
    """Who wrote a mark, for a message."""
    mark = parse_mark(text)
    if not isinstance(mark.get("since"), float):
        return "its mark cannot be read"
    since = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(mark["since"]))
    return f"process {mark.get('pid')} on host {mark.get('host')}, since {since}"
