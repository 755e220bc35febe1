"""Scheduled sampling: in training the model sometimes reads its own words (Bengio et al. 2015).

Here in parallel (Duckworth et al. 2019, arXiv:1906.04331): a first pass under teacher forcing gives
the model's guess at each word, and in the second pass, which is the one that learns, some of the
words that it reads are drawn from those guesses. So no model need be run word by word.
"""

import tensorflow as tf

from tfrecords_schema.vocabulary import PAD, START
from trainer.decoding.beam_search import next_log_probs
from trainer.decoding.sampling import draw_words
from trainer.layers.dropout import uniform_words
from trainer.layers.packing import PackedCaptions, word_before
from trainer.replicas.stateless_random import PLACES, Seed

_CHOOSE, _DRAW = PLACES - 2, PLACES - 1


def sample_inputs(
    words: PackedCaptions, logits_PV: tf.Tensor, share: tf.Tensor, seed: Seed
) -> PackedCaptions:
    """`words` with some of their inputs drawn from the model's own distribution.

    Args:
      words: of the batch.
      logits_PV: what the model predicts for them under teacher forcing.
      share: scalar float, of the inputs after <start> that are replaced, on average.
      seed: of the step.
    """
    log_probs_PV = next_log_probs(logits_PV, never=(PAD, START))  # a model reads <unk>
    drawn_P = draw_words(log_probs_PV, uniform_words(seed, _DRAW, words))
    # The guess at a word is what the model would have read at the next one.
    before_P = tf.gather(drawn_P, word_before(words.rows_T, words.row_P, words.time_P))
    is_chosen = uniform_words(seed, _CHOOSE, words) < share
    inputs_P = tf.where(is_chosen & (words.time_P > 0), before_P, words.inputs_P)
    return words._replace(inputs_P=tf.stop_gradient(inputs_P))
