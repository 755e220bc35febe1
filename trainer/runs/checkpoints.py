"""Checkpoints that are complete or ignored.

Each is a directory of its own, `checkpoints/step-<steps>`, written under a temporary name and then
renamed. After that it gets a marker file, because an object store renames a directory file by file;
without its marker a checkpoint is never read. The last two are kept. If checksums show that the
last one is damaged, a run continues from the one before.

Variables are saved as lists, in the order of their creation: TensorFlow ignores lists of layers
within a Keras layer, and would omit their weights without an error.
"""

import os

import keras
import tensorflow as tf
from google.protobuf.message import DecodeError

from tfrecords_schema.atomic_file import complete_or_absent, write_text
from tfrecords_schema.errors import InputError, one_line
from tfrecords_schema.messages import logger

_MARKER = "complete"
_WEIGHTS = "state"
# Errors of TensorFlow for corrupted or missing bytes. Its OutOfRangeError becomes an IndexError.
_DAMAGE = (
    tf.errors.DataLossError, tf.errors.NotFoundError, tf.errors.OutOfRangeError,
    tf.errors.InvalidArgumentError, tf.errors.UnknownError, IndexError, DecodeError,
)  # fmt: skip


class DamagedCheckpointError(InputError):
    """A checkpoint that cannot be read; the message names it and says why."""


def variables_checkpoint(**variables: list) -> tf.train.Checkpoint:
    """A checkpoint of lists of Keras or TensorFlow variables."""
    lists = {
        name: [v.value if isinstance(v, keras.Variable) else v for v in each]
        for name, each in variables.items()
    }
    return tf.train.Checkpoint(**lists)


def read_variables(checkpoint: tf.train.Checkpoint, prefix: str) -> None:
    """Reads all of the checkpoint's variables, and checks that nothing else was saved.

    Raises:
      DamagedCheckpointError: the checkpoint is damaged. Some variables may have been read.
      InputError: the saved variables are not exactly these.
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
    except (tf.errors.OpError, IndexError, DecodeError) as error:
        # TensorFlow raises a bare OpError for files that it reads in Python.
        if type(error) is not tf.errors.OpError and not isinstance(error, _DAMAGE):
            raise  # no permission, or a store that does not answer: it would affect all checkpoints
        raise DamagedCheckpointError(f"{prefix} is damaged ({one_line(error)})") from error


def complete_steps(directory: str) -> list[int]:
    """The step numbers of the complete checkpoints in a directory."""
    if not tf.io.gfile.isdir(directory):
        return []
    names = [name.rstrip("/") for name in tf.io.gfile.listdir(directory)]
    names = [name for name in names if name.removeprefix("step-").isdecimal()]
    paths = {name: os.path.join(directory, name, _MARKER) for name in names}
    return [int(name[5:]) for name, path in paths.items() if tf.io.gfile.exists(path)]


class Checkpoints:
    """The last two checkpoints of a run."""

    def __init__(self, directory: str, **variables: list):
        """Takes the Keras or TensorFlow variables to save and restore, by name."""
        self._directory = directory
        self._state = variables_checkpoint(**variables)
        self._damaged: set[int] = set()  # steps

    def restore(self) -> bool:
        """Reads the last checkpoint that is not damaged. Returns whether there was one.

        Raises:
          InputError: all are damaged, or they hold other variables.
        """
        faults = []
        for step in sorted(self._steps(), reverse=True):
            try:
                read_variables(self._state, os.path.join(self._path(step), _WEIGHTS))
            except DamagedCheckpointError as error:
                faults.append(str(error))
                self._damaged.add(step)
                continue
            for fault in faults:
                logger.info(f"{fault}: the checkpoint before it is read, {self._path(step)}")
            return True
        if faults:
            run = os.path.dirname(self._directory)
            raise InputError(
                f"--run: {run} has no checkpoint to continue from: {'; '.join(faults)}. Copy "
                f"{self._directory} anew, or remove it to train the run from its start, or start a "
                f"new --run from the best weights with --initial_run={run}"
            )
        return False

    def save(self, step: int) -> None:
        """Saves the state after `step` steps, and removes all but it and the one before."""
        steps = [before for before in self._steps() if before not in self._damaged]
        path = self._path(step)
        if step not in steps:
            with complete_or_absent(path) as temporary:
                self._state.write(os.path.join(temporary, _WEIGHTS))
            write_text(os.path.join(path, _MARKER), "")
            self._damaged.discard(step)
        # Later ones are damaged: the run was resumed from a step before them.
        before = [self._path(earlier) for earlier in sorted(steps) if earlier < step][-1:]
        kept = {os.path.basename(each) for each in (path, *before)}
        for name in self._listed():  # including the leftovers of a killed process
            if name not in kept:
                tf.io.gfile.rmtree(os.path.join(self._directory, name))

    def _path(self, step: int) -> str:
        return os.path.join(self._directory, f"step-{step:09}")

    def _listed(self) -> list[str]:
        if not tf.io.gfile.isdir(self._directory):
            return []
        return [name.rstrip("/") for name in tf.io.gfile.listdir(self._directory)]

    def _steps(self) -> list[int]:
        return complete_steps(self._directory)
