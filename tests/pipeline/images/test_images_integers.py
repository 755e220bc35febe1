"""Integers out of the bytes of a file: against Python's, and past the end."""

import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.images.integers import file_bytes, integer, not_inlined


@tf.function(
    input_signature=[tf.TensorSpec([], tf.string), tf.TensorSpec([], tf.int64)], autograph=False
)
def integers(image_bytes, at):
    """The integers at `at`, by size and whether the first byte is the least."""
    data = file_bytes(image_bytes)
    return {
        f"{size} {little_endian}": integer(data, at, size, little_endian)
        for size in (1, 2, 3, 4)
        for little_endian in (True, False)
    }


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=20), st.integers(0, 30))
def test_an_integer_is_that_of_python_and_bytes_past_the_end_are_zero(content, at):
    padded = content + bytes(40)
    for name, found in integers(content, at).items():
        size, little_endian = int(name.split()[0]), name.endswith("True")
        expected = int.from_bytes(padded[at : at + size], "little" if little_endian else "big")
        assert (int(found), found.dtype) == (expected, tf.int64), name


def test_a_position_far_past_the_end_is_past_the_end():
    assert int(integer(file_bytes(b"\xff" * 9), tf.constant(2**62, tf.int64), 4, True)) == 0


def test_positions_may_have_any_shape():
    data = file_bytes(bytes(range(1, 9)))
    found = integer(data, tf.constant([[0, 1, 2], [5, 6, 7]]), 2, False)
    assert found.numpy().tolist() == [[0x0102, 0x0203, 0x0304], [0x0607, 0x0708, 0x0800]]


def test_the_largest_integer_of_4_bytes_is_not_negative():
    assert int(integer(file_bytes(b"\xff" * 4), 0, 4, True)) == 2**32 - 1


def test_file_bytes_are_those_of_the_file_and_a_zero():
    assert file_bytes(b"\x00\x80\xff").numpy().tolist() == [0, 128, 255, 0]
    assert file_bytes(b"").numpy().tolist() == [0]


def test_a_function_that_is_not_inlined_stays_a_call_in_the_graph():
    graph = tf.function(
        lambda x: not_inlined(lambda x: x * 3)(x), [tf.TensorSpec([], tf.int32)], autograph=False
    )
    definition = graph.get_concrete_function().graph.as_graph_def()
    assert [bool(call.attr["_noinline"].b) for call in definition.library.function] == [True]
    assert int(graph(tf.constant(5))) == 15
