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


def test_one_line_of_a_tensorflow_error_keeps_the_reason_and_not_the_graph():
    with pytest.raises(tf.errors.InvalidArgumentError) as caught:
        check(tf.constant(0))
    assert one_line(caught.value) == "[x is too small]"
    with pytest.raises(tf.errors.InvalidArgumentError) as caught:
        decode(tf.constant("no image"))
    assert "image" in one_line(caught.value).lower()
    assert "{{" not in one_line(caught.value) and "\n" not in one_line(caught.value)


def test_one_line_of_a_python_error_is_its_first_line():
    assert one_line(ValueError("the file is empty")) == "the file is empty"
    assert one_line(ValueError("first\nsecond")) == "first"
    assert one_line(KeyError()) == "KeyError"
