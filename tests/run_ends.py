"""Whether two runs have trained the same."""

import os

import numpy as np
import tensorflow as tf
from tensorboard.backend.event_processing.event_accumulator import SCALARS, EventAccumulator

from trainer import epoch
from trainer.runs.run_log import read_metrics


def last_checkpoint(run):
    """The values of the variables in the last checkpoint, by name."""
    directory = max(os.listdir(os.path.join(run, "checkpoints")))
    reader = tf.train.load_checkpoint(os.path.join(run, "checkpoints", directory, "state"))
    return {
        name: reader.get_tensor(name)
        for name in reader.get_variable_to_shape_map()
        if "VARIABLE_VALUE" in name
    }


def assert_same_end(run, other):
    """Bit for bit: weights, optimizer and progress; and what was logged."""
    expected, found = last_checkpoint(run), last_checkpoint(other)
    assert expected.keys() == found.keys()
    for name, value in expected.items():
        np.testing.assert_array_equal(found[name], value, err_msg=name)
    assert logged(other) == logged(run)
    assert on_tensorboard(other) == on_tensorboard(run)


def logged(run):
    """The rows of metrics.jsonl, but for what tells of the time that they took."""
    rows = [row | {"seconds": 0, "images_per_second": 0} for row in read_metrics(run)]
    assert any(row["step"] % epoch.LOG_EVERY == 0 for row in rows)
    return rows


def on_tensorboard(run):
    """(step, value) of each scalar that TensorBoard shows, but for those of time."""
    shown = EventAccumulator(os.path.join(run, "tensorboard"), size_guidance={SCALARS: 0})
    shown.Reload()
    tags = set(shown.Tags()[SCALARS]) - {"seconds", "images_per_second"}
    curves = {tag: [(event.step, event.value) for event in shown.Scalars(tag)] for tag in tags}
    for tag, curve in curves.items():
        steps = [step for step, _ in curve]
        assert len(set(steps)) == len(steps), tag
    return curves


def assert_same_training(run, other, epochs):
    """Over 50 steps or more: the loss of each 20 steps and of each epoch, and its validation."""
    rows, other_rows = read_metrics(run), read_metrics(other)
    assert rows[-1]["step"] >= 50
    tolerances = {"step": 0, "loss": 1e-5, "validation_loss": 1e-5, "validation_cider": 1e-2}
    for name, tolerance in tolerances.items():
        curve, other_curve = ([r[name] for r in x if name in r] for x in (rows, other_rows))
        assert len(curve) >= epochs
        np.testing.assert_allclose(curve, other_curve, rtol=tolerance, err_msg=name)
