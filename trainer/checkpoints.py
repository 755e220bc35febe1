"""Checkpoints that are there whole or not at all.

Each is a directory of its own, `checkpoints/step-<steps>`, written under a temporary name and
renamed; then a marker is put into it, because an object store renames a directory file by file. One
without its marker is never read.

Variables are saved as lists, in the order in which they were made: TensorFlow does not look into
the lists that a Keras layer has of other layers, and would leave out their weights in silence.
"""

import os

import keras
import tensorflow as tf

from tfrecords_schema.atomic_file import complete_or_absent, write_text
from tfrecords_schema.errors import InputError

_MARKER = "complete"
_WEIGHTS = "state"


def variables_checkpoint(**variables: list) -> tf.train.Checkpoint:
    """A checkpoint of lists of variables of Keras or TensorFlow."""
    lists = {
        name: [v.value if isinstance(v, keras.Variable) else v for v in each]
        for name, each in variables.items()
    }
    return tf.train.Checkpoint(**lists)


def read_variables(checkpoint: tf.train.Checkpoint, prefix: str) -> None:
    """Reads all of the checkpoint's variables, and all that was saved.

    Raises:
      InputError: what was saved are not just these variables.
    """
    try:
        status = checkpoint.read(prefix)
        status.assert_existing_objects_matched()
        status.assert_consumed()
    except (AssertionError, ValueError) as error:
        raise InputError(
            f"{prefix} has other variables than the model that its run is of: another version of "
            "beamcap wrote it. Use that version, or train in a new --run"
        ) from error


class Checkpoints:
    """The last checkpoint of a run."""

    def __init__(self, directory: str, **variables: list):
        """The variables of Keras or TensorFlow that are saved and restored, under these names."""
        self._directory = directory
        self._state = variables_checkpoint(**variables)

    def restore(self) -> bool:
        """Whether there was one, which has then been read."""
        steps = self._steps()
        if not steps:
            return False
        read_variables(self._state, os.path.join(self._path(max(steps)), _WEIGHTS))
        return True

    def save(self, step: int) -> None:
        """Writes what is after `step` steps; then removes the one before."""
        before = self._steps()
        path = self._path(step)
        if step not in before:
            with complete_or_absent(path) as temporary:
                self._state.write(os.path.join(temporary, _WEIGHTS))
            write_text(os.path.join(path, _MARKER), "")
        for name in self._listed():  # also what a kill has left behind
            if name != os.path.basename(path):
                tf.io.gfile.rmtree(os.path.join(self._directory, name))

    def _path(self, step: int) -> str:
        return os.path.join(self._directory, f"step-{step:09}")

    def _listed(self) -> list[str]:
        if not tf.io.gfile.isdir(self._directory):
            return []
        return [name.rstrip("/") for name in tf.io.gfile.listdir(self._directory)]

    def _steps(self) -> list[int]:
        """Of those that are whole."""
        names = [name for name in self._listed() if name.removeprefix("step-").isdecimal()]
        paths = {name: os.path.join(self._directory, name, _MARKER) for name in names}
        return [int(name[5:]) for name, path in paths.items() if tf.io.gfile.exists(path)]
