"""One training step, under any strategy."""

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from trainer.config import TrainConfig
from trainer.models.attend import DROPOUTS, Attend
from trainer.objective import cross_entropy_sum

Batch = dict[str, tf.Tensor]


class ClippedAdam(keras.optimizers.Adam):
    """Adam (Kingma and Ba 2015) on gradients clipped by their global norm after all-reduce.

    Keras clips each replica's gradients before they are summed, which makes the result depend on
    the number of replicas.
    """

    def __init__(self, learning_rate: float, clip_norm: float):
        """`clip_norm` bounds the norm of the gradient of the global batch."""
        super().__init__(learning_rate)
        self._clip_norm = clip_norm

    def _all_reduce_sum_gradients(self, grads_and_vars: Any) -> list:
        gradients, variables = zip(*super()._all_reduce_sum_gradients(grads_and_vars), strict=True)
        clipped, _ = tf.clip_by_global_norm(gradients, self._clip_norm)
        return list(zip(clipped, variables, strict=True))


def make_train_step(
    model: Attend,
    average: Attend,
    optimizer: keras.optimizers.Optimizer,
    strategy: tf.distribute.Strategy,
    config: TrainConfig,
) -> Callable[[Batch], tuple[tf.Tensor, tf.Tensor]]:
    """A compiled function from a distributed batch to the step's loss and images.

    The batch has image_features [B, regions..., D] of any float type and caption_ids int32
    [B, captions, T]; images without captions are padding. The function updates the model, and
    `average` towards it. It returns, over all replicas, the mean loss a word (nats) and the number
    of images, both float32.
    """

    def replica_step(batch: Batch) -> tuple[tf.Tensor, tf.Tensor]:
        context = tf.distribute.get_replica_context()
        replica = tf.cast(context.replica_id_in_sync_group, tf.int32)
        step = tf.cast(optimizer.iterations, tf.int32)
        dropout_seed = tf.stack([config.seed * 4096 + replica, step * DROPOUTS])
        captions = batch["caption_ids"]
        has_captions = tf.reduce_any(captions > 0, axis=[1, 2])
        # Counted in float32: MirroredStrategy cannot reduce a list of int32.
        images = tf.math.count_nonzero(has_captions, dtype=tf.float32)
        words = tf.math.count_nonzero(captions[:, :, 1:], dtype=tf.float32)
        images, words = context.all_reduce(tf.distribute.ReduceOp.SUM, [images, words])
        with tf.GradientTape() as tape:
            packed = model.teacher_force(
                as_regions(batch["image_features"]), captions, dropout_seed
            )
            loss = cross_entropy_sum(*packed, config.label_smoothing) / words
        gradients = tape.gradient(loss, model.trainable_variables)
        optimizer.apply(gradients, model.trainable_variables)
        return context.all_reduce(tf.distribute.ReduceOp.SUM, loss), images

    @tf.function
    def train_step(batch: Batch) -> tuple[tf.Tensor, tf.Tensor]:
        per_replica = strategy.run(replica_step, args=(batch,))
        loss, images = (strategy.experimental_local_results(value)[0] for value in per_replica)
        # Early on the average follows closely, or it would be of the random weights at the start.
        steps = tf.cast(optimizer.iterations, tf.float32)
        decay = tf.minimum(config.average_decay, (1 + steps) / (10 + steps))
        for mean, variable in zip(
            average.trainable_variables, model.trainable_variables, strict=True
        ):
            strategy.extended.update(
                mean.value,
                lambda mean, value, decay: mean.assign_add((1 - decay) * (value - mean)),
                args=(variable.value, decay if config.average_decay else 0.0),
            )
        return loss, images

    return train_step


def as_regions(features: tf.Tensor) -> tf.Tensor:
    """Features as float32 [batch, regions, depth]: a grid flattened, pooled as one region."""
    shape = features.shape.as_list()
    return tf.reshape(tf.cast(features, tf.float32), [-1, *region_shape(tuple(shape[1:]))])


def region_shape(feature_shape: tuple[int, ...]) -> tuple[int, int]:
    """(regions, depth) of features of `feature_shape`, (height, width, depth) or (depth,)."""
    *grid, depth = feature_shape
    regions = 1
    for side in grid:
        regions *= side
    return regions, depth
