"""Ctrl-C and SIGTERM at any moment of the trainer's commands, and who owns a run meanwhile."""

import re
import signal
import subprocess
import sys
import time

import pytest
from small_configs import train_config

from tfrecords_schema.errors import InputError
from tfrecords_schema.owner_mark import parse_mark, read_mark
from trainer.command import to_arguments
from trainer.loop import train

INTERRUPTED = "interrupted: nothing was changed yet; the same command goes on\n"


def start(*arguments, command="train"):
    return subprocess.Popen(
        [sys.executable, "-m", "trainer", command, *arguments],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip


def wait_until(is_so, process):
    deadline = time.monotonic() + 120
    while not is_so():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.01)


def listens(process):
    """Whether a handler of SIGTERM is in place; Python has none of its own."""
    with open(f"/proc/{process.pid}/status") as file:
        caught = int(re.search(r"^SigCgt:\s*(\w+)", file.read(), re.MULTILINE)[1], 16)
    return caught >> (signal.SIGTERM - 1) & 1


@pytest.mark.parametrize(
    "command, status", [("train", 75), ("launch", 75), ("evaluate", 130), ("caption", 130)]
)
def test_a_stop_while_tensorflow_loads_saves_nothing(tmp_path, command, status):
    flags = [f"--run={tmp_path / 'run'}", "--data=-"]
    if command == "caption":
        flags = [f"--model={tmp_path / 'export'}", "picture.jpg"]
    process = start(*flags, command=command)
    wait_until(lambda: listens(process), process)
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=20) == ("", INTERRUPTED)
    assert process.returncode == status
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_ctrl_c_saves_a_run_that_has_one_owner(dataset, tmp_path):
    run = tmp_path / "run"
    config = train_config(dataset, run, epochs=1000, patience=1000, checkpoint_every=1)
    process = start(*to_arguments(config))
    checkpoints = run / "checkpoints"
    wait_until(lambda: checkpoints.is_dir() and any(checkpoints.glob("step-*/complete")), process)
    owner = f"--run: another job writes to {run}: process {process.pid} on host .*, since .* UTC"
    with pytest.raises(InputError, match=owner):
        train(config)
    assert process.poll() is None

    process.send_signal(signal.SIGINT)
    error = process.communicate(timeout=60)[1]
    assert process.returncode == 75
    assert re.fullmatch(
        rf"asked to stop: {run} is saved after \d+ steps, the same command continues it\n",
        "".join(line for line in error.splitlines(True) if not re.match(r"[EIW]\d{4} ", line)),
    )
    assert not (run / "owner.json").exists()


@pytest.mark.slow
def test_a_second_ctrl_c_ends_at_once_and_a_dead_owner_is_none(dataset, tmp_path):
    run = tmp_path / "run"
    config = train_config(dataset, run, epochs=1000, patience=1000)
    # Steps that take long: the first signal is answered after one of them.
    code = (
        "import runpy, sys, time, trainer.epoch\n"
        "trainer.epoch.steps_at_once = lambda: (print('looks', flush=True), time.sleep(60))\n"
        "runpy.run_module('trainer', run_name='__main__')"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, "train", *to_arguments(config)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    while process.stdout.readline() != "looks\n":
        assert process.poll() is None, process.communicate()
    assert parse_mark(read_mark(str(run / "owner.json")))["pid"] == process.pid
    process.send_signal(signal.SIGINT)
    time.sleep(0.5)
    assert process.poll() is None
    asked = time.monotonic()
    process.send_signal(signal.SIGINT)
    error = process.communicate(timeout=30)[1]
    assert time.monotonic() - asked < 10
    assert process.returncode == 130
    line = "interrupted: the last checkpoint is kept; the same command continues the run"
    assert error.splitlines()[-1] == line
    assert not (run / "owner.json").exists()
