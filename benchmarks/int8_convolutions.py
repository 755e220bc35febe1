"""What int8 could gain: single convolutions on one thread, in turns, ms a batch of 8.

    .venv/bin/python benchmarks/int8_convolutions.py

Each with bias and ReLU, int8 also scaled to int8 again, by TensorFlow's oneDNN kernels.
"""

import statistics
import time

from tfrecords_schema.start_tensorflow import start_tensorflow

start_tensorflow(3)

import numpy as np
import tensorflow as tf

BATCH, ROUNDS, REPEATS = 8, 15, 10
LAYERS = (  # side, channels in, channels out, side of the kernel
    (56, 64, 64, 3),
    (14, 256, 256, 3),
    (14, 96, 576, 1),
)


def main():
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    for side, channels, filters, kernel_side in LAYERS:
        images = tf.random.uniform([BATCH, side, side, channels])
        kernel = tf.random.uniform([kernel_side, kernel_side, channels, filters], -0.5, 0.5)
        runs = {
            "float32": in_float(images, kernel, tf.float32),
            "bfloat16": in_float(images, kernel, tf.bfloat16),
            "int8": in_int8(images, kernel),
        }
        taken = {name: [] for name in runs}
        for _ in range(ROUNDS):
            for name, run in runs.items():
                start = time.perf_counter()
                for _ in range(REPEATS):
                    run()
                taken[name].append((time.perf_counter() - start) / REPEATS * 1000)
        shown = {name: round(statistics.median(times), 2) for name, times in taken.items()}
        print(f"{side}x{side}x{channels} -> {filters}, {kernel_side}x{kernel_side}: {shown}")


def in_float(images, kernel, dtype):
    images, kernel = tf.cast(images, dtype), tf.constant(tf.cast(kernel, dtype).numpy())
    bias = tf.zeros([kernel.shape[-1]], dtype)

    @tf.function(autograph=False)
    def run(images):
        return tf.nn.relu(tf.nn.bias_add(tf.nn.conv2d(images, kernel, 1, "SAME"), bias))

    return lambda: run(images)


def in_int8(images, kernel):
    images = tf.quantization.quantize(images, 0.0, 1.0, tf.quint8)[0]
    kernel = tf.quantization.quantize(kernel, -0.5, 0.5, tf.qint8)[0]
    kernel = kernel.numpy().astype(np.int8).astype(tf.qint8.as_numpy_dtype)

    @tf.function(autograph=False)
    def run(images):
        return tf.raw_ops.QuantizedConv2DWithBiasAndReluAndRequantize(
            input=images, filter=tf.constant(kernel, tf.qint8), bias=tf.zeros([kernel.shape[-1]]),
            min_input=0.0, max_input=1.0, min_filter=-0.5, max_filter=0.5,
            min_freezed_output=0.0, max_freezed_output=10.0,
            strides=[1, 1, 1, 1], padding="SAME",
        )[0]  # fmt: skip

    return lambda: run(images)


if __name__ == "__main__":
    main()
