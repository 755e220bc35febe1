import numpy as np
import pytest
import tensorflow as tf
from small_captioners import CAPTIONS, make

from tfrecords_schema.vocabulary import START
from trainer.layers.packing import pack_captions
from trainer.models.attend import Context
from trainer.objectives.cross_entropy import doubly_stochastic_sum
from trainer.optimizer import ClippedAdam


def test_the_gate_of_attend_can_shut_the_image_out():
    model, features = make("attend")
    model._query.bias.assign(tf.concat([model._query.bias[:-1], [-100.0]], 0))
    context = model.encode(features)
    other = Context(context.annotations_BRC * 3.0 + 1.0, context.keys_BRA)
    state = model.start(context)
    token = tf.constant([START] * 3)
    logits, _ = model.step(context, state, token)
    shut, _ = model.step(other, state, token)
    np.testing.assert_allclose(logits, shut, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["attend", "attend cell=gru layers=2", "attend_after"])
def test_what_a_caption_has_seen_adds_up_to_its_words_and_evens_out_when_asked_to(kind):
    model, features = make(kind)
    words = pack_captions(tf.constant(CAPTIONS))
    lengths = np.bincount(words.row_P, minlength=len(words.caption_N))
    seen_NR = model.teacher_force(features * 3, words, None).seen_NR
    np.testing.assert_allclose(tf.reduce_sum(seen_NR, 1), lengths, rtol=1e-5)

    optimizer = ClippedAdam(0.01, 1.0)
    found = []
    for _ in range(40):
        with tf.GradientTape() as tape:
            seen_NR = model.teacher_force(features * 3, words, None).seen_NR
            loss = doubly_stochastic_sum(seen_NR, words.rows_T)
        found.append(float(loss))
        gradients = tape.gradient(loss, model.trainable_variables)
        pairs = zip(gradients, model.trainable_variables, strict=True)
        pairs = [pair for pair in pairs if pair[0] is not None]
        optimizer.apply(*zip(*pairs, strict=True))
    # Four regions, so that an even look at each gives (1 - words / 4)^2 four times.
    even = sum(4 * (1 - length / 4) ** 2 for length in lengths if length)
    assert -1e-4 < found[-1] - even < 0.1 * (found[0] - even)
