"""Reads integers from the bytes of a file, as a TensorFlow graph."""

import tensorflow as tf

# Makes a function a call in the graph, so that its nodes cost nothing in a branch not taken.
not_inlined = tf.function(autograph=False, experimental_attributes={"_noinline": True})


def file_bytes(image_bytes: tf.Tensor) -> tf.Tensor:
    """uint8 [bytes + 1]: a file's bytes and a zero, which is read for positions past the end."""
    return tf.concat([tf.io.decode_raw(image_bytes, tf.uint8), tf.zeros([1], tf.uint8)], 0)


def integer(data: tf.Tensor, at: tf.Tensor | int, size: int, little_endian: bool) -> tf.Tensor:
    """The unsigned integer of `size` bytes at each position `at` of `file_bytes`, int64."""
    powers = [256**i for i in range(size)]
    places = tf.expand_dims(tf.cast(at, tf.int64), -1) + range(size)
    last = tf.size(data, tf.int64) - 1
    values = tf.cast(tf.gather(data, tf.clip_by_value(places, 0, last)), tf.int64)
    return tf.reduce_sum(values * (powers if little_endian else powers[::-1]), -1)
