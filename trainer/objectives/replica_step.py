"""One step of one replica: its part of the global batch, and the gradient of that part."""

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
    """A training step of one replica."""

    scalars: tuple[str, ...]  # names of its results, each over all replicas
    run: TrainStep


def learning_part(
    model: Captioner, features: tf.Tensor, updates: list[Update]
) -> tuple[Captioner, tf.Tensor]:
    """The part of `model` that a step trains, and the features for it.

    A CNN with an update of its own is trained as a part of the model. A frozen CNN runs once a
    step, however often the step needs its features.
    """
    if isinstance(model, WithEncoder) and len(updates) == 1:
        return model.captioner, model.regions(features)
    return model, features
