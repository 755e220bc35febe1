"""Checkpoints that are there whole or not at all.

Each is a directory of its own, `checkpoints/step-<steps>`, written under a temporary name and
renamed; then a marker is put into it, because an object store renames a directory file by file. One
without its marker is never read. The last two are kept: where the last is damaged, which the
checksums in it tell, a run goes on from the one before.

Variables are saved as lists, in the order in which they were made: TensorFlow does not look into
the lists that a Keras layer has of other layers, and would leave out their weights in silence.
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
# What TensorFlow raises for bytes that are not those that it wrote, or are no more there. It makes
# an IndexError of its OutOfRangeError.
_DAMAGE = (
    tf.errors.DataLossError, tf.errors.NotFoundError, tf.errors.OutOfRangeError,
    tf.errors.InvalidArgumentError, tf.errors.UnknownError, IndexError, DecodeError,
)  # fmt: skip


class DamagedCheckpointError(InputError):
    """A checkpoint that cannot be read; the message names it and says why."""


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
      DamagedCheckpointError: it is damaged. Some of the variables may have been read.
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
    except (tf.errors.OpError, IndexError, DecodeError) as error:
        # Of files that are read in Python TensorFlow raises a bare OpError.
        if type(error) is not tf.errors.OpError and not isinstance(error, _DAMAGE):
            raise  # no permission, or a store that does not answer: all checkpoints are alike
        raise DamagedCheckpointError(f"{prefix} is damaged ({one_line(error)})") from error


def complete_steps(directory: str) -> list[int]:
    """After how many steps the complete checkpoints in a directory were written."""
    if not tf.io.gfile.isdir(directory):
        return []
    names = [name.rstrip("/") for name in tf.io.gfile.listdir(directory)]
    names = [name for name in names if name.removeprefix("step-").isdecimal()]
    paths = {name: os.path.join(directory, name, _MARKER) for name in names}
    return [int(name[5:]) for name, path in paths.items() if tf.io.gfile.exists(path)]


class Checkpoints:
    """The last checkpoints of a run."""

    def __init__(self, directory: str, **variables: list):
        """The variables of Keras or TensorFlow that are saved and restored, under these names."""
        self._directory = directory
        self._state = variables_checkpoint(**variables)
        self._damaged: set[int] = set()  # steps

    def restore(self) -> bool:
        """Whether there was one, of which the last that is not damaged has then been read.

        Raises:
          InputError: all are damaged, or they are of other variables.
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
        """Writes what is after `step` steps; then removes all but it and the one before."""
        steps = [before for before in self._steps() if before not in self._damaged]
        path = self._path(step)
        if step not in steps:
            with complete_or_absent(path) as temporary:
                self._state.write(os.path.join(temporary, _WEIGHTS))
            write_text(os.path.join(path, _MARKER), "")
            self._damaged.discard(step)
        # Later ones are damaged: the run has gone on from before them.
        before = [self._path(earlier) for earlier in sorted(steps) if earlier < step][-1:]
        kept = {os.path.basename(each) for each in (path, *before)}
        for name in self._listed():  # also what a kill has left behind
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
