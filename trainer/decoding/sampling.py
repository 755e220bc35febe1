"""Samples captions word by word from the distribution of a captioner."""

from typing import Any

import tensorflow as tf

from tfrecords_schema.vocabulary import END, PAD, START
from trainer.decoding.beam_search import any_size, compiled, next_log_probs
from trainer.decoding.search_config import SearchConfig
from trainer.models.captioner import Captioner
from trainer.replicas.stateless_random import Seed, uniform


def sample_captions(
    model: Captioner,
    features_BRD: tf.Tensor,
    samples: int,
    search: SearchConfig,
    seed: Seed,
) -> tf.Tensor:
    """Samples `samples` captions an image, word by word, from the model's distribution.

    Args:
      model: the captioner, without dropout.
      features_BRD: float32 [batch, regions, depth].
      samples: K, captions an image.
      search: the search settings; only `max_words` (without <end>) and `jit_compile` are used.
      seed: the seed of the step.

    Returns:
      ids_BKT int32 [batch, samples, max_words + 1]; without <start>; <pad> after <end>.
    """
    steps = search.max_words + 1
    context = model.encode(features_BRD)
    state = tf.nest.map_structure(
        lambda part: tf.repeat(part, samples, axis=0), model.start(context)
    )
    # Drawn outside of the compiled function: XLA draws other random numbers.
    rows = tf.shape(features_BRD)[0] * samples
    uniform_NT = uniform(seed, 0, seed.image * samples, rows, steps)

    def draw(context: Any, state: Any, uniform_NT: tf.Tensor) -> tf.Tensor:
        rows = tf.shape(uniform_NT)[0]

        def body(t, ids_NT, token_N, ended_N, state):
            logits_NV, state = model.step(context, state, token_N)
            drawn_N = draw_words(next_log_probs(logits_NV), uniform_NT[:, t])
            token_N = tf.where(ended_N, PAD, drawn_N)
            ids_NT = tf.where(tf.range(steps) == t, token_N[:, None], ids_NT)
            return t + 1, ids_NT, token_N, ended_N | (token_N == END), state

        _, ids_NT, *_ = tf.while_loop(
            lambda t, ids_NT, token_N, ended_N, state: (t < steps) & ~tf.reduce_all(ended_N),
            body,
            (0, tf.fill([rows, steps], PAD), tf.fill([rows], START), tf.fill([rows], False), state),
            shape_invariants=(
                tf.TensorShape([]),
                tf.TensorShape([None, steps]),
                *[tf.TensorShape([None])] * 2,
                tf.nest.map_structure(any_size, state),
            ),
        )
        return tf.reshape(ids_NT, [-1, samples, steps])

    return compiled(draw, search.jit_compile)(context, state, uniform_NT)


def draw_words(log_probs_NV: tf.Tensor, uniform_N: tf.Tensor) -> tf.Tensor:
    """Samples int32 ids_N, one from each row's distribution, by inverse transform sampling.

    Args:
      log_probs_NV: float32.
      uniform_N: float32 in [0, 1), one random number a row.
    """
    sums_NV = tf.cumsum(tf.exp(log_probs_NV), axis=1)
    # The threshold stays below the last sum, so that a word of probability 0 is never drawn.
    threshold_N1 = tf.minimum(uniform_N, 1 - 2**-23)[:, tf.newaxis] * sums_NV[:, -1:]
    return tf.searchsorted(sums_NV, threshold_N1, side="right")[:, 0]
