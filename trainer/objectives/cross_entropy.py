"""The training objective: cross-entropy of the words, and the doubly stochastic attention term.

The sum over words is divided by the number of words in the *global* batch. The sum of the replicas'
gradients then equals the gradient of one device with the whole batch, for any split of the words
between replicas. P packed words, V vocabulary, N rows (captions), R regions.
"""

import tensorflow as tf

from trainer.config import TrainConfig
from trainer.data.augment import augment
from trainer.layers.dropout import dropout_inputs
from trainer.layers.model_input import as_model_input
from trainer.layers.packing import pack_captions
from trainer.layers.smoothed_cross_entropy import cross_entropy_sum
from trainer.models.captioner import Captioner
from trainer.objectives.replica_step import Batch, ReplicaStep, Scalars, learning_part
from trainer.objectives.scheduled_sampling import sample_inputs
from trainer.optimizer import Update, apply_updates
from trainer.replicas.global_batch import global_batch, sum_over_replicas
from trainer.replicas.stateless_random import replica_seed


def doubly_stochastic_sum(seen_NR: tf.Tensor, rows_T: tf.Tensor) -> tf.Tensor:
    """The sum over captions of sum_r (1 - sum_t alpha_tr)^2, so that attention covers the image.

    It is the second term of equation 14 of Xu et al. 2015 (arXiv:1502.03044, section 4.2.1). Like
    the cross-entropy, to which it is added, it is divided by the words of the global batch.

    Args:
      seen_NR: float32, sum_t alpha_tr of each row, over the regions that dropout kept; see
        `captioner.TeacherForced`.
      rows_T: int32, of `packing.PackedCaptions`; rows without words do not count.

    Returns:
      Scalar float32.
    """
    rows = tf.reduce_sum(rows_T[:1])  # a batch without captions has no first step
    return tf.reduce_sum(tf.square(1 - seen_NR[:rows]))


def make_cross_entropy_step(
    model: Captioner, updates: list[Update], config: TrainConfig
) -> ReplicaStep:
    """Makes the step of one replica that learns the words of the references.

    Its scalars, over all replicas: `loss`, the mean a word (nats), plus the doubly stochastic
    attention term if its weight is not 0, and `images`.
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
