import numpy as np
import tensorflow as tf
from test_trainer_models_captioner import make

from tfrecords_schema.vocabulary import START
from trainer.models.attend import Context


def test_the_gate_can_shut_the_image_out():
    model, features = make("attend")
    model._query.bias.assign(tf.concat([model._query.bias[:-1], [-100.0]], 0))
    context = model.encode(features)
    other = Context(context.annotations_BRC * 3.0 + 1.0, context.keys_BRA)
    state = model.start(context)
    token = tf.constant([START] * 3)
    logits, _ = model.step(context, state, token)
    shut, _ = model.step(other, state, token)
    np.testing.assert_allclose(logits, shut, atol=1e-5)
