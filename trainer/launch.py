"""Several workers of one run on this machine: a trial of what a cluster does.

Each worker is a process with its TF_CONFIG, as TensorFlow documents it for multi-worker training;
a cluster's own launcher does the same on its machines. The cores are shared out among them.
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
from types import FrameType

from trainer.stop_request import STOPPED_STATUS

_POLL_S = 0.2
_GRACE_S = 20  # between asking the others to end and killing them


def launch(workers: int, arguments: Sequence[str]) -> int:
    """Runs `python -m trainer train` with these arguments as so many workers; waits for them.

    When one fails the others are ended, and it is said which. SIGTERM and Ctrl-C are handed on.

    Returns:
      0 when all ended well, the status for a stopped run when they were stopped, else 1.
    """
    ports = _free_ports(workers)
    command = [sys.executable, "-m", "trainer", "train", *arguments]
    threads = max(1, (os.cpu_count() or 1) // workers)
    processes = []
    for index in range(workers):
        task = {"type": "worker", "index": index}
        cluster = {"worker": [f"localhost:{port}" for port in ports]}
        environment = os.environ | {
            "TF_CONFIG": json.dumps({"cluster": cluster, "task": task}),
            "TF_NUM_INTRAOP_THREADS": str(threads),
            "TF_NUM_INTEROP_THREADS": str(threads),
        }
        process = subprocess.Popen(
            command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            errors="replace", process_group=0,  # Ctrl-C comes by way of this process
        )  # fmt: skip
        threading.Thread(target=_tell, args=(index, process), daemon=True).start()
        processes.append(process)

    def hand_on(number: int, frame: FrameType | None) -> None:
        for process in processes:
            process.send_signal(signal.SIGTERM)

    before = {number: signal.signal(number, hand_on) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        return _wait(processes)
    finally:
        for process in processes:
            process.kill()
        for number, handler in before.items():
            signal.signal(number, handler)


def _wait(processes: list[subprocess.Popen]) -> int:
    while True:
        statuses = [process.poll() for process in processes]
        failed = [i for i, status in enumerate(statuses) if status not in (None, 0, STOPPED_STATUS)]
        if failed:
            print(
                f"worker {failed[0]} ended with status {statuses[failed[0]]}; the others are "
                "ended too. The same command continues the run",
                file=sys.stderr,
            )
            _end(processes)
            return 1
        if None not in statuses:
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


def _tell(index: int, process: subprocess.Popen) -> None:
    for line in process.stdout or ():
        print(f"[worker {index}] {line}", end="", flush=True)
