"""The progress of a run: counts, sums and scores that are saved in its checkpoints."""

import math

import tensorflow as tf

RECENT_SCALARS = 4  # the largest number of scalars of a step, without the number of its images


class Progress(tf.Module):
    """The progress of a run, a part of its checkpoint."""

    def __init__(self) -> None:
        """Sets the values before the first epoch."""
        super().__init__()

        def number(value: float, dtype: tf.DType) -> tf.Variable:
            return tf.Variable(value, dtype=dtype, trainable=False)

        self.epoch = number(0, tf.int64)  # epochs completed
        # The current epoch:
        self.batches = number(0, tf.int64)
        self.images = number(0, tf.int64)
        self.loss_sum = number(0, tf.float64)  # one loss a batch
        self.recent_steps = number(0, tf.int64)  # since the last row of the log
        self.recent_sums = tf.Variable(tf.zeros(RECENT_SCALARS, tf.float64), trainable=False)
        # The whole run:
        self.best = number(-1.0, tf.float64)  # validation CIDEr
        self.best_loss = number(math.inf, tf.float64)  # validation loss of the same model
        self.epochs_without_improvement = number(0, tf.int64)
        self.factor = number(1.0, tf.float64)  # of the learning rate in the plateau schedule

    def begin_epoch(self) -> None:
        """Sets the counts of an epoch to 0."""
        self.batches.assign(0)
        self.images.assign(0)
        self.loss_sum.assign(0)
        self.begin_row()

    def begin_row(self) -> None:
        """Sets the sums of a row of the log to 0."""
        self.recent_steps.assign(0)
        self.recent_sums.assign([0.0] * RECENT_SCALARS)

    def add_recent(self, scalars: list[float]) -> None:
        """Adds the scalars of a step to the sums of the next row of the log."""
        self.recent_steps.assign_add(1)
        self.recent_sums.assign_add(scalars + [0.0] * (RECENT_SCALARS - len(scalars)))

    def recent_means(self) -> list[float]:
        """The means of the scalars over the steps since the last row of the log."""
        return [float(x) / int(self.recent_steps) for x in self.recent_sums.numpy()]
