"""Scheduled sampling: in training the model sometimes reads its own words (Bengio et al. 2015).

It is done in parallel (Duckworth et al. 2019, arXiv:1906.04331). A first pass with teacher forcing
predicts each word. The second pass, which has the gradient, reads words that are partly drawn from
those predictions. So the model never runs word by word.
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
    """Replaces some input words by words drawn from the model's own distribution.

    Args:
      words: the packed captions.
      logits_PV: the model's predictions under teacher forcing.
      share: scalar float, expected share of the inputs after <start> that are replaced.
      seed: the seed of the step.
    """
    log_probs_PV = next_log_probs(logits_PV, never=(PAD, START))  # <unk> is a valid input
    drawn_P = draw_words(log_probs_PV, uniform_words(seed, _DRAW, words))
    # The prediction of a word is the input of the next step.
    before_P = tf.gather(drawn_P, word_before(words.rows_T, words.row_P, words.time_P))
    is_chosen = uniform_words(seed, _CHOOSE, words) < share
    inputs_P = tf.where(is_chosen & (words.time_P > 0), before_P, words.inputs_P)
    return words._replace(inputs_P=tf.stop_gradient(inputs_P))
