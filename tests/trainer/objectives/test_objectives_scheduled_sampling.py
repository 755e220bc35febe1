import numpy as np
import tensorflow as tf

from tfrecords_schema.vocabulary import END, PAD, START
from trainer.layers.packing import pack_captions
from trainer.objectives.scheduled_sampling import sample_inputs
from trainer.replicas.stateless_random import replica_seed

VOCABULARY = 9


def captions(rows=40, words=6):
    ids = np.full([rows, 1, words + 2], 5, np.int32)
    ids[:, :, 0], ids[:, :, -1] = START, END
    return pack_captions(tf.constant(ids))


def sampled(words, logits, share, seed=(1, 2)):
    seed = replica_seed(*seed, tf.zeros([40, 1, 8]))
    return sample_inputs(words, logits, tf.constant(share), seed).inputs_P.numpy()


def test_a_share_of_the_words_read_is_the_models_own_and_start_stays():
    words = captions()
    logits = tf.one_hot(tf.fill(tf.shape(words.labels_P), 7), VOCABULARY) * 100
    before = words.inputs_P.numpy()
    np.testing.assert_array_equal(sampled(words, logits, 0.0), before)
    after = sampled(words, logits, 1.0)
    is_first = words.time_P.numpy() == 0
    assert (after[is_first] == START).all() and (after[~is_first] == 7).all()
    share = (sampled(words, logits, 0.3) != before)[~is_first].mean()
    assert 0.2 < share < 0.4


def test_a_word_read_is_the_guess_at_the_word_before():
    words = captions()
    guess = words.row_P % 4 + 4  # of each caption another word
    logits = tf.one_hot(guess, VOCABULARY) * 100
    after = sampled(words, logits, 1.0)
    later = words.time_P.numpy() > 0
    np.testing.assert_array_equal(after[later], guess.numpy()[later])


def test_padding_and_start_are_never_read_and_the_seed_decides():
    words = captions()
    logits = tf.zeros([len(words.labels_P), VOCABULARY])
    later = words.time_P.numpy() > 0
    drawn = sampled(words, logits, 1.0)[later]
    assert set(drawn) == set(range(VOCABULARY)) - {PAD, START}
    np.testing.assert_array_equal(sampled(words, logits, 1.0)[later], drawn)
    assert (sampled(words, logits, 1.0, seed=(1, 3))[later] != drawn).any()
