"""The model's input: the features of a dataset, or its images."""

import math

import tensorflow as tf


def as_model_input(features: tf.Tensor) -> tf.Tensor:
    """Features as float32 [batch, regions, depth]; pooled features are one region.

    Images, uint8 [batch, side, side, 3], become float32 and keep their shape.
    """
    if features.dtype == tf.uint8:
        return tf.cast(features, tf.float32)
    shape = tuple(features.shape.as_list()[1:])
    return tf.reshape(tf.cast(features, tf.float32), [-1, *region_shape(shape)])


def region_shape(feature_shape: tuple[int, ...]) -> tuple[int, int]:
    """(regions, depth) of features of `feature_shape`, (height, width, depth) or (depth,)."""
    *grid, depth = feature_shape
    return math.prod(grid), depth
