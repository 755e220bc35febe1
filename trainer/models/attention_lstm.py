"""The recurrence of `attend` over packed captions, with its gradient written out.

One step from h_{t-1}, c_{t-1} (equations in `attend`):

    q, b    = h W_q + b_q                         query; b is the gate before its sigmoid
    s_r     = tanh(k_r + q)                       for each region r
    alpha   = softmax_r(v . s_r)
    u       = sum_r alpha_r a_r
    z       = sigmoid(b) u
    i f o g = x + [z, h] W_r                      x: the word's part, computed beforehand
    c       = sigmoid(f + 1) c + sigmoid(i) tanh(g);  h = sigmoid(o) tanh(c)

Automatic differentiation of the loop adds up the gradient of every weight matrix, and of all
annotations, anew at each step: most of its time is spent reading and writing those sums. Here each
step's gradients of activations are kept, and one large matrix product after the loop turns them
into the gradient of each weight. The 1 added to f keeps the LSTM's memory from the start
(Jozefowicz et al. 2015).

Shape suffixes: N rows, n rows running at a step (they fall with t, so rows are sorted by length,
longest first), R regions, C annotation units, A attention units, H LSTM units, 4 = 4 H,
Q = A + 1, T time, P packed words (sum of n over T), time-major.
"""

from collections.abc import Callable
from typing import NamedTuple

import tensorflow as tf


class Weights(NamedTuple):
    """The weights of the recurrence."""

    query_HQ: tf.Tensor
    query_bias_Q: tf.Tensor
    score_A: tf.Tensor
    recurrent_X4: tf.Tensor  # X = C + H


class Step(NamedTuple):
    """What one step computes; the backward pass reads it again."""

    h_nH: tf.Tensor
    c_nH: tf.Tensor
    z_nC: tf.Tensor
    u_nC: tf.Tensor
    alpha_nR: tf.Tensor
    gate_n1: tf.Tensor
    tanh_nRA: tf.Tensor
    gates_n4: tf.Tensor  # after their nonlinearities


def attention_lstm_step(
    annotations_nRC: tf.Tensor,
    keys_nRA: tf.Tensor,
    h_nH: tf.Tensor,
    c_nH: tf.Tensor,
    input_n4: tf.Tensor,
    weights: Weights,
) -> Step:
    """One step of n rows."""
    query_nQ = tf.matmul(h_nH, weights.query_HQ) + weights.query_bias_Q
    tanh_nRA = tf.tanh(keys_nRA + query_nQ[:, None, :-1])
    alpha_nR = tf.nn.softmax(tf.linalg.matvec(tanh_nRA, weights.score_A))
    u_nC = tf.matmul(alpha_nR[:, None, :], annotations_nRC)[:, 0]
    gate_n1 = tf.sigmoid(query_nQ[:, -1:])
    z_nC = gate_n1 * u_nC
    sums_n4 = input_n4 + tf.matmul(tf.concat([z_nC, h_nH], 1), weights.recurrent_X4)
    i, f, o, g = tf.split(sums_n4, 4, axis=1)
    i, f, o, g = tf.sigmoid(i), tf.sigmoid(f + 1.0), tf.sigmoid(o), tf.tanh(g)
    c_nH = f * c_nH + i * g
    gates_n4 = tf.concat([i, f, o, g], 1)
    return Step(o * tf.tanh(c_nH), c_nH, z_nC, u_nC, alpha_nR, gate_n1, tanh_nRA, gates_n4)


@tf.custom_gradient
def attention_lstm(
    annotations_NRC: tf.Tensor,
    keys_NRA: tf.Tensor,
    h_NH: tf.Tensor,
    c_NH: tf.Tensor,
    input_P4: tf.Tensor,
    rows_T: tf.Tensor,
    *weights: tf.Tensor,
) -> tuple[tuple[tf.Tensor, tf.Tensor], Callable]:
    """All steps of all captions.

    Args:
      annotations_NRC: of each row's image.
      keys_NRA: likewise.
      h_NH: the state before the first word.
      c_NH: likewise.
      input_P4: the words' part of the gates.
      rows_T: int32, rows running at each step; not rising; all more than 0.
      *weights: the fields of Weights.

    Returns:
      h_PH and z_PC of every word; float32.
    """
    w = Weights(*weights)
    steps = tf.shape(rows_T)[0]
    units, depth = h_NH.shape[1], annotations_NRC.shape[2]
    regions, attention = keys_NRA.shape[1], keys_NRA.shape[2]
    inputs = _array(steps, 4 * units).split(input_P4, rows_T)

    def forward(t, h, c, kept):
        n = rows_T[t]
        step = attention_lstm_step(
            annotations_NRC[:n], keys_NRA[:n], h[:n], c[:n], inputs.read(t), w
        )
        kept = Step(*(array.write(t, x) for array, x in zip(kept, step, strict=True)))
        return t + 1, step.h_nH, step.c_nH, kept

    kept = Step(
        h_nH=_array(steps, units),
        c_nH=_array(steps, units),
        z_nC=_array(steps, depth),
        u_nC=_array(steps, depth),
        alpha_nR=_array(steps, regions),
        gate_n1=_array(steps, 1),
        tanh_nRA=_array(steps, regions, attention),
        gates_n4=_array(steps, 4 * units),
    )
    row = [tf.TensorShape([None, h_NH.shape[1]])] * 2
    *_, kept = tf.while_loop(
        lambda t, *_: t < steps,
        forward,
        (tf.constant(0), h_NH, c_NH, kept),
        shape_invariants=(tf.TensorShape([]), *row, Step(*[None] * len(kept))),
        maximum_iterations=steps,
    )
    h_PH, z_PC = kept.h_nH.concat(), kept.z_nC.concat()

    def gradient(dh_PH: tf.Tensor, dz_PC: tf.Tensor) -> tuple[tf.Tensor | None, ...]:
        return _gradient(
            annotations_NRC, keys_NRA, h_NH, c_NH, rows_T, w, kept, h_PH, z_PC, dh_PH, dz_PC
        )

    return (h_PH, z_PC), gradient


def _gradient(
    annotations_NRC, keys_NRA, h_NH, c_NH, rows_T, w, kept, h_PH, z_PC, dh_PH, dz_PC
):  # fmt: skip
    steps, rows = tf.shape(rows_T)[0], tf.shape(h_NH)[0]
    units, depth = h_NH.shape[1], annotations_NRC.shape[2]
    regions, attention = keys_NRA.shape[1], keys_NRA.shape[2]
    dh_steps = _array(steps, units).split(dh_PH, rows_T)
    dz_steps = _array(steps, depth).split(dz_PC, rows_T)

    def backward(t, dh, dc, dkeys, dscore_A, sums, queries, du, alpha):
        # dh, dc and dkeys come with the rows of step t + 1; those that end at t start from zero.
        n = rows_T[t]
        gates_n4 = kept.gates_n4.read(t)
        i, f, o, g = tf.split(gates_n4, 4, axis=1)
        before_c = tf.cond(
            t > 0, lambda: kept.c_nH.read(tf.maximum(t - 1, 0))[:n], lambda: c_NH[:n]
        )
        dh_n = _grow(dh, n) + dh_steps.read(t)
        tanh_c = tf.tanh(kept.c_nH.read(t))
        dc_n = _grow(dc, n) + dh_n * o * (1 - tanh_c * tanh_c)
        dsums_n4 = tf.concat(
            [
                dc_n * g * i * (1 - i),
                dc_n * before_c * f * (1 - f),
                dh_n * tanh_c * o * (1 - o),
                dc_n * i * (1 - g * g),
            ],
            axis=1,
        )
        dx_nX = tf.matmul(dsums_n4, w.recurrent_X4, transpose_b=True)
        dz_nC = dx_nX[:, :depth] + dz_steps.read(t)
        gate_n1, alpha_nR = kept.gate_n1.read(t), kept.alpha_nR.read(t)
        du_nC = gate_n1 * dz_nC
        dgate_n1 = tf.reduce_sum(kept.u_nC.read(t) * dz_nC, 1, keepdims=True)
        dalpha_nR = tf.linalg.matvec(annotations_NRC[:n], du_nC)
        weighted_nR = alpha_nR * dalpha_nR
        dscores_nR = weighted_nR - alpha_nR * tf.reduce_sum(weighted_nR, 1, keepdims=True)
        tanh_nRA = kept.tanh_nRA.read(t)
        dscore_A += tf.linalg.matvec(
            tf.reshape(tanh_nRA, [-1, attention]), tf.reshape(dscores_nR, [-1]), transpose_a=True
        )
        dpre_nRA = tf.raw_ops.TanhGrad(y=tanh_nRA, dy=dscores_nR[..., None] * w.score_A)
        dquery_nQ = tf.concat(
            [tf.reduce_sum(dpre_nRA, 1), dgate_n1 * gate_n1 * (1 - gate_n1)], axis=1
        )
        dh_n = dx_nX[:, depth:] + tf.matmul(dquery_nQ, w.query_HQ, transpose_b=True)
        m = tf.shape(dkeys)[0]
        dkeys = tf.concat([dkeys + dpre_nRA[:m], dpre_nRA[m:]], 0)
        return (
            t - 1, dh_n, dc_n * f, dkeys, dscore_A, sums.write(t, dsums_n4),
            queries.write(t, dquery_nQ), du.write(t, _grow(du_nC, rows)),
            alpha.write(t, _grow(alpha_nR, rows)),
        )  # fmt: skip

    _, dh_NH, dc_NH, dkeys_NRA, dscore_A, sums, queries, du, alpha = tf.while_loop(
        lambda t, *_: t >= 0,
        backward,
        (
            steps - 1, h_NH[:0], c_NH[:0], keys_NRA[:0], tf.zeros_like(w.score_A),
            _array(steps, 4 * units), _array(steps, attention + 1), _array(steps, depth),
            _array(steps, regions),
        ),
        shape_invariants=(
            tf.TensorShape([]), *[tf.TensorShape([None, units])] * 2,
            tf.TensorShape([None, regions, attention]), w.score_A.shape, *[None] * 4,
        ),
        maximum_iterations=steps,
    )  # fmt: skip
    dsums_P4, dquery_PQ = sums.concat(), queries.concat()
    # The state before each word: the first step's, then all but the last of each row's.
    starts_T = tf.cumsum(rows_T, exclusive=True)
    step_P = tf.repeat(tf.range(steps), rows_T)
    row_P = tf.range(tf.shape(h_PH)[0]) - tf.gather(starts_T, step_P)
    previous_P = tf.gather(starts_T, tf.maximum(step_P - 1, 0)) + row_P
    before_PH = tf.where((step_P > 0)[:, None], tf.gather(h_PH, previous_P), tf.gather(h_NH, row_P))
    # The annotations' gradient: for each row, the sum over its words of alpha times du.
    alpha_TNR = tf.reshape(alpha.concat(), [steps, rows, regions])
    du_TNC = tf.reshape(du.concat(), [steps, rows, depth])
    dannotations_NRC = tf.einsum("tnr,tnc->nrc", alpha_TNR, du_TNC)
    return (
        dannotations_NRC,
        _grow(dkeys_NRA, rows),
        _grow(dh_NH, rows),
        _grow(dc_NH, rows),
        dsums_P4,
        None,
        tf.matmul(before_PH, dquery_PQ, transpose_a=True),
        tf.reduce_sum(dquery_PQ, 0),
        dscore_A,
        tf.matmul(tf.concat([z_PC, before_PH], 1), dsums_P4, transpose_a=True),
    )


def _array(steps: tf.Tensor, *shape: int) -> tf.TensorArray:
    """One tensor a step, [rows, *shape] with its own number of rows."""
    return tf.TensorArray(
        tf.float32, steps, infer_shape=False, clear_after_read=False, element_shape=[None, *shape]
    )


def _grow(x: tf.Tensor, rows: tf.Tensor) -> tf.Tensor:
    """`x` with zeros below, to `rows` rows."""
    return tf.pad(x, [[0, rows - tf.shape(x)[0]]] + [[0, 0]] * (x.shape.rank - 1))
