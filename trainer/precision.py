"""In which numbers a run computes.

Weights, their gradients and their updates are float32 in every run. In bfloat16 and float16 (mixed
precision, Micikevicius et al. 2018, arXiv:1710.03740) TensorFlow's own rewriter of graphs turns
products of matrices, and what stands between them, to the narrow type, and leaves sums, softmax and
the loss alone. It has one for the float16 of GPUs and one for the bfloat16 of CPUs.

The gradients of float16 would be lost where they are small: the loss is scaled up, by a factor that
is halved when a gradient overflows and doubled after 2,000 steps without that (section 3.2).
"""

import tensorflow as tf

from tfrecords_schema.errors import InputError


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
        {
            "auto_mixed_precision": precision == "float16",
            "auto_mixed_precision_onednn_bfloat16": precision == "bfloat16",
        }
    )
