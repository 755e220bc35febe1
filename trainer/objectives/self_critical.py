"""Self-critical sequence training (Rennie et al. 2017, arXiv:1612.00563, section 3).

The model samples captions w of an image. Its weights move towards captions that score better than a
baseline b:

    gradient = -(r(w) - b) d log p(w)

The reward r is CIDEr-D. The paper's baseline is the score of the model's greedy caption (equation
8). The mean score of the image's other sampled captions (Luo 2020, arXiv:2003.09971) is cheaper,
since it needs no search. Dropout is off, so the distribution that is sampled is the one that
learns.
"""

import tensorflow as tf

from tfrecords_schema.vocabulary import START
from trainer.config import TrainConfig
from trainer.data.augment import augment
from trainer.decoding.beam_search import next_log_probs, search_captions
from trainer.decoding.sampling import sample_captions
from trainer.decoding.search_config import SearchConfig
from trainer.layers.model_input import as_model_input
from trainer.layers.packing import pack_captions
from trainer.models.captioner import Captioner
from trainer.objectives.cider_reward import CiderReward
from trainer.objectives.replica_step import Batch, ReplicaStep, Scalars, learning_part
from trainer.optimizer import Update, apply_updates
from trainer.replicas.global_batch import sum_over_replicas
from trainer.replicas.stateless_random import replica_seed


def make_self_critical_step(
    model: Captioner,
    updates: list[Update],
    config: TrainConfig,
    reward: CiderReward,
) -> ReplicaStep:
    """Makes the step of one replica; see `trainer.step.make_train_step`.

    Its scalars, over all replicas: `loss`, minus the mean reward of sampled captions (CIDEr-D, 0
    to 10); `images`; `words`, the mean length of sampled captions; `entropy`, the mean entropy of
    the next word in nats; and `greedy_reward`, if greedy captions are the baseline. All but
    `images` show a model that collapses.
    """
    is_greedy = config.baseline == "greedy"
    steps = updates[0].optimizer.iterations
    search = SearchConfig(1, config.max_words, 0.0, config.jit_compile)

    def replica_step(batch: Batch, _: tf.Tensor) -> Scalars:
        references = batch["caption_ids"]
        seed = replica_seed(config.seed, steps, references)
        regions = augment(as_model_input(batch["image_features"]), config, seed)
        learner, regions = learning_part(model, regions, updates)
        is_image_B = tf.reduce_any(references > 0, axis=[1, 2])
        drawn_BKT = sample_captions(learner, regions, config.samples, search, seed)
        scored_BXT = drawn_BKT
        if is_greedy:
            greedy_BWT = search_captions(learner, regions, search).ids_BWT
            # Search leaves out the step after the last word; sampled captions have it.
            greedy_BWT = tf.pad(greedy_BWT, [[0, 0], [0, 0], [0, 1]])
            scored_BXT = tf.concat([drawn_BKT, greedy_BWT], 1)
        scores_BX = tf.numpy_function(reward, [scored_BXT, references[:, :, 1:]], tf.float32)
        scores_BX = tf.ensure_shape(scores_BX, [None, config.samples + is_greedy])
        scores_BX = tf.where(is_image_B[:, tf.newaxis], scores_BX, 0.0)
        scores_BK, greedy_BW = scores_BX[:, : config.samples], scores_BX[:, config.samples :]
        advantage_BK = scores_BK - (greedy_BW if is_greedy else mean_of_others(scores_BK))

        drawn_BKT = tf.where(is_image_B[:, tf.newaxis, tf.newaxis], drawn_BKT, 0)
        starts = tf.where(is_image_B, START, 0)[:, tf.newaxis, tf.newaxis]
        starts = tf.repeat(starts, config.samples, axis=1)
        packed = pack_captions(tf.concat([starts, drawn_BKT], 2))
        count = tf.math.count_nonzero
        images, words = count(is_image_B, dtype=tf.float32), tf.size(packed.labels_P)
        images, words = sum_over_replicas([images, tf.cast(words, tf.float32)])
        captions = images * config.samples

        def compute() -> tuple[tf.Tensor, tf.Tensor]:
            log_probs_PV = next_log_probs(learner.teacher_force(regions, packed, None).logits_PV)
            entropy = -tf.reduce_sum(tf.exp(log_probs_PV) * log_probs_PV)
            log_probs_P = tf.gather(log_probs_PV, packed.labels_P, batch_dims=1)
            caption_P = tf.gather(packed.caption_N, packed.row_P)
            advantage_P = tf.gather(tf.reshape(advantage_BK, [-1]), caption_P)
            return -tf.reduce_sum(advantage_P * log_probs_P) / captions, entropy

        _, entropy = apply_updates(updates, compute)
        drawn, greedy, entropy = sum_over_replicas(
            [tf.reduce_sum(scores_BK), tf.reduce_sum(greedy_BW), entropy]
        )
        scalars = {
            "loss": -drawn / captions,
            "images": images,
            "words": words / captions,
            "entropy": entropy / words,
        }
        return {**scalars, "greedy_reward": greedy / images} if is_greedy else scalars

    scalars = ("loss", "images", "words", "entropy", *["greedy_reward"] * is_greedy)
    return ReplicaStep(scalars, replica_step)


def mean_of_others(scores_BK: tf.Tensor) -> tf.Tensor:
    """float32 [B, K]: for each of an image's K scores, the mean of the K - 1 others."""
    sum_B1 = tf.reduce_sum(scores_BK, 1, keepdims=True)
    return (sum_B1 - scores_BK) / tf.cast(tf.shape(scores_BK)[1] - 1, tf.float32)
