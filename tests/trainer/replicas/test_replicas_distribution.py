"""Strategies of whole runs: several devices, several processes, the same training."""

import json
import os
import re
import socket
import subprocess
import sys
import time

import pytest
import tensorflow as tf
from run_ends import assert_same_training
from small_configs import multiworker_config, train_config

from trainer.command import to_arguments
from trainer.loop import train
from trainer.replicas.distribution import from_chief, is_chief, make_strategy

EPOCHS = 5


@pytest.fixture(scope="module")
def one_device(dataset, tmp_path_factory):
    run = str(tmp_path_factory.mktemp("one") / "run")
    train(train_config(dataset, run, epochs=EPOCHS))
    return run


def test_auto_takes_all_devices_and_one_takes_one():
    assert make_strategy("one").num_replicas_in_sync == 1
    assert make_strategy("auto").num_replicas_in_sync == 4  # tests run on four logical CPUs
    assert make_strategy("mirrored").num_replicas_in_sync == 4


def test_a_single_process_is_the_chief():
    strategy = tf.distribute.get_strategy()
    assert is_chief(strategy)
    assert from_chief(strategy, 12.5) == 12.5


@pytest.mark.slow
def test_four_replicas_train_as_one_device_does(one_device, dataset, tmp_path):
    run = str(tmp_path / "run")
    train(train_config(dataset, run, epochs=EPOCHS, strategy="mirrored"))
    assert_same_training(run, one_device, EPOCHS)


def worker_processes(config, count=2):
    """Starts `python -m trainer train` as so many workers."""
    ports = []
    for _ in range(count):
        with socket.socket() as free:
            free.bind(("localhost", 0))
            ports.append(free.getsockname()[1])
    command = [sys.executable, "-m", "trainer", "train", *to_arguments(config)]
    return [
        subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env=os.environ | {"TF_CONFIG": json.dumps({
                "cluster": {"worker": [f"localhost:{port}" for port in ports]},
                "task": {"type": "worker", "index": index},
            })},
        )
        for index in range(count)
    ]  # fmt: skip


@pytest.mark.slow
def test_a_worker_ends_and_says_so_when_the_other_worker_dies(dataset, tmp_path):
    config = multiworker_config(dataset, tmp_path / "run", epochs=EPOCHS, checkpoint_every=2)
    workers = worker_processes(config)
    checkpoints = tmp_path / "run" / "checkpoints"
    while not (checkpoints.is_dir() and any(checkpoints.iterdir())):
        assert [worker.poll() for worker in workers] == [None, None]
        time.sleep(0.05)
    workers[1].kill()
    died = time.monotonic()
    output, error = workers[0].communicate(timeout=120)
    assert time.monotonic() - died < 60
    assert workers[0].returncode == 1
    assert re.search(r"error: worker 1 .*the same command.* continues", error), error
    assert "2 workers read the same shards; with --readers=2 in a new run" in output
    workers[1].communicate()
