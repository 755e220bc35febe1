"""The owner of a run: the one process that writes into it; of several workers it is the chief."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import tensorflow as tf

from tfrecords_schema.dataset import Dataset
from tfrecords_schema.disk_failures import DISK_ERRORS, failure_line
from tfrecords_schema.errors import InputError
from tfrecords_schema.owner_lock import hold_directory
from trainer.config import TrainConfig
from trainer.replicas.distribution import from_chief, is_chief
from trainer.runs.run_directory import claim_run


@contextmanager
def own_run(
    config: TrainConfig, dataset: Dataset, strategy: tf.distribute.Strategy
) -> Iterator[int]:
    """Owns a run with this configuration within the context. All workers must call it.

    Yields:
      The previous value of `--epochs`.

    Raises:
      InputError: in all workers, if the run has an owner, was begun with other flags or cannot be
        written to.
    """
    error, epochs_before = None, config.epochs
    with ExitStack() as stack:
        if is_chief(strategy):
            try:
                stack.enter_context(hold_directory(config.run, "run"))
                epochs_before = claim_run(config, dataset)
            except InputError as refused:
                error = refused
            except DISK_ERRORS as failed:
                error = InputError(
                    f"--run: {config.run} cannot be written to: {failure_line(failed)}"
                )
        if from_chief(strategy, float(error is not None)):
            raise error or InputError(f"--run: {config.run} is not free, see the chief")
        yield epochs_before
