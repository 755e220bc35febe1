import numpy as np
import tensorflow as tf

from trainer.layers.model_input import as_model_input


def test_pooled_features_as_model_input_are_one_region():
    assert as_model_input(tf.zeros([3, 5], tf.float16)).shape == [3, 1, 5]
    grid = tf.reshape(tf.range(2 * 3 * 4 * 5, dtype=tf.float32), [2, 3, 4, 5])
    np.testing.assert_array_equal(as_model_input(grid)[1, 5], grid[1, 1, 1])


def test_images_as_model_input_keep_their_pixels_as_float32():
    images = tf.cast(tf.random.stateless_uniform([2, 4, 4, 3], [1, 2]) * 255, tf.uint8)
    given = as_model_input(images)
    assert given.dtype == tf.float32
    np.testing.assert_array_equal(given, images)
