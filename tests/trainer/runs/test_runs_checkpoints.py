import os

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfrecords_schema.errors import InputError
from trainer.runs.checkpoints import Checkpoints


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


def damage(directory, step, name="state.data-00000-of-00001"):
    """Flips a bit in the middle of a file of a checkpoint."""
    path = directory / f"step-{step:09}" / name
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def test_the_last_checkpoint_is_restored_and_only_the_one_before_is_kept_beside(tmp_path):
    assert restored(tmp_path / "none") is None
    saved(tmp_path, 3, 20, 100)
    assert restored(tmp_path) == 100
    assert sorted(os.listdir(tmp_path)) == ["step-000000020", "step-000000100"]


def test_a_half_written_checkpoint_is_not_read_and_is_removed_later(tmp_path):
    saved(tmp_path, 3)
    (tmp_path / "step-000000009").mkdir()  # renamed file by file, no marker yet
    (tmp_path / "step-000000009" / "state.index").write_text("half")
    (tmp_path / "step-000000012.incomplete-0011aabb").mkdir()
    assert restored(tmp_path) == 3
    saved(tmp_path, 9)  # over the half one
    assert sorted(os.listdir(tmp_path)) == ["step-000000003", "step-000000009"]
    assert restored(tmp_path) == 9


@pytest.mark.parametrize("name", ["state.data-00000-of-00001", "state.index"])
def test_a_damaged_checkpoint_is_named_and_the_one_before_is_restored(tmp_path, capsys, name):
    saved(tmp_path, 3, 20)
    damage(tmp_path, 20, name)
    assert restored(tmp_path) == 3
    [line] = capsys.readouterr().out.splitlines()
    assert "step-000000020/state is damaged (" in line
    assert line.endswith(f"the checkpoint before it is read, {tmp_path / 'step-000000003'}")


def test_a_checkpoint_with_a_cut_or_missing_file_is_damaged(tmp_path, capsys):
    for step, name, content in [
        (20, "state.index", None), (30, "state.data-00000-of-00001", None),
        (40, "state.index", b""), (50, "state.data-00000-of-00001", b""),
    ]:  # fmt: skip
        saved(tmp_path, 3, step)
        path = tmp_path / f"step-{step:09}" / name
        if content is None:
            path.unlink()
        else:
            path.write_bytes(content)
        assert restored(tmp_path) == 3
        assert f"step-{step:09}/state is damaged" in capsys.readouterr().out
        saved(tmp_path, 3)


def test_a_checkpoint_of_the_step_of_a_damaged_one_takes_its_place(tmp_path):
    """A run that goes on from the one before comes by the damaged one's step again."""
    saved(tmp_path, 3, 20)
    damage(tmp_path, 20)
    counter = tf.Variable(0)
    checkpoints = Checkpoints(str(tmp_path), counter=[counter])
    assert checkpoints.restore() and int(counter) == 3
    for step in (11, 20):
        counter.assign(step)
        checkpoints.save(step)
        before = {11: 3, 20: 11}[step]
        assert sorted(os.listdir(tmp_path)) == [f"step-{n:09}" for n in (before, step)]
    assert restored(tmp_path) == 20


def test_damaged_checkpoints_are_all_named_where_none_is_left_with_what_to_do(tmp_path):
    directory = tmp_path / "run" / "checkpoints"
    saved(directory, 3, 20)
    for step in (3, 20):
        damage(directory, step)
    with pytest.raises(InputError) as error:
        restored(directory)
    for part in ("step-000000003/state is damaged", "step-000000020/state is damaged"):
        assert part in str(error.value)
    assert f"--initial_run={tmp_path / 'run'}" in str(error.value)
    assert sorted(os.listdir(directory)) == ["step-000000003", "step-000000020"]


def test_every_flipped_bit_of_a_checkpoint_is_found_or_changes_nothing(tmp_path):
    values = [tf.constant([[1.5, -2.0]] * 3), tf.constant(7, tf.int64)]
    variables = [tf.Variable(value) for value in values]
    Checkpoints(str(tmp_path), a=variables[:1], b=variables[1:]).save(3)
    found = 0
    for path in [p for p in tmp_path.glob("*/state.*")]:
        content = path.read_bytes()
        for i in range(0, len(content), 4):
            flipped = bytearray(content)
            flipped[i] ^= 1 << i % 8
            path.write_bytes(flipped)
            new = [tf.Variable(tf.zeros_like(value)) for value in values]
            try:
                Checkpoints(str(tmp_path), a=new[:1], b=new[1:]).restore()
            except InputError as error:
                assert "is damaged" in str(error)
                found += 1
            else:
                for variable, value in zip(new, values, strict=True):
                    np.testing.assert_array_equal(variable, value)
        path.write_bytes(content)
    assert found > 100  # what is left is padding


def test_a_checkpoint_in_a_store_that_cannot_be_read_is_not_called_damaged(tmp_path, monkeypatch):
    saved(tmp_path, 3, 20)

    def read(*_):
        raise tf.errors.PermissionDeniedError(None, None, "state.index; Permission denied")

    monkeypatch.setattr(tf.train.Checkpoint, "read", read)
    with pytest.raises(tf.errors.PermissionDeniedError):
        restored(tmp_path)


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
        saved(directory, 1, 2)
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
                saved(directory, 3)
                ended = True
            except Killed:
                ended = False
        assert restored(directory) in (2, 3)
        if ended:
            assert moment > 2 and restored(directory) == 3
            return
    raise AssertionError("saving never ended")
