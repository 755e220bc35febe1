"""Batched beam search over any step function, in graph mode.

The search depends on no model: it takes a function from the previous words to the log probabilities
of the next word. Beam width 1 is greedy search. Validation, evaluation and the export all use this
search.

Shape suffixes: B batch, W beams, T time, V vocabulary, N = B * W rows.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeVar

import tensorflow as tf

from tfrecords_schema.vocabulary import END, NEVER_WRITTEN, PAD, START
from trainer.decoding.search_config import SearchConfig
from trainer.models.captioner import Captioner

NEVER = -1e9  # log probability of a forbidden token; finite, so that sums stay finite

Step = Callable[[tf.Tensor, Any], tuple[tf.Tensor, Any]]
Written = TypeVar("Written")


class Beams(NamedTuple):
    """The captions of each example, best first."""

    ids_BWT: tf.Tensor  # int32; without <start>; <pad> after <end>
    log_probs_BW: tf.Tensor  # float32; sum over the words and <end>


def beam_search(step: Step, state: Any, search: SearchConfig) -> Beams:
    """Finds likely captions: `beam_width` captions for each example.

    A beam that has ended with <end> stays unchanged and competes with the others. Beams are
    compared by log probability / ((5 + words) / 6) ** length_penalty (Wu et al. 2016, equation
    14; <end> counts as a word). A caption cut at `max_words`, which does not count <end>, has no
    <end>.

    Args:
      step: function from the last token int32 [N] and the state to log probabilities float32
        [N, V] and the next state. Row b * width + w is beam w of example b.
      state: nest of tensors with B rows each, the state before <start>.
      search: the search settings; the beam width is at most V.
    """
    width, max_words = search.beam_width, search.max_words
    first = tf.nest.flatten(state)[0]
    batch, steps = tf.shape(first)[0], max_words + 1
    state = tf.nest.map_structure(lambda x: tf.repeat(x, width, axis=0), state)
    # All beams of an example are equal at first, so only one may be continued.
    first_W = tf.constant([0.0] + [NEVER] * (width - 1))
    log_probs_BW = tf.zeros([batch, width]) + first_W
    ids_BWT = tf.fill([batch, width, steps], PAD)
    token_BW = tf.fill([batch, width], START)
    ended_BW = tf.zeros([batch, width], tf.bool)
    words_BW = tf.zeros([batch, width])

    def go_on(t, ids_BWT, token_BW, ended_BW, words_BW, log_probs_BW, state):
        return (t < steps) & ~tf.reduce_all(ended_BW)

    def body(t, ids_BWT, token_BW, ended_BW, words_BW, log_probs_BW, state):
        next_NV, state = step(tf.reshape(token_BW, [-1]), state)
        vocabulary = next_NV.shape[-1]
        next_BWV = tf.reshape(next_NV, [batch, width, vocabulary])
        # An ended beam has one continuation, <pad>, with log probability 0.
        stay_V = tf.one_hot(PAD, vocabulary, on_value=0.0, off_value=NEVER)
        next_BWV = tf.where(ended_BW[..., None], stay_V, next_BWV)
        total_BWV = log_probs_BW[..., None] + next_BWV
        grown_BW = words_BW + tf.cast(~ended_BW, tf.float32)
        scale_BW1 = (((5.0 + grown_BW) / 6.0) ** search.length_penalty)[..., None]
        scores_BX = tf.reshape(total_BWV / scale_BW1, [batch, width * vocabulary])
        chosen_BW = tf.math.top_k(scores_BX, width).indices
        beam_BW, token_BW = chosen_BW // vocabulary, chosen_BW % vocabulary

        log_probs_BW = tf.gather(tf.reshape(total_BWV, [batch, -1]), chosen_BW, batch_dims=1)
        words_BW = tf.gather(grown_BW, beam_BW, batch_dims=1)
        ended_BW = tf.gather(ended_BW, beam_BW, batch_dims=1) | (token_BW == END)
        ids_BWT = tf.gather(ids_BWT, beam_BW, batch_dims=1)
        ids_BWT = tf.where(tf.range(steps) == t, token_BW[..., None], ids_BWT)
        row_N = tf.reshape(tf.range(batch)[:, None] * width + beam_BW, [-1])
        state = tf.nest.map_structure(lambda x: tf.gather(x, row_N), state)
        return t + 1, ids_BWT, token_BW, ended_BW, words_BW, log_probs_BW, state

    beams = tf.TensorShape([None, width])
    _, ids_BWT, _, _, _, log_probs_BW, _ = tf.while_loop(
        go_on,
        body,
        (0, ids_BWT, token_BW, ended_BW, words_BW, log_probs_BW, state),
        shape_invariants=(
            tf.TensorShape([]),
            tf.TensorShape([None, width, steps]),
            *[beams] * 4,
            tf.nest.map_structure(any_size, state),
        ),
    )
    return Beams(ids_BWT[..., :max_words], log_probs_BW)


def compiled(write: Callable[..., Written], jit_compile: bool) -> Callable[..., Written]:
    """Compiles `write`, a decoding function of tensors, with XLA if `jit_compile` is true.

    A decoding step is many small operations, and XLA fuses them. It compiles for fixed shapes: a
    batch of another size is compiled again. A model whose state grows with the words, such as the
    transformer, cannot be compiled. The encoder of the image stays outside, since XLA slows down
    convolutions.
    """
    return tf.function(write, jit_compile=True, autograph=False) if jit_compile else write


def any_size(x: tf.Tensor) -> tf.TensorShape:
    """The shape of a part of the state in a loop, [rows, ..., depth] or [rows]. Only the depth is
    fixed, since a key-value cache grows with the words."""
    depth = x.shape[-1:] if x.shape.rank > 1 else [None]
    return tf.TensorShape([*[None] * (x.shape.rank - 1), *depth])


def next_log_probs(logits: tf.Tensor, never: Sequence[int] = NEVER_WRITTEN) -> tf.Tensor:
    """Log probabilities of the next word; the tokens in `never` are excluded."""
    never_V = tf.reduce_sum(tf.one_hot(never, logits.shape[-1]), 0) > 0
    return tf.nn.log_softmax(tf.where(never_V, NEVER, logits))


def search_captions(model: Captioner, features_BRD: tf.Tensor, search: SearchConfig) -> Beams:
    """Captions of images by beam search; <pad>, <unk> and <start> are never chosen.

    Args:
      model: the captioner.
      features_BRD: float32 [batch, regions, depth].
      search: the search settings; see `beam_search` and `compiled`.
    """

    def find(context: Any) -> Beams:
        def step(token_N: tf.Tensor, state: Any) -> tuple[tf.Tensor, Any]:
            logits_NV, state = model.step(context, state, token_N)
            return next_log_probs(logits_NV), state

        return beam_search(step, model.start(context), search)

    return compiled(find, search.jit_compile)(model.encode(features_BRD))
