"""One training step, under any strategy."""

from collections.abc import Callable
from typing import Any, NamedTuple

import keras
import tensorflow as tf

from trainer.augment import augment
from trainer.config import TrainConfig
from trainer.distribution import to_replicas
from trainer.draws import replica_seed
from trainer.global_batch import global_batch, sum_over_replicas
from trainer.model_input import as_model_input
from trainer.models.captioner import Captioner, pack_captions
from trainer.models.dropout import dropout_inputs
from trainer.models.with_encoder import WithEncoder
from trainer.objective import cross_entropy_sum, doubly_stochastic_sum
from trainer.scheduled_sampling import sample_inputs

Batch = dict[str, tf.Tensor]
Scalars = dict[str, tf.Tensor]
TrainStep = Callable[[Batch, tf.Tensor], Scalars]
TrainLoop = Callable[[tf.data.Iterator, tf.Tensor, tf.Tensor], tuple[tf.Tensor, tf.Tensor]]


class ReplicaStep(NamedTuple):
    """A step of one replica."""

    scalars: tuple[str, ...]  # that it gives, each over all replicas
    run: TrainStep


class ClippedAdam(keras.optimizers.Adam):
    """Adam (Kingma and Ba 2015) on gradients clipped by their global norm after all-reduce.

    Keras clips each replica's gradients before they are summed, which makes the result depend on
    the number of replicas. Of an embedding it squares the gradients of a word's places one by one,
    where Adam squares their sum. And it takes a dozen operations for a variable's update, for which
    TensorFlow has one of its own.
    """

    def __init__(self, learning_rate: float, clip_norm: float):
        """`clip_norm` bounds the norm of the gradient of the global batch."""
        super().__init__(learning_rate)
        self._clip_norm = clip_norm

    def _all_reduce_sum_gradients(self, grads_and_vars: Any) -> list:
        dense = [(tf.convert_to_tensor(grad), variable) for grad, variable in grads_and_vars]
        gradients, variables = zip(*super()._all_reduce_sum_gradients(dense), strict=True)
        norm = tf.linalg.global_norm(gradients)
        # Most gradients are short enough, and are not read and written for nothing. Where the norm
        # is not finite, clipping makes them all NaN, so that the loss tells.
        clipped = tf.cond(
            norm <= self._clip_norm,
            lambda: list(gradients),
            lambda: tf.clip_by_global_norm(gradients, self._clip_norm, norm)[0],
        )
        return list(zip(clipped, variables, strict=True))

    def update_step(
        self, gradient: tf.Tensor, variable: tf.Variable, learning_rate: tf.Tensor
    ) -> None:
        """Changes one variable and its two moments."""
        index = self._get_variable_index(variable)
        step = tf.cast(self.iterations + 1, tf.float32)
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle,
            m=self._momentums[index].value.handle,
            v=self._velocities[index].value.handle,
            beta1_power=self.beta_1**step,
            beta2_power=self.beta_2**step,
            lr=tf.cast(learning_rate, tf.float32),
            beta1=self.beta_1,
            beta2=self.beta_2,
            epsilon=self.epsilon,
            grad=gradient,
        )


def make_optimizer(config: TrainConfig) -> keras.optimizers.Optimizer:
    """The optimizer of a run, with scaled losses where it computes in float16."""
    optimizer = ClippedAdam(config.learning_rate, config.clip_norm)
    if config.precision == "float16":
        return keras.optimizers.LossScaleOptimizer(optimizer)
    return optimizer


class Update(NamedTuple):
    """Variables, and the optimizer that changes them."""

    optimizer: keras.optimizers.Optimizer
    variables: list


def apply_updates(
    updates: list[Update], compute: Callable[[], tuple[tf.Tensor, tf.Tensor]]
) -> tuple[tf.Tensor, tf.Tensor]:
    """Changes all variables by the gradient of a loss.

    Args:
      updates: what is changed.
      compute: gives this replica's part of the loss, and anything else.

    Returns:
      What `compute` gives.
    """
    with tf.GradientTape(persistent=len(updates) > 1) as tape:
        loss, other = compute()
        scaled = [update.optimizer.scale_loss(loss) for update in updates]
    # All gradients before the first update: what they are the gradients of must not change.
    gradients = [
        tape.gradient(own, update.variables) for own, update in zip(scaled, updates, strict=True)
    ]
    for own, update in zip(gradients, updates, strict=True):
        update.optimizer.apply(own, update.variables)
    return loss, other


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


def make_cross_entropy_step(
    model: Captioner, updates: list[Update], config: TrainConfig
) -> ReplicaStep:
    """The step of one replica on the words of the references.

    Its scalars, over all replicas: `loss`, the mean a word (nats), with the term of doubly
    stochastic attention if that has a weight, and `images`.
    """
    steps = updates[0].optimizer.iterations

    def replica_step(batch: Batch, sampled_share: tf.Tensor) -> Scalars:
        captions, images, words = global_batch(batch["caption_ids"])
        seed = replica_seed(config.seed, steps, captions)
        packed = pack_captions(captions)
        regions = augment(as_model_input(batch["image_features"]), config, seed)
        learner, regions = learning_part(model, regions, updates)
        if config.scheduled_sampling:
            guess = learner.teacher_force(regions, packed, seed).logits_PV
            packed = sample_inputs(packed, guess, sampled_share, seed)
        if config.word_dropout:
            packed = dropout_inputs(packed, config.word_dropout, seed)

        def compute() -> tuple[tf.Tensor, tf.Tensor]:
            logits_PV, seen_NR = learner.teacher_force(regions, packed, seed)
            loss = cross_entropy_sum(logits_PV, packed.labels_P, config.label_smoothing)
            if config.doubly_stochastic:
                loss += config.doubly_stochastic * doubly_stochastic_sum(seen_NR, packed.rows_T)
            return loss / words, images

        loss, images = apply_updates(updates, compute)
        return {"loss": sum_over_replicas(loss), "images": images}

    return ReplicaStep(("loss", "images"), replica_step)


def make_train_step(
    replica_step: ReplicaStep,
    model: Captioner,
    average: Captioner,
    optimizer: keras.optimizers.Optimizer,
    strategy: tf.distribute.Strategy,
    average_decay: float,
) -> TrainStep:
    """A compiled function from a distributed batch to the scalars of a step.

    The batch has image_features [B, regions..., D] of any float type and caption_ids int32
    [B, captions, T]; images without captions are padding. The second argument is float32, the
    share of words that scheduled sampling replaces. The function updates the model, and `average`
    towards it, unless that is the model itself.
    """

    @tf.function(reduce_retracing=True, autograph=False)
    def train_step(batch: Batch, sampled_share: tf.Tensor) -> Scalars:
        per_replica = strategy.run(replica_step.run, args=(batch, sampled_share))
        scalars = {
            name: strategy.experimental_local_results(value)[0]
            for name, value in per_replica.items()
        }
        if average is model:
            return scalars
        # Early on the average follows closely, or it would be of the random weights at the start.
        steps = tf.cast(optimizer.iterations, tf.float32)
        decay = tf.minimum(average_decay, (1 + steps) / (10 + steps))

        def follow(mean: tf.Variable, value: tf.Tensor, decay: tf.Tensor) -> None:
            mean.assign_add((1 - decay) * (value - mean))

        for mean, variable in zip(
            average.trainable_variables, model.trainable_variables, strict=True
        ):
            strategy.extended.update(mean.value, follow, args=(variable.value, decay))
        return scalars

    return train_step


def make_train_loop(
    train_step: TrainStep,
    scalars: tuple[str, ...],
    updates: list[Update],
    strategy: tf.distribute.Strategy,
) -> TrainLoop:
    """A compiled function that makes several steps, so that Python is not asked between them.

    Args:
      train_step: of `make_train_step`.
      scalars: that it gives.
      updates: the optimizers, whose learning rates are set before each step.
      strategy: of the run.

    Returns:
      A function of an iterator over batches of `trainer.dataset`, learning rates float32
      [steps, updates] and shares float32 [steps] of `train_step`. It makes as many steps and gives
      their scalars float32 [steps, scalars], and their image_id, string [steps, replicas, images].
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
