"""A recurrent layer over packed captions.

On a GPU the whole recurrence is one cuDNN call of a Keras layer on padded captions. On a CPU it is
a loop over steps, whose number of rows falls, with its gradient written out. Automatic
differentiation would accumulate the gradient of the recurrent weights at each step. Here one large
matrix product after the loop computes it. Both use the weights of one Keras layer.

Shape suffixes: N rows (captions), n rows running at a step, H units, T time, P packed
words, I depth of the inputs; G and 4 as in `cells`.
"""

from collections.abc import Callable
from typing import NamedTuple

import keras
import tensorflow as tf

from trainer.layers.cells import CELLS, Cell
from trainer.layers.packing import PackedCaptions, pack, unpack, word_before


class RnnState(NamedTuple):
    """The state of a layer; in a GRU both parts are equal."""

    h_NH: tf.Tensor
    memory_NH: tf.Tensor


def make_rnn(cell: str, units: int, inputs: int, name: str) -> keras.layers.RNN:
    """A built Keras layer of `units` cells over vectors of depth `inputs`."""
    kinds = {"lstm": keras.layers.LSTM, "gru": keras.layers.GRU}
    layer = kinds[cell](units, return_sequences=True, name=name)
    layer.build((None, None, inputs))
    return layer


def cell_name(layer: keras.layers.RNN) -> str:
    """The layer's kind of cell, `lstm` or `gru`."""
    return "lstm" if isinstance(layer, keras.layers.LSTM) else "gru"


def input_weights(layer: keras.layers.RNN) -> tuple[tf.Tensor, tf.Tensor]:
    """kernel_IG and bias_G, the weights from the input to the gates."""
    bias = tf.convert_to_tensor(layer.cell.bias)
    return tf.convert_to_tensor(layer.cell.kernel), bias if bias.shape.rank == 1 else bias[0]


def state_weights(layer: keras.layers.RNN) -> tuple[tf.Tensor, tf.Tensor]:
    """kernel_HG and bias_G, the weights from the previous state to the gates."""
    bias = tf.convert_to_tensor(layer.cell.bias)
    kernel = tf.convert_to_tensor(layer.cell.recurrent_kernel)
    return kernel, tf.zeros_like(bias) if bias.shape.rank == 1 else bias[1]


def rnn_step(layer: keras.layers.RNN, inputs_NI: tf.Tensor, state: RnnState) -> RnnState:
    """The state after one step of all rows."""
    of_input_NG = linear(inputs_NI, *input_weights(layer))
    of_state_NG = linear(state.h_NH, *state_weights(layer))
    h_NH, memory_NH, _ = CELLS[cell_name(layer)].forward(of_input_NG, of_state_NG, state.memory_NH)
    return RnnState(h_NH, memory_NH)


def packed_rnn(
    layer: keras.layers.RNN, inputs_PI: tf.Tensor, state: RnnState, words: PackedCaptions
) -> tf.Tensor:
    """Runs a layer over all words of all captions.

    Args:
      layer: the result of `make_rnn`.
      inputs_PI: float32.
      state: the state before the first word; rows as in `words`, longest caption first.
      words: the packed captions of the inputs.

    Returns:
      h_PH, the output of every word.
    """
    if tf.config.list_physical_devices("GPU"):
        return fused_rnn(layer, inputs_PI, state, words)
    cell = CELLS[cell_name(layer)]
    of_input_PG = linear(inputs_PI, *input_weights(layer))
    recurrence = tf.custom_gradient(lambda *tensors: _recurrence(cell, *tensors))
    return recurrence(
        *state, of_input_PG, *state_weights(layer), words.rows_T, words.row_P, words.time_P
    )


def fused_rnn(
    layer: keras.layers.RNN, inputs_PI: tf.Tensor, state: RnnState, words: PackedCaptions
) -> tf.Tensor:
    """As `packed_rnn`, by one call of the Keras layer, which on a GPU is one call of cuDNN."""
    order_N = tf.argsort(words.caption_N)  # sorted rows -> rows of the batch
    initial = [tf.gather(part, order_N) for part in state]
    if cell_name(layer) == "gru":
        initial = initial[:1]
    # cuDNN refuses a row without a step: such a row gets one, which is dropped with the padding.
    inputs_NTI = tf.pad(unpack(inputs_PI, words), [[0, 0], [0, 1], [0, 0]])
    steps_N = tf.maximum(tf.reduce_sum(unpack(tf.ones_like(words.row_P), words), 1), 1)
    mask_NT = tf.sequence_mask(steps_N, tf.shape(inputs_NTI)[1])
    return pack(layer(inputs_NTI, mask=mask_NT, initial_state=initial), words)


def _recurrence(
    cell: Cell,
    h_NH: tf.Tensor,
    memory_NH: tf.Tensor,
    of_input_PG: tf.Tensor,
    state_kernel_HG: tf.Tensor,
    state_bias_G: tf.Tensor,
    rows_T: tf.Tensor,
    row_P: tf.Tensor,
    time_P: tf.Tensor,
) -> tuple[tf.Tensor, Callable]:
    """h_PH, and its gradient function."""
    steps, rows, units = tf.shape(rows_T)[0], tf.shape(h_NH)[0], h_NH.shape[1]
    words_at = words_by_step(rows_T)

    def forward(t, h, memory, hs, memories, befores, gates):
        n = rows_T[t]
        before = memory[:n]
        of_state_nG = linear(h[:n], state_kernel_HG, state_bias_G)
        h, memory, gates_n4 = cell.forward(words_at(t, of_input_PG), of_state_nG, before)
        return (
            t + 1, h, memory, hs.write(t, h), memories.write(t, memory), befores.write(t, before),
            gates.write(t, gates_n4),
        )  # fmt: skip

    row = tf.TensorShape([None, units])
    arrays = [step_array(steps, width) for width in (units, units, units, 4 * units)]
    *_, hs, memories, befores, gates = tf.while_loop(
        lambda t, *_: t < steps,
        forward,
        (0, h_NH, memory_NH, *arrays),
        shape_invariants=(tf.TensorShape([]), row, row, *[None] * len(arrays)),
        maximum_iterations=steps,
    )
    h_PH = hs.concat()

    def gradient(dh_PH: tf.Tensor) -> tuple[tf.Tensor | None, ...]:
        state_kernel_GH = tf.transpose(state_kernel_HG)  # once: saves half of each step's product

        def backward(t, dh, dmemory, dgates):
            # dh and dmemory have the rows of step t + 1. Rows that end at t start from zero.
            n = rows_T[t]
            dgates_n4, dmemory = cell.gradient(
                grow(dh, n) + words_at(t, dh_PH), grow(dmemory, n), gates.read(t),
                befores.read(t), memories.read(t),
            )  # fmt: skip
            dh = tf.matmul(cell.of_state(dgates_n4), state_kernel_GH)
            return t - 1, dh, dmemory, dgates.write(t, dgates_n4)

        _, dh_NH, dmemory_NH, dgates = tf.while_loop(
            lambda t, *_: t >= 0,
            backward,
            (steps - 1, h_NH[:0], h_NH[:0], step_array(steps, 4 * units)),
            shape_invariants=(tf.TensorShape([]), row, row, None),
            maximum_iterations=steps,
        )
        dgates_P4 = dgates.concat()
        before_PH = state_before(h_PH, h_NH, rows_T, row_P, time_P)
        dof_state_PG = cell.of_state(dgates_P4)
        return (
            grow(dh_NH, rows), grow(dmemory_NH, rows), cell.of_input(dgates_P4),
            tf.matmul(before_PH, dof_state_PG, transpose_a=True), tf.reduce_sum(dof_state_PG, 0),
            None, None, None,
        )  # fmt: skip

    return h_PH, gradient


def linear(x_nI: tf.Tensor, kernel_IG: tf.Tensor, bias_G: tf.Tensor) -> tf.Tensor:
    """x W + b as x_nG; on a CPU it is one operation, which fuses the bias with the product."""
    return tf.nn.bias_add(tf.matmul(x_nI, kernel_IG), bias_G)


def state_before(
    h_PH: tf.Tensor, h_NH: tf.Tensor, rows_T: tf.Tensor, row_P: tf.Tensor, time_P: tf.Tensor
) -> tf.Tensor:
    """The output before each word: h_NH before the first, else the output of the previous word."""
    before_PH = tf.gather(h_PH, word_before(rows_T, row_P, time_P))
    return tf.where((time_P > 0)[:, None], before_PH, tf.gather(h_NH, row_P))


def words_by_step(rows_T: tf.Tensor) -> Callable[[tf.Tensor, tf.Tensor], tf.Tensor]:
    """A function of t and x_PX that returns x_nX, the words of step t, without a copy."""
    starts_T = tf.cumsum(rows_T, exclusive=True)
    return lambda t, x_PX: tf.slice(x_PX, [starts_T[t], 0], [rows_T[t], x_PX.shape[1]])


def step_array(steps: tf.Tensor, *shape: int) -> tf.TensorArray:
    """An array of one tensor a step, float32 [rows, *shape]; the number of rows may differ."""
    return tf.TensorArray(
        tf.float32, steps, infer_shape=False, clear_after_read=False, element_shape=[None, *shape]
    )


def grow(x: tf.Tensor, rows: tf.Tensor) -> tf.Tensor:
    """`x` padded with zeros at the end, to `rows` rows."""
    return tf.pad(x, [[0, rows - tf.shape(x)[0]]] + [[0, 0]] * (x.shape.rank - 1))
