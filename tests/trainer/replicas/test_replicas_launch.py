import dataclasses
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from commands import complaint
from run_ends import assert_same_training
from small_configs import multiworker_config

from tfrecords_schema.errors import InputError
from tfrecords_schema.manifest import read_manifest
from trainer.command import main, to_arguments
from trainer.data.epoch_plan import plan_epoch
from trainer.loop import train
from trainer.replicas import launch as module
from trainer.replicas.launch import launch

EPOCHS = 12
pytestmark = pytest.mark.skipif(
    not os.path.isdir("/proc/self/task"), reason="finds the workers by /proc"
)


def two_readers(dataset, run, **changes):
    """Each worker reads its own shards. The run lasts, so that it is still on when it is killed."""
    changes = dict(epochs=EPOCHS, patience=EPOCHS) | changes
    return multiworker_config(dataset, run, checkpoint_every=3, readers=2, **changes)


@pytest.fixture(scope="module")
def one_device(dataset, tmp_path_factory):
    config = two_readers(dataset, tmp_path_factory.mktemp("one") / "run", strategy="one")
    train(config)
    return config.run


def start(config):
    arguments = [a for a in to_arguments(config) if not a.startswith("--strategy")]
    command = [sys.executable, "-m", "trainer", "launch", "--workers=2", *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def wait_for_checkpoint(process, config):
    directory = Path(config.run) / "checkpoints"
    while not (directory.is_dir() and any(directory.iterdir())):
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)


def workers_of(process):
    path = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    return [int(pid) for pid in path.read_text().split()]


def assert_gone(pids, seconds=30):
    deadline = time.monotonic() + seconds
    while any(os.path.exists(f"/proc/{pid}") for pid in pids):
        assert time.monotonic() < deadline
        time.sleep(0.1)


@pytest.mark.slow
def test_launch_trains_as_one_device_does_through_dead_processes_and_a_stop(
    one_device, dataset, tmp_path
):
    config = two_readers(dataset, tmp_path / "run")
    assert plan_epoch(read_manifest(dataset), config.batch_size, 2, config.seed, 0).readers == 2
    process = start(config)
    wait_for_checkpoint(process, config)
    pids = workers_of(process)
    assert len(pids) == 2
    os.kill(pids[1], signal.SIGKILL)
    error = process.communicate(timeout=60)[1]
    assert process.returncode == 1
    assert "worker 1 ended with status -9; the others are ended too" in error
    assert_gone(pids)

    process = start(config)
    while "Training on" not in process.stdout.readline():
        assert process.poll() is None
    pids = workers_of(process)
    process.kill()
    assert_gone(pids, seconds=15)
    process.communicate()

    process = start(config)
    while "Training on" not in process.stdout.readline():
        assert process.poll() is None
    pids = workers_of(process)
    with pytest.raises(InputError, match=f"another job writes to .*: process {pids[0]} on host"):
        train(dataclasses.replace(config, strategy="one"))
    process.send_signal(signal.SIGINT)
    output = process.communicate(timeout=60)[0]
    assert process.returncode == 75
    assert output.count("asked to stop: ") == 1
    assert_gone(pids)

    process = start(config)
    output, error = process.communicate(timeout=300)
    assert process.returncode == 0
    assert "[worker 0] Continuing" in output
    assert "retracing" not in output + error
    assert_same_training(config.run, one_device, EPOCHS)


def test_launch_tells_the_first_status_of_a_worker_that_is_not_0(monkeypatch, capsys):
    script = "import sys, time; print('error: a flaw'); time.sleep({}); sys.exit({})"

    def run(*workers):
        sleeps = iter(workers)
        popen = subprocess.Popen
        monkeypatch.setattr(
            module.subprocess,
            "Popen",
            lambda command, **options: popen(
                [sys.executable, "-c", script.format(*next(sleeps))], **options
            ),
        )
        try:
            return launch(len(workers), [])
        finally:
            monkeypatch.undo()

    assert run((0, 0), (0.2, 0)) == 0
    assert run((0, 75), (0.2, 75)) == 75
    started = time.monotonic()
    assert run((60, 0), (0.2, 3)) == 1
    assert time.monotonic() - started < 30
    error = capsys.readouterr().err
    assert "worker 1 ended with status 3" in error
    assert error.count("error: a flaw") == 3  # once a launch
    assert run((60, 0), (0.2, 2)) == 2
    error = capsys.readouterr().err
    assert error in ("[worker 0] error: a flaw\n", "[worker 1] error: a flaw\n")


def test_bad_flags_are_told_before_a_worker_starts(capsys):
    flags = ("launch", "--data=d", "--run=r")
    assert "--workers=0 must be at least 1" in complaint(main, capsys, *flags, "--workers=0")
    error = complaint(main, capsys, *flags, "--strategy=mirrored")
    assert "--strategy=mirrored: workers have --strategy=multiworker" in error
    assert "--epochs=0 must be at least 1" in complaint(main, capsys, *flags, "--epochs=0")
    assert "--batch_size=32 must be a multiple of the 3" in complaint(
        main, capsys, *flags, "--workers=3"
    )


def test_flags_that_every_worker_would_refuse_are_told_before_a_worker_starts(
    dataset, tmp_path, capsys, monkeypatch
):
    monkeypatch.setattr(module.subprocess, "Popen", None)
    flags = ("launch", f"--run={tmp_path / 'run'}")
    cases = (
        (("--data=/none",), "/none does not exist"),
        ((f"--data={dataset}", "--word_vectors=/none"), "--word_vectors: /none does not exist"),
        ((f"--data={dataset}", "--initial_run=/none"), "--initial_run: /none has no config.json"),
        ((f"--data={dataset}", "--seed=-1"), "--seed=-1 must lie in 0 to 4294967295"),
        ((f"--data={dataset}", "--crop=0.1"), "--crop=0.1 is for a dataset of images"),
    )
    for arguments, expected in cases:
        error = complaint(main, capsys, *flags, *arguments)
        assert error.count("\n") == 1 and expected in error, error
    assert not (tmp_path / "run").exists()
