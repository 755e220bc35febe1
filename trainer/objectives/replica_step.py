"""One step of one replica: its part of the global batch, and the gradient that follows."""

from collections.abc import Callable
from typing import NamedTuple

import tensorflow as tf

from trainer.models.captioner import Captioner
from trainer.models.with_encoder import WithEncoder
from trainer.optimizer import Update

Batch = dict[str, tf.Tensor]


Scalars = dict[str, tf.Tensor]


TrainStep = Callable[[Batch, tf.Tensor], Scalars]


class ReplicaStep(NamedTuple):
    """A step of one replica."""

    scalars: tuple[str, ...]  # that it gives, each over all replicas
    run: TrainStep


def learning_part(
    model: Captioner, features: tf.Tensor, updates: list[Update]
) -> tuple[Captioner, tf.Tensor]:
    """What of `model` a step works with, and on what features.

    A CNN that learns, which has an update of its own, is a part of the model. One that is held
    still sees the images once, however often a step looks at its features.
    """
    if isinstance(model, WithEncoder) and len(updates) == 1:
        return model.captioner, model.regions(features)
    return model, features
