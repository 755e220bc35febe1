"""The compiled training step under a strategy, and the loop of several steps."""

from collections.abc import Callable

import keras
import tensorflow as tf

from trainer.models.captioner import Captioner
from trainer.objectives.replica_step import Batch, ReplicaStep, Scalars, TrainStep
from trainer.optimizer import Update
from trainer.replicas.distribution import to_replicas

TrainLoop = Callable[[tf.data.Iterator, tf.Tensor, tf.Tensor], tuple[tf.Tensor, tf.Tensor]]


def make_train_step(
    replica_step: ReplicaStep,
    model: Captioner,
    ema: Captioner,
    optimizer: keras.optimizers.Optimizer,
    strategy: tf.distribute.Strategy,
    average_decay: float,
) -> TrainStep:
    """Compiles a function from a distributed batch to the scalars of a step.

    The batch has image_features [B, regions..., D] of any float type and caption_ids int32
    [B, captions, T]; images without captions are padding. The second argument is float32, the
    share of words that scheduled sampling replaces. The function updates the model, and also
    `ema`, which has the EMA of the weights, unless that is the model itself.
    """

    @tf.function(reduce_retracing=True, autograph=False)
    def train_step(batch: Batch, sampled_share: tf.Tensor) -> Scalars:
        per_replica = strategy.run(replica_step.run, args=(batch, sampled_share))
        scalars = {
            name: strategy.experimental_local_results(value)[0]
            for name, value in per_replica.items()
        }
        if ema is model:
            return scalars
        # The decay is small in early steps, so that the EMA forgets the initial weights.
        steps = tf.cast(optimizer.iterations, tf.float32)
        decay = tf.minimum(average_decay, (1 + steps) / (10 + steps))

        def follow(mean: tf.Variable, value: tf.Tensor, decay: tf.Tensor) -> None:
            mean.assign_add((1 - decay) * (value - mean))

        for mean, variable in zip(ema.trainable_variables, model.trainable_variables, strict=True):
            strategy.extended.update(mean.value, follow, args=(variable.value, decay))
        return scalars

    return train_step


def make_train_loop(
    train_step: TrainStep,
    scalars: tuple[str, ...],
    updates: list[Update],
    strategy: tf.distribute.Strategy,
) -> TrainLoop:
    """Compiles a function that makes several steps in one call from Python.

    Args:
      train_step: the result of `make_train_step`.
      scalars: the names of its results.
      updates: the optimizers, whose learning rates are set before each step.
      strategy: the strategy of the run.

    Returns:
      A function of an iterator over batches of `trainer.data.batches`, learning rates float32
      [steps, updates] and shares float32 [steps] of `train_step`. It makes this number of steps,
      and returns their scalars float32 [steps, scalars] and their image_id, string [steps,
      replicas, images].
    """

    @tf.function(reduce_retracing=True, autograph=False)
    def train_steps(
        batches: tf.data.Iterator, rates_SU: tf.Tensor, shares_S: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        shape = batches.element_spec["image_id"].shape
        steps = tf.shape(shares_S)[0]

        def one_more(made, found, images):
            batch = next(batches)
            images = images.write(made, batch.pop("image_id"))
            for number, update in enumerate(updates):
                update.optimizer.learning_rate.assign(rates_SU[made, number])
            values = train_step(to_replicas(strategy, batch), shares_S[made])
            found = found.write(made, tf.stack([values[name] for name in scalars]))
            return made + 1, found, images

        _, found, images = tf.while_loop(
            lambda made, *_: made < steps,
            one_more,
            (
                0,
                tf.TensorArray(tf.float32, steps, element_shape=[len(scalars)]),
                tf.TensorArray(tf.string, steps, element_shape=shape),
            ),
        )
        return found.stack(), images.stack()

    return train_steps
