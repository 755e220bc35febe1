import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import tensorflow as tf
from conftest import train_config

from tfrecords_schema.errors import InputError
from trainer import loop
from trainer.loop import train
from trainer.report import read_metrics
from trainer.run_directory import load_run

ARGUMENTS = (
    "--strategy=one", "--batch_size=8", "--epochs=3", "--embedding_units=8", "--lstm_units=16",
    "--attention_units=8", "--annotation_units=8",
)  # fmt: skip


def final_weights(run):
    return [variable.numpy() for variable in load_run(run).model.variables]


def last_checkpoint(run):
    reader = tf.train.load_checkpoint(os.path.join(run, "checkpoints"))
    return {
        name: reader.get_tensor(name)
        for name in reader.get_variable_to_shape_map()
        if "VARIABLE_VALUE" in name and "save_counter" not in name
    }


def test_training_learns_and_leaves_what_the_readme_says(trained_run):
    rows = read_metrics(trained_run)
    epochs = [row for row in rows if "validation_cider" in row]
    assert [row["epoch"] for row in epochs] == [1, 2]
    assert epochs[1]["loss"] < epochs[0]["loss"]
    for name in ("config.json", "checkpoints", "best", "tensorboard", "plots/loss.png"):
        assert os.path.exists(os.path.join(trained_run, name)), name
    with open(os.path.join(trained_run, "plots/loss.png"), "rb") as file:
        assert file.read(8) == b"\x89PNG\r\n\x1a\n"


def start(dataset, run):
    command = [sys.executable, "-m", "trainer", "train", f"--data={dataset}", f"--run={run}"]
    return subprocess.Popen(
        [*command, *ARGUMENTS], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )


@pytest.mark.slow
def test_a_killed_run_ends_with_the_weights_of_one_that_was_not(dataset, tmp_path):
    whole, killed = str(tmp_path / "whole"), str(tmp_path / "killed")
    assert start(dataset, whole).wait() == 0
    process = start(dataset, killed)
    while process.poll() is None:  # until some steps into the second epoch
        if any(row["epoch"] == 2 for row in read_metrics(killed)):
            process.send_signal(signal.SIGKILL)
        time.sleep(0.02)
    assert process.returncode == -signal.SIGKILL
    again = start(dataset, killed)
    output = again.communicate()[0]
    assert again.returncode == 0
    assert "Continuing" in output
    expected = last_checkpoint(whole)
    found = last_checkpoint(killed)
    assert expected.keys() == found.keys()
    for name, value in expected.items():
        np.testing.assert_array_equal(found[name], value, err_msg=name)
    ciders = [[r["validation_cider"] for r in read_metrics(run) if "validation_cider" in r]
              for run in (whole, killed)]  # fmt: skip
    assert ciders[0] == ciders[1] and len(ciders[0]) == 3


def test_a_finished_run_is_left_as_it_is(trained_run, dataset, capsys):
    before = final_weights(trained_run)
    train(train_config(dataset, trained_run))
    assert "all epochs done" in capsys.readouterr().out
    for old, new in zip(before, final_weights(trained_run), strict=True):
        np.testing.assert_array_equal(old, new)


def test_a_run_with_other_flags_is_refused_and_named(trained_run, dataset):
    with pytest.raises(InputError, match=r"learning_rate was 0\.003 and is 0\.01"):
        train(train_config(dataset, trained_run, learning_rate=0.01))


def test_a_run_of_another_dataset_is_refused(trained_run, dataset):
    path = os.path.join(trained_run, "config.json")
    with open(path) as file:
        text = file.read()
    fields = json.loads(text)
    fields["dataset"]["vocabulary_sha256"] = "0" * 64
    try:
        with open(path, "w") as file:
            json.dump(fields, file)
        with pytest.raises(InputError, match="vocabulary_sha256"):
            train(train_config(dataset, trained_run))
        with pytest.raises(InputError, match="vocabulary_sha256"):
            load_run(trained_run)
    finally:
        with open(path, "w") as file:
            file.write(text)


def test_a_directory_of_other_things_is_refused(dataset, tmp_path):
    (tmp_path / "thesis.tex").write_text("")
    with pytest.raises(InputError, match="not empty and holds no run"):
        train(train_config(dataset, tmp_path))


def test_training_stops_when_validation_no_longer_improves(dataset, tmp_path, monkeypatch, capsys):
    scores = iter([3.0, 5.0, 4.0, 4.5, 9.0])
    monkeypatch.setattr(loop.Validation, "__call__", lambda self: next(scores))
    best = train(train_config(dataset, tmp_path / "run", epochs=5, patience=2))
    assert best == 5.0
    assert "no better for a while" in capsys.readouterr().out
    rows = [r for r in read_metrics(str(tmp_path / "run")) if "validation_cider" in r]
    assert len(rows) == 4


def test_a_loss_that_is_not_finite_stops_the_run(dataset, tmp_path):
    with pytest.raises(FloatingPointError, match=r"the loss is (nan|inf) at step [2-9]"):
        train(train_config(dataset, tmp_path / "run", learning_rate=1e38))


def test_a_batch_that_replicas_cannot_share_is_refused(dataset, tmp_path):
    config = train_config(dataset, tmp_path / "run", strategy="mirrored", batch_size=6)
    with pytest.raises(InputError, match="--batch_size=6 must be a multiple of the 4 replicas"):
        train(config)
    assert not (tmp_path / "run").exists()
