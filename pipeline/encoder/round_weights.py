"""Rounds weights to bfloat16 so that the sum of each filter is kept.

On a smooth part of a picture a filter's output is its sum times the color. If large weights cancel
out, rounding each to nearest changes their sum, which changes the features more than all other
rounding does. Here the rounding error of one weight is added to the next one before it is rounded
(error feedback, as in dithering).
"""

import numpy as np
import tensorflow as tf


def round_to_bfloat16(weight: np.ndarray) -> np.ndarray:
    """Rounds `weight` to bfloat16.

    Args:
      weight: float. For a kernel of two spatial dimensions [height, width, ...] the sum over them
        is kept, up to the rounding of its smallest number.
    """
    bfloat16 = tf.bfloat16.as_numpy_dtype
    if weight.ndim != 4 or weight.shape[:2] == (1, 1):
        return weight.astype(bfloat16)
    filters = weight.reshape(-1, *weight.shape[2:])
    order = np.argsort(-np.abs(filters), axis=0)
    rounded = np.empty_like(filters, bfloat16)
    error = np.zeros_like(filters[:1])
    for place in order[:, np.newaxis]:  # from the largest to the smallest
        exact = np.take_along_axis(filters, place, 0) + error
        nearest = exact.astype(bfloat16)
        np.put_along_axis(rounded, place, nearest, 0)
        error = exact - nearest.astype(exact.dtype)
    return rounded.reshape(weight.shape)
