import dataclasses
import json
import os
import re
import signal
import subprocess
import sys
import time
from contextlib import nullcontext

import numpy as np
import pytest
from run_ends import assert_same_end
from small_configs import SMALL, train_config

from tfrecords_schema.dataset import open_dataset
from tfrecords_schema.errors import InputError
from trainer import epoch, loop
from trainer.config import ModelConfig
from trainer.loop import train
from trainer.runs.run_log import read_metrics
from trainer.scores.validation import Validated
from trainer.stop_request import STOPPED_STATUS, StoppedError
from trainer.trained_run import load_run

ARGUMENTS = (
    "--strategy=one", "--batch_size=8", "--epochs=3", "--checkpoint_every=3",
    "--embedding_units=8", "--units=16", "--attention_units=8", "--annotation_units=8",
)  # fmt: skip


def final_weights(run):
    return [weight.numpy() for weight in load_run(run).model.weights]


def test_training_learns_and_leaves_the_files_that_the_readme_lists(trained_run):
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
        [*command, *ARGUMENTS], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def wait_for_step(process, run, step):
    """Until a checkpoint of that step or a later one is there."""
    directory = os.path.join(run, "checkpoints")
    while process.poll() is None:
        names = os.listdir(directory) if os.path.isdir(directory) else []
        if any(name[5:].isdecimal() and int(name[5:]) >= step for name in names):
            return
        time.sleep(0.01)
    raise AssertionError(process.communicate()[1])


@pytest.fixture(scope="module")
def whole_run(dataset, tmp_path_factory):
    """A run of three epochs that nothing stopped."""
    run = str(tmp_path_factory.mktemp("whole") / "run")
    assert start(dataset, run).wait() == 0
    return run


@pytest.mark.slow
def test_a_killed_run_ends_with_the_weights_of_one_that_was_not(whole_run, dataset, tmp_path):
    run = str(tmp_path / "run")
    for step in (3, 17):  # in the first and the second epoch
        process = start(dataset, run)
        wait_for_step(process, run, step)
        process.kill()
        assert process.wait() == -signal.SIGKILL
    process = start(dataset, run)
    output = process.communicate()[0]
    assert process.returncode == 0
    assert f"Continuing {run} after" in output
    assert_same_end(whole_run, run)


@pytest.mark.slow
def test_sigterm_saves_and_leaves_with_a_status_of_its_own(whole_run, dataset, tmp_path):
    run = str(tmp_path / "run")
    process = start(dataset, run)
    wait_for_step(process, run, 5)
    process.terminate()
    error = process.communicate()[1]
    assert process.returncode == STOPPED_STATUS == 75
    [step] = re.findall(r"is saved after (\d+) steps, the same command continues it", error)
    assert max(os.listdir(os.path.join(run, "checkpoints"))) == f"step-{int(step):09}"
    assert start(dataset, run).wait() == 0
    assert_same_end(whole_run, run)


class StopAfter:
    """Asks a run to stop after so many steps."""

    def __init__(self, steps):
        self.left = steps

    def is_set(self):
        self.left -= 1
        return self.left <= 0


@pytest.mark.slow
@pytest.mark.parametrize(
    "model, sizes, average_decay",
    [("attend", SMALL, 0.998), ("transformer", ModelConfig(units=16, heads=2, layers=2), 0.0)],
    ids=["attend", "transformer without a moving average"],
)
def test_a_run_that_is_stopped_again_and_again_ends_the_same(
    model, sizes, average_decay, dataset, tmp_path, monkeypatch, small_segments
):
    config = train_config(
        dataset, tmp_path / "run", model=model, model_config=sizes, average_decay=average_decay
    )
    whole = dataclasses.replace(config, run=str(tmp_path / "whole"))
    train(whole)
    for steps in (1, 16):  # in the first epoch and the second
        event = StopAfter(steps)
        monkeypatch.setattr(loop, "stop_requests", lambda event=event: nullcontext(event))
        with pytest.raises(StoppedError, match="is saved after"):
            train(config)
    monkeypatch.setattr(loop, "stop_requests", lambda: nullcontext(StopAfter(1000)))
    train(config)
    assert_same_end(whole.run, config.run)


@pytest.mark.slow
def test_steps_made_without_looking_for_stops_give_the_same_run(
    trained_run, dataset, tmp_path, monkeypatch
):
    monkeypatch.setattr(epoch, "steps_at_once", lambda: 7)  # as on a GPU, where it is more
    config = train_config(dataset, str(tmp_path / "run"))
    monkeypatch.setattr(loop, "stop_requests", lambda: nullcontext(StopAfter(2)))
    with pytest.raises(StoppedError, match="is saved after 14 steps"):
        train(config)
    monkeypatch.setattr(loop, "stop_requests", lambda: nullcontext(StopAfter(1000)))
    train(config)
    assert_same_end(trained_run, config.run)


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
    monkeypatch.setattr(loop.Validation, "__call__", lambda self: Validated(next(scores), 1.0, 9))
    run = train(train_config(dataset, tmp_path / "run", epochs=5, patience=2))
    assert run.best == {"validation_cider": 5.0, "validation_loss": 1.0}
    assert "no better for a while" in capsys.readouterr().out
    rows = [r for r in read_metrics(str(tmp_path / "run")) if "validation_cider" in r]
    assert len(rows) == 4


def test_a_loss_that_is_not_finite_stops_the_run_and_names_the_images(dataset, tmp_path):
    config = train_config(dataset, tmp_path / "run", learning_rate=1e38, checkpoint_every=1)
    with pytest.raises(FloatingPointError, match=r"the loss is (nan|inf) at step [2-9]") as stopped:
        train(config)
    found = json.loads((tmp_path / "run" / "not_finite.json").read_text())
    assert len(found["images"]) == 8
    assert f"on the images {', '.join(found['images'][:4])}, ..." in str(stopped.value)
    [last] = os.listdir(tmp_path / "run" / "checkpoints")
    assert int(last[5:]) == found["step"] - 1


def test_a_batch_that_replicas_cannot_share_is_refused(dataset, tmp_path):
    config = train_config(dataset, tmp_path / "run", strategy="mirrored", batch_size=6)
    with pytest.raises(InputError, match="--batch_size=6 must be a multiple of the 4 replicas"):
        train(config)
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_a_warmup_over_much_of_the_run_is_printed(dataset, tmp_path, capsys):
    images = open_dataset(dataset).images("train")
    steps = 2 * -(-images // 8)  # of two epochs, each with a padded last batch
    for warmup in (steps // 5, steps // 5 + 1):
        train(train_config(dataset, tmp_path / str(warmup), warmup_steps=warmup))
        is_printed = f"--warmup_steps={warmup} is much of this run of some {steps} steps"
        assert (is_printed in capsys.readouterr().out) == (warmup > steps / 5)
