"""The floating-point precision of a run.

Weights, their gradients and their updates are float32 in every run. In bfloat16 and float16 (mixed
precision, Micikevicius et al. 2018, arXiv:1710.03740) TensorFlow's graph optimizer casts matrix
products, and the operations between them, to the narrow type; sums, softmax and the loss stay
float32. It has one pass for float16 on GPUs and one for bfloat16 on CPUs.

Small gradients would underflow in float16. So the loss is scaled up by a factor that is halved when
a gradient overflows, and doubled after 2,000 steps without overflow (section 3.2).
"""

from collections.abc import Iterator
from contextlib import contextmanager

import tensorflow as tf

from tfrecords_schema.errors import InputError

# TensorFlow's option -> its precision
OPTIONS = {
    "auto_mixed_precision": "float16",
    "auto_mixed_precision_onednn_bfloat16": "bfloat16",
}


def set_precision(precision: str) -> None:
    """Sets the precision of new graphs to one of `trainer.config.PRECISIONS`.

    On a CPU without bfloat16 instructions TensorFlow logs that and computes in float32.

    Raises:
      InputError: the best devices of this machine do not support it.
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

    So a program that trains and then evaluates gets the same scores as one that only evaluates.

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
