"""When a run is claimed, by whom, and which flags it takes then."""

import json
import os
import shutil
import subprocess
import sys
import time

import pytest
import tensorflow as tf
from small_configs import train_config

from tfrecords_schema.dataset import open_dataset
from tfrecords_schema.errors import InputError
from trainer.loop import train
from trainer.runs.run_owner import own_run

ONE = tf.distribute.get_strategy()


def test_a_run_of_a_process_that_was_killed_is_free_at_once(dataset, tmp_path):
    code = (
        "import sys, time\n"
        "from tfrecords_schema.owner_lock import hold_directory\n"
        "with hold_directory(sys.argv[1], 'run'):\n"
        "    print('held', flush=True)\n"
        "    time.sleep(60)"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "run")]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "held\n"
    process.kill()
    process.wait()
    assert os.path.exists(tmp_path / "run" / "owner.json")
    began = time.monotonic()
    config = train_config(dataset, tmp_path / "run")
    with own_run(config, open_dataset(dataset), tf.distribute.get_strategy()):
        assert time.monotonic() - began < 10
        assert (tmp_path / "run" / "config.json").exists()
    assert os.listdir(tmp_path / "run") == ["config.json"]


def test_a_run_is_written_after_all_its_inputs_are_read(dataset, tmp_path):
    run, vectors = tmp_path / "run", tmp_path / "vectors.txt"
    vectors.write_text("dog 1 2\n")
    for changes, expected in (
        ({"word_vectors": str(vectors)}, "line 1 of .*vectors.txt has 2 numbers"),
        ({"initial_run": str(tmp_path)}, "--initial_run: .* has no config.json"),
        ({"strategy": "multiworker"}, "TF_CONFIG"),
        ({"precision": "float16"}, "--precision=float16 is for GPUs"),
    ):
        with pytest.raises(InputError, match=expected):
            train(train_config(dataset, run, **changes))
        assert not run.exists(), changes
    for seed in (-1, 2**32):
        with pytest.raises(InputError, match=rf"--seed={seed} must lie in 0 to 4294967295"):
            train_config(dataset, run, seed=seed)
    assert train_config(dataset, run, seed=2**32 - 1).seed == 2**32 - 1


def test_a_run_without_a_checkpoint_takes_other_flags(dataset, tmp_path, capsys):
    opened, run = open_dataset(dataset), tmp_path / "run"
    for flags, told in (({}, ""), ({}, ""), ({"seed": 7}, "begun anew with other flags")):
        with own_run(train_config(dataset, run, **flags), opened, ONE):
            pass
        output = capsys.readouterr().out
        assert told in output and output.count("\n") == bool(told)
    (run / "config.json").write_text("half of {")
    (run / "checkpoints" / "step-000000003.incomplete-0a").mkdir(parents=True)
    with own_run(train_config(dataset, run, seed=8), opened, ONE):
        pass
    assert json.loads((run / "config.json").read_text())["seed"] == 8


def test_a_run_with_a_checkpoint_even_a_damaged_one_refuses_other_flags(
    trained_run, dataset, tmp_path
):
    run = tmp_path / "run"
    shutil.copytree(trained_run, run)
    for state in (run / "checkpoints").glob("*/state*"):
        state.write_bytes(b"")
    with pytest.raises(InputError, match="seed was 0 and is 7"):
        train(train_config(dataset, run, seed=7))
    with pytest.raises(InputError, match="damaged"):
        train(train_config(dataset, run))
    assert not (run / "owner.json").exists()
    shutil.rmtree(run / "checkpoints")
    with pytest.raises(InputError, match="seed was 0 and is 7"):  # best weights are left
        train(train_config(dataset, run, seed=7))


@pytest.mark.slow
def test_a_run_with_more_epochs_goes_on_and_says_what_changes(
    trained_run, dataset, tmp_path, capsys
):
    run = tmp_path / "run"
    shutil.copytree(trained_run, run)
    train(train_config(dataset, run, epochs=1))
    assert "all epochs done" in (output := capsys.readouterr().out)
    assert "--epochs was" not in output

    train(train_config(dataset, run, epochs=3))
    output = capsys.readouterr().out
    # 2 epochs of 3: half of 1 + cos(2/3 pi) of 3e-3; of 1 epoch the end.
    line = "--epochs was 1 and is 3: the cosine is that of 3 epochs from here on, and the learning "
    assert f"{line}rate goes from 0 to 0.00075\n" in output
    assert "epoch 3: " in output and "epoch 2: " not in output
    assert json.loads((run / "config.json").read_text())["epochs"] == 3
