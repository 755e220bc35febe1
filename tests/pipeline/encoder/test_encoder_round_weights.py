"""Rounding to bfloat16 that keeps the sums of filters."""

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.encoder.round_weights import round_to_bfloat16

EPSILON = 2.0**-7  # between 1 and the next number of bfloat16


def kernel(shape, seed, scale=1.0):
    return (np.random.default_rng(seed).normal(size=shape) * scale).astype(np.float32)


@given(st.integers(1, 5), st.integers(1, 5), st.integers(0, 2**32 - 1), st.integers(-8, 8))
@settings(max_examples=50, deadline=None)
def test_rounding_keeps_each_number_near_and_each_sum_of_a_filter_nearer(
    height, width, seed, power
):
    weight = kernel((height, width, 3, 2), seed, 10.0**power)
    rounded = round_to_bfloat16(weight).astype(np.float32)
    largest = np.abs(weight).max((0, 1))
    assert (np.abs(rounded - weight) <= 1.01 * EPSILON * largest).all()
    if (height, width) != (1, 1):
        smallest = np.abs(weight).min((0, 1))
        off = np.abs(rounded.astype(np.float64).sum((0, 1)) - weight.astype(np.float64).sum((0, 1)))
        # The last number takes all that is left, and is itself rounded.
        assert (off <= EPSILON * (smallest + EPSILON * largest) + 1e-6 * largest).all()


def test_sums_of_filters_are_closer_than_where_each_number_is_rounded_alone():
    weight = kernel((3, 3, 64, 1), 0)
    alone = tf.cast(weight, tf.bfloat16).numpy()
    off = [
        np.abs(rounded.astype(np.float64).sum((0, 1)) - weight.sum((0, 1), np.float64)).mean()
        for rounded in (round_to_bfloat16(weight), alone)
    ]
    assert off[0] < 0.1 * off[1]


@pytest.mark.parametrize("shape", [(5,), (4, 6), (1, 1, 4, 6), ()])
def test_weights_that_are_no_filter_are_rounded_as_tensorflow_does(shape):
    weight = np.asarray(kernel(shape, 1))
    rounded = round_to_bfloat16(weight)
    assert rounded.dtype == tf.bfloat16.as_numpy_dtype
    expected = tf.cast(weight, tf.bfloat16).numpy()
    np.testing.assert_array_equal(np.asarray(rounded, np.float32), np.asarray(expected, np.float32))


def test_a_kernel_that_bfloat16_can_hold_stays_as_it_is():
    weight = kernel((3, 3, 8, 8), 2).astype(tf.bfloat16.as_numpy_dtype).astype(np.float32)
    np.testing.assert_array_equal(round_to_bfloat16(weight).astype(np.float32), weight)
