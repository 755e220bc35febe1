"""Checkpoints that are there whole or not at all.

Each is a directory of its own, `checkpoints/step-<steps>`, written under a temporary name and
renamed; then a marker is put into it, because an object store renames a directory file by file. One
without its marker is never read.
"""

import os

import tensorflow as tf

from tfrecords_schema.atomic_file import complete_or_absent, write_text

_MARKER = "complete"
_WEIGHTS = "state"


class Checkpoints:
    """The last checkpoint of a run."""

    def __init__(self, directory: str, **tracked: tf.Module):
        """What is `tracked` is saved and restored, under these names."""
        self._directory = directory
        self._state = tf.train.Checkpoint(**tracked)

    def restore(self) -> bool:
        """Whether there was one, which has then been read."""
        steps = self._steps()
        if not steps:
            return False
        status = self._state.read(os.path.join(self._path(max(steps)), _WEIGHTS))
        status.assert_consumed()
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
