"""In which numbers a run computes.

Weights, their gradients and their updates are float32 in every run. In bfloat16 and float16 (mixed
precision, Micikevicius et al. 2018, arXiv:1710.03740) TensorFlow's own rewriter of graphs turns
products of matrices, and what stands between them, to the narrow type, and leaves sums, softmax and
the loss alone. It has one for the float16 of GPUs and one for the bfloat16 of CPUs.

The gradients of float16 would be lost where they are small: the loss is scaled up, by a factor that
is halved when a gradient overflows and doubled after 2,000 steps without that (section 3.2).
"""

from collections.abc import Iterator
from contextlib import contextmanager

import tensorflow as tf

from tfrecords_schema.errors import InputError

# TensorFlow's option -> the precision that it is for.
OPTIONS = {
    "auto_mixed_precision": "float16",
    "auto_mixed_precision_onednn_bfloat16": "bfloat16",
}


def set_precision(precision: str) -> None:
    """Has the graphs that are made from now on compute in one of `trainer.config.PRECISIONS`.

    On a CPU without bfloat16 instructions TensorFlow logs that and computes in float32.

    Raises:
      InputError: the best devices of this machine do not have it.
    """
    has_gpu = bool(tf.config.list_physical_devices("GPU"))
    if precision == "float16" and not has_gpu:
        raise InputError("--precision=float16 is for GPUs; on a CPU give bfloat16 or float32")
    if precision == "bfloat16" and has_gpu:
        raise InputError("--precision=bfloat16 is for CPUs; on a GPU give float16 or float32")
    tf.config.optimizer.set_experimental_options(
        {name: precision == its_precision for name, its_precision in OPTIONS.items()}
    )


@contextmanager
def precision_set(precision: str) -> Iterator[None]:
    """Calls `set_precision`, and restores TensorFlow's options after the context.

    A program that trains and then evaluates computes the same scores as one that only evaluates.

    Raises:
      InputError: see `set_precision`.
    """
    before = tf.config.optimizer.get_experimental_options()
    set_precision(precision)
    try:
        yield
    finally:
        tf.config.optimizer.set_experimental_options(
            {name: before.get(name, False) for name in OPTIONS}
        )
