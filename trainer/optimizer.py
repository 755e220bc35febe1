"""The optimizer: Adam on clipped gradients, and the learning rate of each step."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import keras
import tensorflow as tf

from trainer.config import TrainConfig


def learning_rate(
    schedule: str, peak: float, warmup_steps: int, step: int, done: float, factor: float
) -> float:
    """The learning rate of one step.

    constant  the peak after warm-up, which all schedules have
    cosine    half a cosine from the peak to 0 over the run (Loshchilov and Hutter 2017,
              arXiv:1608.03983, equation 5, without restarts)
    noam      falls with the inverse square root of the step (Vaswani et al. 2017,
              arXiv:1706.03762, equation 3, scaled so that its maximum is the peak)
    plateau   the peak times `factor`, which falls when validation no longer improves

    Args:
      schedule: one of `trainer.config.SCHEDULES`.
      peak: the highest rate.
      warmup_steps: steps over which the rate rises linearly from 0; noam needs at least one.
      step: number of the step, from 1.
      done: share of the run before the step, 0 to 1.
      factor: current factor of the plateau schedule, 0 to 1.
    """
    warmup = min(1.0, step / warmup_steps) if warmup_steps else 1.0
    shape = {
        "constant": 1.0,
        "cosine": 0.5 * (1 + math.cos(math.pi * done)),
        "noam": math.sqrt(max(warmup_steps, 1) / max(step, warmup_steps, 1)),
        "plateau": factor,
    }[schedule]
    return peak * warmup * shape


class ClippedAdam(keras.optimizers.Adam):
    """Adam (Kingma and Ba 2015) on gradients clipped by their global norm after all-reduce.

    Keras clips each replica's gradients before they are summed, so its result depends on the number
    of replicas. For an embedding, Keras squares the gradient of each occurrence of a word, while
    Adam squares their sum.
    """

    def __init__(self, learning_rate: float, clip_norm: float):
        """`clip_norm` is the largest norm of the gradient of the global batch."""
        super().__init__(learning_rate)
        self._clip_norm = clip_norm

    def _all_reduce_sum_gradients(self, grads_and_vars: Any) -> list:
        dense = [(tf.convert_to_tensor(grad), variable) for grad, variable in grads_and_vars]
        gradients, variables = zip(*super()._all_reduce_sum_gradients(dense), strict=True)
        norm = tf.linalg.global_norm(gradients)
        # Most gradients are below the bound, and need no pass over memory. If the norm is not
        # finite, clipping makes all gradients NaN, so that the loss shows it.
        clipped = tf.cond(
            norm <= self._clip_norm,
            lambda: list(gradients),
            lambda: tf.clip_by_global_norm(gradients, self._clip_norm, norm)[0],
        )
        return list(zip(clipped, variables, strict=True))


def make_optimizer(config: TrainConfig) -> keras.optimizers.Optimizer:
    """Makes the optimizer of a run; float16 adds loss scaling."""
    optimizer = ClippedAdam(config.learning_rate, config.clip_norm)
    if config.precision == "float16":
        return keras.optimizers.LossScaleOptimizer(optimizer)
    return optimizer


class Update(NamedTuple):
    """Variables, and the optimizer that updates them."""

    optimizer: keras.optimizers.Optimizer
    variables: list


def apply_updates(
    updates: list[Update], compute: Callable[[], tuple[tf.Tensor, tf.Tensor]]
) -> tuple[tf.Tensor, tf.Tensor]:
    """Updates all variables by the gradient of a loss.

    Args:
      updates: the variables and their optimizers.
      compute: function that returns this replica's part of the loss, and another tensor.

    Returns:
      The result of `compute`.
    """
    with tf.GradientTape(persistent=len(updates) > 1) as tape:
        loss, other = compute()
        scaled = [update.optimizer.scale_loss(loss) for update in updates]
    # All gradients are computed before the first update, which changes variables.
    gradients = [
        tape.gradient(own, update.variables) for own, update in zip(scaled, updates, strict=True)
    ]
    for own, update in zip(gradients, updates, strict=True):
        update.optimizer.apply(own, update.variables)
    return loss, other
