"""Dropout: its share, and that its masks are those of the global batch."""

import numpy as np
import pytest
import tensorflow as tf
from small_captioners import CAPTIONS

from tfrecords_schema.vocabulary import START, UNK
from trainer.layers.dropout import (
    dropout_images,
    dropout_inputs,
    dropout_regions,
    dropout_weights,
    dropout_words,
)
from trainer.layers.packing import pack_captions, unpack
from trainer.replicas.stateless_random import replica_seed


def test_dropout_leaves_out_the_share_asked_for_and_keeps_the_mean():
    ids = tf.ones([40, 1, 6], tf.int32)
    x, seed, words = tf.ones([200, 10]), replica_seed(1, 0, ids), pack_captions(ids)
    for rate, scale in ((0.25, 4 / 3), (0.6, 256 / 102), (0.999, 256)):
        for dropped in (dropout_images(x, rate, seed, 0), dropout_words(x, rate, seed, 0, words)):
            assert abs((dropped.numpy() == 0).mean() - rate) < 0.05
            np.testing.assert_allclose(dropped[dropped > 0], scale, rtol=1e-6)
    assert dropout_images(x, 0.5, None, 0) is x


def test_a_word_has_the_same_mask_on_any_replica():
    ids = tf.concat([CAPTIONS, CAPTIONS[::-1]], 0)
    whole = pack_captions(ids)
    seed = replica_seed(1, 2, ids)
    x_PX = tf.ones([len(whole.labels_P), 5])
    masks_NTX = unpack(dropout_words(x_PX, 0.5, seed, 3, whole), whole).numpy()
    half = pack_captions(ids[3:])  # what a second replica has
    second = seed._replace(image=tf.constant(3), caption=tf.constant(3 * ids.shape[1]))
    x_PX = tf.ones([len(half.labels_P), 5])
    own = unpack(dropout_words(x_PX, 0.5, second, 3, half), half).numpy()
    rows = 3 * ids.shape[1]
    np.testing.assert_array_equal(own, masks_NTX[rows:, : own.shape[1]])
    weights = tf.ones([9, 5])
    mask = dropout_weights(weights, 0.5, seed, 4)
    assert 0 < np.count_nonzero(mask) < 45
    np.testing.assert_array_equal(dropout_weights(weights, 0.5, second, 4), mask)
    images = tf.ones([6, 4, 7])
    masks = dropout_images(images, 0.5, seed, 0)
    np.testing.assert_array_equal(dropout_images(images[3:], 0.5, second, 0), masks[3:])


def test_words_that_are_read_are_hidden_whole_but_never_the_start():
    ids = tf.concat([tf.fill([50, 2, 1], START), tf.fill([50, 2, 6], 5)], 2)
    seed, words = replica_seed(1, 2, ids), pack_captions(ids)
    hidden = dropout_inputs(words, 0.3, seed)
    is_first = words.time_P.numpy() == 0
    after = hidden.inputs_P.numpy()
    assert (after[is_first] == START).all() and set(after[~is_first]) == {5, UNK}
    assert 0.2 < (after[~is_first] == UNK).mean() < 0.4
    np.testing.assert_array_equal(hidden.labels_P, words.labels_P)
    half = pack_captions(ids[25:])  # what a second replica has
    second = seed._replace(image=tf.constant(25), caption=tf.constant(50))
    own = dropout_inputs(half, 0.3, second).inputs_P
    np.testing.assert_array_equal(unpack(own, half), unpack(after, words)[50:])


@pytest.mark.parametrize("regions, rate, kept", [(49, 0.3, 34), (4, 0.5, 2), (3, 0.9, 1)])
def test_regions_are_left_out_whole_and_others_of_each_image(regions, rate, kept):
    seed = replica_seed(1, 2, tf.zeros([40, 1, 6]))
    numbers_BR = tf.reshape(tf.range(40.0 * regions), [40, regions])
    features = tf.stack([numbers_BR, -numbers_BR], axis=2)
    seen = dropout_regions(features, rate, seed).numpy()
    assert seen.shape == (40, kept, 2)
    np.testing.assert_array_equal(seen[:, :, 1], -seen[:, :, 0])
    assert len(np.unique(seen[:, :, 0])) == 40 * kept  # none comes twice
    image_BR, region_BR = np.divmod(seen[:, :, 0], regions)
    assert (image_BR == np.arange(40)[:, None]).all()
    assert len({tuple(sorted(row)) for row in region_BR}) > 1
    second = seed._replace(image=tf.constant(20))
    np.testing.assert_array_equal(dropout_regions(features[20:], rate, second), seen[20:])


def test_all_regions_stay_without_a_seed_a_rate_or_a_second_region():
    features, seed = tf.ones([3, 5, 2]), replica_seed(1, 0, tf.zeros([3, 1, 6]))
    assert dropout_regions(features, 0.5, None) is features
    assert dropout_regions(features, 0.0, seed) is features
    pooled = features[:, :1]
    assert dropout_regions(pooled, 0.9, seed) is pooled
