"""Runs several workers of one run on this machine, as a trial of a cluster.

Each worker is a process with its TF_CONFIG, as TensorFlow documents it for multi-worker training.
A cluster's own launcher does the same on its machines. The workers share the CPU cores equally.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Sequence

from tfrecords_schema import stop_signals
from trainer.replicas import launched_worker
from trainer.replicas.tf_config import VARIABLE
from trainer.stop_request import STOPPED_STATUS

_POLL_S = 0.2
_GRACE_S = 20  # between the request to end and the kill
_LAST_WORDS = ("error: ", "asked to stop: ", "interrupted: ")
_REFUSED_STATUS = 2  # exit status of a worker that refuses the user's input


def launch(workers: int, arguments: Sequence[str]) -> int:
    """Runs `python -m trainer train` with these arguments as `workers` workers, and waits for them.

    When one fails, its number is printed and the others are ended. SIGTERM and Ctrl-C are passed
    to the workers as Ctrl-C. The workers end when this process is killed.

    Returns:
      0 if all ended well; the status of a stopped run if they were stopped; 2 if a worker refused
      the user's input, with a message of its own; else 1.
    """
    processes: list[subprocess.Popen] = []
    tell, asked = _Teller(), threading.Event()

    def hand_on() -> None:
        asked.set()
        for process in processes:  # TensorFlow handles SIGTERM while workers wait for each other
            process.send_signal(signal.SIGINT)

    kept = "the last checkpoint is kept; the same command continues the run"
    with stop_signals.first_signal(hand_on), stop_signals.kept(lambda: kept):
        try:
            ports = _free_ports(workers)
            for index in range(workers):
                if not asked.is_set():
                    processes.append(_start(index, ports, arguments))
                    tell.lines_of(index, processes[-1])
            return _wait(processes, asked)
        finally:
            for process in processes:
                process.kill()
            tell.rest()


def _start(index: int, ports: list[int], arguments: Sequence[str]) -> subprocess.Popen:
    cluster = {"worker": [f"localhost:{port}" for port in ports]}
    threads = str(max(1, (os.cpu_count() or 1) // len(ports)))
    environment = os.environ | {
        VARIABLE: json.dumps({"cluster": cluster, "task": {"type": "worker", "index": index}}),
        "TF_NUM_INTRAOP_THREADS": threads,
        "TF_NUM_INTEROP_THREADS": threads,
        launched_worker.VARIABLE: "1",
    }
    return subprocess.Popen(
        [sys.executable, "-m", "trainer", "train", *arguments], env=environment,
        stdin=subprocess.PIPE,  # see `launched_worker`
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
        process_group=0,  # the terminal's Ctrl-C reaches this process alone, which passes it on
    )  # fmt: skip


def _wait(processes: list[subprocess.Popen], asked: threading.Event) -> int:
    deadline = 0.0
    while True:
        statuses = [process.poll() for process in processes]
        has_ended = None not in statuses
        if asked.is_set():
            if any(status is not None for status in statuses):
                deadline = deadline or time.monotonic() + _GRACE_S
            if has_ended or (deadline and time.monotonic() > deadline):
                return STOPPED_STATUS if any(statuses) or not has_ended else 0
        elif _REFUSED_STATUS in statuses:
            return _REFUSED_STATUS
        elif failed := [i for i, s in enumerate(statuses) if s not in (None, 0, STOPPED_STATUS)]:
            # A worker that was killed comes first: others may have ended for want of it.
            status, worker = min((statuses[i] or 0, i) for i in failed)
            print(
                f"worker {worker} ended with status {status}; the others are ended too. The same "
                "command continues the run",
                file=sys.stderr,
            )
            _end(processes)
            return 1
        elif has_ended:
            return max(status for status in statuses if status is not None)
        time.sleep(_POLL_S)


def _end(processes: list[subprocess.Popen]) -> None:
    for process in processes:
        process.terminate()
    deadline = time.monotonic() + _GRACE_S
    for process in processes:
        try:
            process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.kill()


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("localhost", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


class _Teller:
    """Prints the workers' output, each line with its worker; a final message only once."""

    def __init__(self) -> None:
        self._threads: list[threading.Thread] = []
        self._last_words: set[str] = set()
        self._printing = threading.Lock()

    def lines_of(self, index: int, process: subprocess.Popen) -> None:
        """Starts to print the lines of a worker."""
        thread = threading.Thread(target=self._print, args=(index, process), daemon=True)
        self._threads.append(thread)
        thread.start()

    def rest(self) -> None:
        """Prints the remaining output of workers that have ended."""
        for thread in self._threads:
            thread.join(timeout=5)  # a child of the worker may hold its output open

    def _print(self, index: int, process: subprocess.Popen) -> None:
        for line in process.stdout or ():
            with self._printing:
                if line not in self._last_words:
                    screen = sys.stderr if line.startswith("error: ") else sys.stdout
                    print(f"[worker {index}] {line}", end="", flush=True, file=screen)
                if line.startswith(_LAST_WORDS):
                    self._last_words.add(line)
