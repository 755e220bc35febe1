import os

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfrecords_schema.errors import InputError
from trainer.checkpoints import Checkpoints


def saved(directory, *values):
    counter = tf.Variable(0)
    checkpoints = Checkpoints(str(directory), counter=[counter])
    for value in values:
        counter.assign(value)
        checkpoints.save(value)


def restored(directory):
    """The value of the last checkpoint, None where there is none."""
    counter = tf.Variable(0)
    found = Checkpoints(str(directory), counter=[counter]).restore()
    return int(counter) if found else None


def test_the_last_one_is_restored_and_the_others_are_gone(tmp_path):
    assert restored(tmp_path / "none") is None
    saved(tmp_path, 3, 20, 100)
    assert restored(tmp_path) == 100
    assert os.listdir(tmp_path) == ["step-000000100"]


def test_one_that_a_kill_left_half_written_is_not_read_and_is_removed_later(tmp_path):
    saved(tmp_path, 3)
    (tmp_path / "step-000000009").mkdir()  # renamed file by file, no marker yet
    (tmp_path / "step-000000009" / "state.index").write_text("half")
    (tmp_path / "step-000000012.incomplete-0011aabb").mkdir()
    assert restored(tmp_path) == 3
    saved(tmp_path, 9)  # over the half one
    assert os.listdir(tmp_path) == ["step-000000009"]
    assert restored(tmp_path) == 9


def test_saving_the_same_step_twice_changes_nothing(tmp_path):
    saved(tmp_path, 5, 5)
    assert os.listdir(tmp_path) == ["step-000000005"]


@pytest.mark.parametrize(
    "other",
    [
        dict(other=[tf.Variable(1)]),
        dict(counter=[tf.Variable(1), tf.Variable(2)]),
        dict(counter=[tf.Variable([1, 2])]),
        {},
    ],
)
def test_a_checkpoint_of_something_else_is_named(tmp_path, other):
    saved(tmp_path, 5)
    with pytest.raises(InputError, match=r"step-000000005.* another version"):
        Checkpoints(str(tmp_path), **other).restore()


def test_the_weights_of_layers_in_lists_are_restored(tmp_path):
    class Stack(keras.layers.Layer):
        def __init__(self):
            super().__init__()
            self.layers = [keras.layers.Dense(3) for _ in range(2)]
            for layer in self.layers:
                layer.build((None, 3))

    one, other = Stack(), Stack()
    Checkpoints(str(tmp_path), stack=one.weights).save(1)
    assert Checkpoints(str(tmp_path), stack=other.weights).restore()
    for weight, restored in zip(one.weights, other.weights, strict=True):
        np.testing.assert_array_equal(weight, restored)
    assert len(one.weights) == 4


def test_a_kill_at_any_moment_of_saving_leaves_a_whole_checkpoint(tmp_path, monkeypatch):
    """Every file operation in turn is the last one before the kill."""

    class Killed(BaseException):
        pass

    names = ("rename", "remove", "rmtree", "makedirs")
    for moment in range(20):
        directory = tmp_path / str(moment)
        saved(directory, 1)
        calls = 0

        def dying(function):
            def call(*arguments, **options):
                nonlocal calls
                calls += 1
                if calls > moment:
                    raise Killed
                return function(*arguments, **options)

            return call

        with monkeypatch.context() as patch:
            for name in names:
                patch.setattr(tf.io.gfile, name, dying(getattr(tf.io.gfile, name)))
            try:
                saved(directory, 2)
                ended = True
            except Killed:
                ended = False
        assert restored(directory) in (1, 2)
        if ended:
            assert moment > 2 and restored(directory) == 2
            return
    raise AssertionError("saving never ended")
