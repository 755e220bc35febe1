"""Weights in bfloat16, rounded so that each filter's sum stays what it was.

Where a picture is smooth, a filter gives its sum times the color. Rounded each by itself, the
numbers of a filter of large ones that cancel out add up to another sum, and the network's features
then differ by more than all other rounding makes of them. Here what one number was rounded up by,
the next one is rounded down by (error feedback, as in dithering).
"""

import numpy as np
import tensorflow as tf


def round_to_bfloat16(weight: np.ndarray) -> np.ndarray:
    """`weight` in bfloat16.

    Args:
      weight: float; if it is a kernel of two dimensions [height, width, ...] the sum over these
        is kept, to the rounding of the smallest number in it.
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
