"""The recurrence of `attend` over packed captions, with its gradient written out.

One step from h_{t-1} and memory c_{t-1} (equations in `attend`, cells in `cells`):

    q, b    = h W_q + b_q                         query; b is the gate before its sigmoid
    s_r     = tanh(k_r + q)                       for each region r
    alpha   = softmax_r(v . s_r)
    u       = sum_r alpha_r a_r
    z       = sigmoid(b) u
    h, c    = LSTM or GRU (x + z W_z, h W_h, c)   x: the word's part, computed beforehand

Automatic differentiation of the loop accumulates the gradient of every weight matrix, and of all
annotations, at each step, and spends most of its time reading and writing those sums. This gradient
keeps the activations' gradients of each step. After the loop, one large matrix product computes the
gradient of each weight.

The captions of an image attend to the same annotations, by far the largest tensor that a step
reads. For the weighted sum the rows go back to the order of the batch, so an image is read once
for all its K captions.

Shape suffixes: B images, K captions an image, N = B K rows, n rows running at a step (they fall
with t, as rows are sorted by length, longest first), R regions, C annotation units, A attention
units, H units of the cell, Q = A + 1, S = G + Q, T time, P packed words (sum of n over T),
time-major; G and 4 as in `cells`.
"""

from collections.abc import Callable
from typing import NamedTuple

import tensorflow as tf

from trainer.layers.cells import Cell, sigmoid_gradient
from trainer.layers.packed_rnn import grow, linear, state_before, step_array, words_by_step
from trainer.layers.packing import PackedCaptions


class Weights(NamedTuple):
    """The weights of the recurrence."""

    state_HS: tf.Tensor  # W_h, W_q and the gate's column: every matrix that h is multiplied by
    state_bias_S: tf.Tensor
    score_A: tf.Tensor
    context_CG: tf.Tensor  # W_z


class Step(NamedTuple):
    """The results of one step, kept for the backward pass."""

    h_nH: tf.Tensor
    memory_nH: tf.Tensor
    before_nH: tf.Tensor  # the memory before the step
    z_nC: tf.Tensor
    u_nC: tf.Tensor
    alpha_nR: tf.Tensor
    gate_n1: tf.Tensor
    tanh_nRA: tf.Tensor
    gates_n4: tf.Tensor  # after their nonlinearities


def attention_step(
    cell: Cell,
    look: Callable[[tf.Tensor], tf.Tensor],
    weigh: Callable[[tf.Tensor], tf.Tensor],
    h_nH: tf.Tensor,
    before_nH: tf.Tensor,
    input_nG: tf.Tensor,
    weights: Weights,
) -> Step:
    """One step of n rows. `look` computes k_nRA + q from q_nA, `weigh` u_nC from alpha_nR."""
    attention = weights.score_A.shape[0]
    of_state_nS = linear(h_nH, weights.state_HS, weights.state_bias_S)
    of_state_nG, query_nA, gate_n1 = tf.split(of_state_nS, [-1, attention, 1], axis=1)
    tanh_nRA = tf.tanh(look(query_nA))
    scores = tf.matmul(tf.reshape(tanh_nRA, [-1, attention]), weights.score_A[:, None])
    alpha_nR = tf.nn.softmax(tf.reshape(scores, [-1, tanh_nRA.shape[1]]))
    u_nC = weigh(alpha_nR)
    gate_n1 = tf.sigmoid(gate_n1)
    z_nC = gate_n1 * u_nC
    of_input_nG = input_nG + tf.matmul(z_nC, weights.context_CG)
    h_nH, memory_nH, gates_n4 = cell.forward(of_input_nG, of_state_nG, before_nH)
    return Step(h_nH, memory_nH, before_nH, z_nC, u_nC, alpha_nR, gate_n1, tanh_nRA, gates_n4)


def attention_rnn(
    cell: Cell,
    annotations_BRC: tf.Tensor,
    keys_NRA: tf.Tensor,
    h_NH: tf.Tensor,
    memory_NH: tf.Tensor,
    input_PG: tf.Tensor,
    words: PackedCaptions,
    weights: Weights,
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Runs the recurrence over all words of all captions.

    Args:
      cell: the cell of the recurrence.
      annotations_BRC: the annotations of each image.
      keys_NRA: the keys of each row's image.
      h_NH: the output before the first word.
      memory_NH: the LSTM's cell state before the first word; a GRU's equals h_NH.
      input_PG: the words' part of the gates.
      words: the packed captions.
      weights: float32.

    Returns:
      h_PH and z_PC of every word, and seen_NR, the sum of alpha over each row's words; float32.
    """
    recurrence = tf.custom_gradient(lambda *tensors: _recurrence(cell, *tensors))
    return recurrence(
        annotations_BRC, keys_NRA, h_NH, memory_NH, input_PG,
        words.caption_N, words.rows_T, words.row_P, words.time_P, *weights,
    )  # fmt: skip


def _recurrence(
    cell: Cell,
    annotations_BRC: tf.Tensor,
    keys_NRA: tf.Tensor,
    h_NH: tf.Tensor,
    memory_NH: tf.Tensor,
    input_PG: tf.Tensor,
    caption_N: tf.Tensor,
    rows_T: tf.Tensor,
    row_P: tf.Tensor,
    time_P: tf.Tensor,
    *weights: tf.Tensor,
) -> tuple[tuple[tf.Tensor, tf.Tensor, tf.Tensor], Callable]:
    """The result of `attention_rnn`, and its gradient function."""
    w = Weights(*weights)
    steps = tf.shape(rows_T)[0]
    units, depth = h_NH.shape[1], annotations_BRC.shape[2]
    regions, attention = keys_NRA.shape[1], keys_NRA.shape[2]
    images = tf.shape(annotations_BRC)[0]
    words_at = words_by_step(rows_T)

    def forward(t, h, c, kept):
        n = rows_T[t]

        def look(query_nA):
            return keys_NRA[:n] + query_nA[:, None]

        def weigh(alpha_nR):
            alpha_BKR = _by_image(alpha_nR, caption_N, images)
            return _by_row(tf.matmul(alpha_BKR, annotations_BRC), caption_N[:n])

        step = attention_step(cell, look, weigh, h[:n], c[:n], words_at(t, input_PG), w)
        kept = Step(*(array.write(t, x) for array, x in zip(kept, step, strict=True)))
        return t + 1, step.h_nH, step.memory_nH, kept

    kept = Step(
        h_nH=step_array(steps, units),
        memory_nH=step_array(steps, units),
        before_nH=step_array(steps, units),
        z_nC=step_array(steps, depth),
        u_nC=step_array(steps, depth),
        alpha_nR=step_array(steps, regions),
        gate_n1=step_array(steps, 1),
        tanh_nRA=step_array(steps, regions, attention),
        gates_n4=step_array(steps, 4 * units),
    )
    row = [tf.TensorShape([None, h_NH.shape[1]])] * 2
    *_, kept = tf.while_loop(
        lambda t, *_: t < steps,
        forward,
        (0, h_NH, memory_NH, kept),
        shape_invariants=(tf.TensorShape([]), *row, Step(*[None] * len(kept))),
        maximum_iterations=steps,
    )
    h_PH, z_PC = kept.h_nH.concat(), kept.z_nC.concat()
    seen_NR = tf.math.unsorted_segment_sum(kept.alpha_nR.concat(), row_P, tf.shape(h_NH)[0])

    def gradient(
        dh_PH: tf.Tensor, dz_PC: tf.Tensor, dseen_NR: tf.Tensor
    ) -> tuple[tf.Tensor | None, ...]:
        return _gradient(
            cell, annotations_BRC, keys_NRA, h_NH, caption_N, rows_T, row_P, time_P, w,
            kept, h_PH, z_PC, dh_PH, dz_PC, dseen_NR,
        )  # fmt: skip

    return (h_PH, z_PC, seen_NR), gradient


def _gradient(
    cell, annotations_BRC, keys_NRA, h_NH, caption_N, rows_T, row_P, time_P, w,
    kept, h_PH, z_PC, dh_PH, dz_PC, dseen_NR,
):  # fmt: skip
    steps, rows = tf.shape(rows_T)[0], tf.shape(h_NH)[0]
    units, depth = h_NH.shape[1], annotations_BRC.shape[2]
    regions, attention = keys_NRA.shape[1], keys_NRA.shape[2]
    images = tf.shape(annotations_BRC)[0]
    captions = rows // images
    words_at = words_by_step(rows_T)
    # Transposed once: a product with a transposed matrix takes twice the time at each step.
    state_SH, context_GC = tf.transpose(w.state_HS), tf.transpose(w.context_CG)

    def backward(t, dh, dc, dkeys, dscore_A, gates, queries, du, alpha):
        # dh, dc and dkeys have the rows of step t + 1. Rows that end at t start from zero.
        n = rows_T[t]
        dgates_n4, dc_n = cell.gradient(
            grow(dh, n) + words_at(t, dh_PH), grow(dc, n), kept.gates_n4.read(t),
            kept.before_nH.read(t), kept.memory_nH.read(t),
        )  # fmt: skip
        dz_nC = tf.matmul(cell.of_input(dgates_n4), context_GC) + words_at(t, dz_PC)
        gate_n1, alpha_nR = kept.gate_n1.read(t), kept.alpha_nR.read(t)
        du_nC = gate_n1 * dz_nC
        dgate_n1 = tf.reduce_sum(kept.u_nC.read(t) * dz_nC, 1, keepdims=True)
        du_BKC = _by_image(du_nC, caption_N, images)
        dalpha_BKR = tf.matmul(du_BKC, annotations_BRC, transpose_b=True)
        dalpha_nR = _by_row(dalpha_BKR, caption_N[:n]) + dseen_NR[:n]
        weighted_nR = alpha_nR * dalpha_nR
        dscores_nR = weighted_nR - alpha_nR * tf.reduce_sum(weighted_nR, 1, keepdims=True)
        tanh_nRA = kept.tanh_nRA.read(t)
        # Matrix products take half the time of broadcasting here.
        dscores_1X = tf.reshape(dscores_nR, [1, -1])
        dscore_A += tf.matmul(dscores_1X, tf.reshape(tanh_nRA, [-1, attention]))[0]
        dtanh_XA = tf.matmul(dscores_1X, w.score_A[None], transpose_a=True)
        dpre_nRA = tf.raw_ops.TanhGrad(y=tanh_nRA, dy=tf.reshape(dtanh_XA, tf.shape(tanh_nRA)))
        dquery_nQ = tf.concat(
            [tf.reduce_sum(dpre_nRA, 1), sigmoid_gradient(gate_n1, dgate_n1)], axis=1
        )
        dh_n = tf.matmul(tf.concat([cell.of_state(dgates_n4), dquery_nQ], 1), state_SH)
        m = tf.shape(dkeys)[0]
        dkeys = tf.cond(
            m == n,
            lambda: dkeys + dpre_nRA,  # most steps: no concatenation
            lambda: tf.concat([dkeys + dpre_nRA[:m], dpre_nRA[m:]], 0),
        )
        return (
            t - 1, dh_n, dc_n, dkeys, dscore_A, gates.write(t, dgates_n4),
            queries.write(t, dquery_nQ), du.write(t, tf.reshape(du_BKC, [-1, depth])),
            alpha.write(t, tf.reshape(_by_image(alpha_nR, caption_N, images), [-1, regions])),
        )  # fmt: skip

    _, dh_NH, dmemory_NH, dkeys_NRA, dscore_A, gates, queries, du, alpha = tf.while_loop(
        lambda t, *_: t >= 0,
        backward,
        (
            steps - 1, h_NH[:0], h_NH[:0], keys_NRA[:0], tf.zeros_like(w.score_A),
            step_array(steps, 4 * units), step_array(steps, attention + 1),
            step_array(steps, depth), step_array(steps, regions),
        ),
        shape_invariants=(
            tf.TensorShape([]), *[tf.TensorShape([None, units])] * 2,
            tf.TensorShape([None, regions, attention]), w.score_A.shape, *[None] * 4,
        ),
        maximum_iterations=steps,
    )  # fmt: skip
    dgates_P4, dquery_PQ = gates.concat(), queries.concat()
    dof_input_PG, dof_state_PG = cell.of_input(dgates_P4), cell.of_state(dgates_P4)
    before_PH = state_before(h_PH, h_NH, rows_T, row_P, time_P)
    of_state = (dof_state_PG, dquery_PQ)
    # The annotations' gradient: for each image, the sum over its words of alpha times du.
    alpha_TBKR = tf.reshape(alpha.concat(), [steps, images, captions, regions])
    du_TBKC = tf.reshape(du.concat(), [steps, images, captions, depth])
    return (
        tf.einsum("tbkr,tbkc->brc", alpha_TBKR, du_TBKC),
        grow(dkeys_NRA, rows),
        grow(dh_NH, rows),
        grow(dmemory_NH, rows),
        dof_input_PG,
        *[None] * 4,
        tf.concat([tf.matmul(before_PH, each, transpose_a=True) for each in of_state], 1),
        tf.concat([tf.reduce_sum(each, 0) for each in of_state], 0),
        dscore_A,
        tf.matmul(z_PC, dof_input_PG, transpose_a=True),
    )


def _by_image(x_nX: tf.Tensor, caption_N: tf.Tensor, images: tf.Tensor) -> tf.Tensor:
    """x_BKX in the order of the batch, with zeros for rows that do not run."""
    rows, running, depth = tf.shape(caption_N)[0], tf.shape(x_nX)[0], x_nX.shape[1]
    x_NX = tf.scatter_nd(caption_N[:running, None], x_nX, [rows, depth])
    return tf.reshape(x_NX, [images, rows // images, depth])


def _by_row(x_BKX: tf.Tensor, caption_n: tf.Tensor) -> tf.Tensor:
    """The inverse of `_by_image`: x_nX of the running rows."""
    return tf.gather(tf.reshape(x_BKX, [-1, x_BKX.shape[2]]), caption_n)
