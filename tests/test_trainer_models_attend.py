import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from tfrecords_schema.vocabulary import END, START
from trainer.config import ModelConfig, TrainConfig
from trainer.decode import search_captions
from trainer.models.attend import Attend, Context
from trainer.objective import cross_entropy_sum
from trainer.step import ClippedAdam, make_train_step

CONFIG = ModelConfig(
    embedding_units=16, lstm_units=32, attention_units=12, annotation_units=20,
    annotation_dropout=0, embedding_dropout=0, output_dropout=0,
)  # fmt: skip
CAPTIONS = np.array(
    [
        [[START, 5, 6, 7, END, 0], [START, 5, END, 0, 0, 0]],
        [[START, 8, 9, END, 0, 0], [START, 8, 9, 10, 11, END]],
        [[START, 11, END, 0, 0, 0], [0, 0, 0, 0, 0, 0]],
    ],
    np.int32,
)


def make(config=CONFIG, regions=4, depth=6):
    tf.random.set_seed(1)
    model = Attend(config, vocabulary_size=12, feature_depth=depth)
    features = tf.random.stateless_normal([3, regions, depth], [1, 2])
    return model, features


def test_teacher_forcing_predicts_what_stepping_word_by_word_predicts():
    model, features = make()
    packed = model.teacher_force(features, tf.constant(CAPTIONS), None)
    forced = sorted(
        (int(label), *np.round(logits, 4))
        for label, logits in zip(packed.labels_P.numpy(), packed.logits_PV.numpy(), strict=True)
    )
    stepped = []
    for image in range(3):
        context = Context(*(part[image : image + 1] for part in model.encode(features)))
        for ids in CAPTIONS[image]:
            state = model.start(context)
            for word, label in zip(ids[:-1], ids[1:], strict=True):
                if label == 0:
                    break
                logits, state = model.step(context, state, tf.constant([word]))
                stepped.append((int(label), *np.round(logits[0].numpy(), 4)))
    np.testing.assert_allclose(forced, sorted(stepped), atol=1e-3)
    assert len(forced) == np.count_nonzero(CAPTIONS[:, :, 1:])


def test_padding_changes_nothing():
    model, features = make()
    packed = model.teacher_force(features, tf.constant(CAPTIONS), None)
    padded = np.pad(CAPTIONS, [[0, 2], [0, 3], [0, 4]])
    more_features = tf.concat([features, tf.ones([2, 4, 6])], 0)
    again = model.teacher_force(more_features, tf.constant(padded), None)
    loss, loss_again = cross_entropy_sum(*packed), cross_entropy_sum(*again)
    np.testing.assert_allclose(loss, loss_again, rtol=1e-5)
    assert len(packed.labels_P) == len(again.labels_P)


def test_a_batch_without_captions_has_no_loss_and_no_gradient():
    model, features = make()

    @tf.function  # as in training: a replica's slice of a last batch can be all padding
    def run(captions):
        with tf.GradientTape() as tape:
            loss = cross_entropy_sum(*model.teacher_force(features, captions, None))
        return loss, tape.gradient(loss, model.trainable_variables)

    loss, gradients = run(tf.zeros_like(CAPTIONS))
    assert float(loss) == 0
    assert all(np.all(tf.convert_to_tensor(g) == 0) for g in gradients if g is not None)


@pytest.mark.parametrize("regions", [4, 1], ids=["grid", "pooled"])
def test_it_overfits_one_batch_and_then_writes_its_captions(regions):
    model, features = make(regions=regions)
    captions = CAPTIONS[:, :1]  # one an image, so that there is one right answer
    optimizer = ClippedAdam(0.02, 5.0)
    optimizer.build(model.trainable_variables)
    average, _ = make(regions=regions)
    config = TrainConfig(data="-", run="-", label_smoothing=0)
    step = make_train_step(model, average, optimizer, tf.distribute.get_strategy(), config)
    batch = {"image_features": features, "caption_ids": tf.constant(captions)}
    losses = [float(step(batch)[0]) for _ in range(150)]
    assert losses[0] == pytest.approx(np.log(12), abs=0.3)
    assert losses[-1] < 0.01
    ids = search_captions(model, features, width=1, max_words=6).ids_BWT[:, 0].numpy()
    for got, want in zip(ids, captions[:, 0, 1:], strict=True):
        assert got[: len(want)].tolist() == want.tolist()


def test_the_gate_can_shut_the_image_out():
    model, features = make()
    model._query.bias.assign(tf.concat([model._query.bias[:-1], [-100.0]], 0))
    context = model.encode(features)
    other = Context(context.annotations_BRC * 3.0 + 1.0, context.keys_BRA)
    state = model.start(context)
    token = tf.constant([START] * 3)
    logits, _ = model.step(context, state, token)
    shut, _ = model.step(other, state, token)
    np.testing.assert_allclose(logits, shut, atol=1e-5)


def test_dropout_depends_on_the_seed_alone():
    dropped = dataclasses.replace(CONFIG, output_dropout=0.5)
    model, features = make(dropped)

    def logits(seed):
        return model.teacher_force(features, tf.constant(CAPTIONS), tf.constant(seed)).logits_PV

    np.testing.assert_array_equal(logits([1, 0]), logits([1, 0]))
    assert np.abs(logits([1, 0]) - logits([2, 0])).max() > 1e-3
