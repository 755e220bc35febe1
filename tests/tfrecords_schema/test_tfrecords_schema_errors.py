import pytest
import tensorflow as tf

from tfrecords_schema.errors import one_line


@tf.function(autograph=False)
def check(x):
    with tf.control_dependencies([tf.debugging.Assert(x > 1, ["x is too small"])]):
        return tf.identity(x)


@tf.function(autograph=False)
def decode(image_bytes):
    return tf.io.decode_jpeg(image_bytes)


def test_the_reason_is_kept_and_the_graph_is_not():
    with pytest.raises(tf.errors.InvalidArgumentError) as caught:
        check(tf.constant(0))
    assert one_line(caught.value) == "[x is too small]"
    with pytest.raises(tf.errors.InvalidArgumentError) as caught:
        decode(tf.constant("no image"))
    assert "image" in one_line(caught.value).lower()
    assert "{{" not in one_line(caught.value) and "\n" not in one_line(caught.value)


def test_other_errors_keep_their_first_line():
    assert one_line(ValueError("the file is empty")) == "the file is empty"
    assert one_line(ValueError("first\nsecond")) == "first"
    assert one_line(KeyError()) == "KeyError"
