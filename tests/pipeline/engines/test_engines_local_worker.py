"""A worker process of the local runner ends with its launcher, whatever ended that."""

import subprocess
import sys

import psutil

WORKER = """
import os, sys
from pipeline.engines.local_worker import end_with
print(os.getpid(), flush=True)
end_with(int(sys.argv[1]))
"""
LAUNCHER = """
import os, subprocess, sys
subprocess.run([sys.executable, "-c", sys.argv[1], str(os.getpid())])
"""


def test_a_local_worker_ends_when_its_launcher_is_killed():
    launcher = subprocess.Popen(
        [sys.executable, "-c", LAUNCHER, WORKER], stdout=subprocess.PIPE, text=True
    )
    worker = psutil.Process(int(launcher.stdout.readline()))
    assert worker.is_running() and worker.ppid() == launcher.pid
    launcher.kill()
    launcher.wait()
    assert psutil.wait_procs([worker], timeout=10)[1] == []


def test_a_local_worker_ends_when_its_launcher_has_ended_before():
    result = subprocess.run([sys.executable, "-c", WORKER, "1"], timeout=30, capture_output=True)
    assert result.returncode == 1
