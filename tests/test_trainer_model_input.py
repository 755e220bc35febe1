import numpy as np
import tensorflow as tf

from trainer.draws import replica_seed
from trainer.model_input import as_model_input, flip_some


def test_pooled_features_are_one_region():
    assert as_model_input(tf.zeros([3, 5], tf.float16)).shape == [3, 1, 5]
    grid = tf.reshape(tf.range(2 * 3 * 4 * 5, dtype=tf.float32), [2, 3, 4, 5])
    np.testing.assert_array_equal(as_model_input(grid)[1, 5], grid[1, 1, 1])


def test_images_stay_images():
    images = tf.cast(tf.random.stateless_uniform([2, 4, 4, 3], [1, 2]) * 255, tf.uint8)
    given = as_model_input(images)
    assert given.dtype == tf.float32
    np.testing.assert_array_equal(given, images)


def test_some_images_are_mirrored_as_the_seed_says():
    images = tf.random.stateless_uniform([40, 2, 5, 3], [1, 2])
    seed = replica_seed(3, 4, tf.zeros([40, 1, 1]))
    flipped = flip_some(images, seed).numpy()
    kept = (flipped == images).numpy().all((1, 2, 3))
    mirrored = (flipped == images[:, :, ::-1]).numpy().all((1, 2, 3))
    assert (kept | mirrored).all() and 10 < kept.sum() < 30
    np.testing.assert_array_equal(flip_some(images, seed), flipped)
