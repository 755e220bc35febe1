"""One device against several: the same global batch gives the same training."""

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf
from small_configs import SMALL

import trainer.objectives.cross_entropy
import trainer.objectives.self_critical
from trainer.config import TrainConfig
from trainer.models.attend import Attend
from trainer.models.make_model import MODELS
from trainer.objectives.cider_reward import CiderReward
from trainer.objectives.cross_entropy import make_cross_entropy_step
from trainer.objectives.self_critical import make_self_critical_step
from trainer.optimizer import ClippedAdam, Update, make_optimizer
from trainer.step import make_train_step

BATCH, STEPS = 8, 50
# With dropout at every place.
SIZES = dataclasses.replace(SMALL, layers=2, heads=2, annotation_units=32, recurrent_dropout=0.1)
REFERENCES = CiderReward([[[5, 6, 7, 3], [5, 7, 3]], [[8, 9, 3]], [[5, 6, 3]]])


def global_batches(steps):
    """Images with captions of unequal number and length, so that replicas get unequal words."""
    rng = np.random.default_rng(3)
    for _ in range(steps):
        captions = np.zeros([BATCH, 3, 9], np.int32)
        for image in range(BATCH - 1):  # the last image is padding
            for k in range(rng.integers(1, 4)):
                words = rng.integers(4, 20, rng.integers(1, 8))
                captions[image, k, : len(words) + 2] = [2, *words, 3]
        features = rng.standard_normal([BATCH, 2, 2, 6]).astype(np.float16)
        yield {"image_features": features, "caption_ids": captions}


def losses(replicas, name="attend", steps=STEPS, is_trimmed=False, **changes):
    """Of each step, and in the end a norm of the averaged weights.

    `is_trimmed`: each replica's captions are as long and as many as its own images need.
    """
    devices = [f"/cpu:{i}" for i in range(replicas)]
    # The default reduction keeps one group of devices a process; a test needs several.
    strategy = (
        tf.distribute.MirroredStrategy(devices, tf.distribute.ReductionToOneDevice())
        if replicas > 1
        else tf.distribute.OneDeviceStrategy(devices[0])
    )
    config = TrainConfig(data="-", run="-", initial_run="-", learning_rate=0.003, **changes)
    keras.utils.set_random_seed(5)
    with strategy.scope():
        model, average = (
            MODELS[name](SIZES, vocabulary_size=20, feature_depth=6) for _ in range(2)
        )
        optimizer = make_optimizer(config)
        optimizer.build(model.trainable_variables)
    updates = [Update(optimizer, model.trainable_variables)]
    if config.objective == "self_critical":
        replica_step = make_self_critical_step(model, updates, config, REFERENCES)
    else:
        replica_step = make_cross_entropy_step(model, updates, config)
    step = make_train_step(replica_step, model, average, optimizer, strategy, 0.9)
    size, found = BATCH // replicas, []
    for batch in global_batches(steps):

        def own(context, batch=batch):
            first = context.replica_id_in_sync_group * size
            part = {name: x[first : first + size] for name, x in batch.items()}
            if is_trimmed:
                used = np.argwhere(part["caption_ids"]).max(axis=0) + 1
                part["caption_ids"] = part["caption_ids"][:, : used[1], : used[2]]
            return {name: tf.constant(x) for name, x in part.items()}

        scalars = step(strategy.experimental_distribute_values_from_function(own), tf.constant(0.3))
        assert int(scalars["images"]) == BATCH - 1
        found.append(float(scalars["loss"]))
    return [*found, float(tf.norm(average.trainable_variables[0]))]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["attend", "merge", "transformer"])
def test_losses_do_not_depend_on_the_number_of_replicas(name):
    one = losses(1, name)
    assert one[STEPS - 1] < one[0]
    for replicas in (2, 4) if name == "attend" else (2,):
        np.testing.assert_allclose(losses(replicas, name), one, rtol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize(
    "changes",
    [
        {"clip_norm": 0.05},
        {"scheduled_sampling": 0.5, "word_dropout": 0.3, "doubly_stochastic": 1.0},
        {"objective": "self_critical"},
        {"objective": "self_critical", "baseline": "greedy", "jit_compile": True},
    ],
    ids=["clipped", "words changed, all regions seen", "self-critical", "compiled"],
)
def test_losses_of_other_training_steps_do_not_depend_on_the_number_of_replicas(changes):
    one = losses(1, steps=10, **changes)
    assert len(set(one)) == 11
    np.testing.assert_allclose(losses(2, steps=10, **changes), one, rtol=1e-5)


@pytest.mark.slow
def test_losses_do_not_depend_on_replicas_that_pad_captions_to_their_own_length():
    one, two = (losses(replicas, "merge", steps=8, is_trimmed=True) for replicas in (1, 2))
    np.testing.assert_allclose(two, one, rtol=1e-5)


@pytest.mark.slow
def test_options_to_hide_words_and_to_see_regions_change_a_step():
    plain = losses(1, steps=2)
    assert losses(1, steps=2, word_dropout=0.5) != plain
    assert losses(1, steps=2, doubly_stochastic=0.1)[0] > plain[0]


@pytest.mark.parametrize("objective", ["cross_entropy", "self_critical"])
def test_a_step_is_made_on_augmented_images(objective, monkeypatch):
    plain = losses(1, "merge", steps=1, objective=objective)
    for module in (trainer.objectives.cross_entropy, trainer.objectives.self_critical):
        monkeypatch.setattr(module, "augment", lambda pixels, config, seed: 3 * pixels)
    assert losses(1, "merge", steps=1, objective=objective)[0] != plain[0]


def test_a_scaled_loss_gives_the_same_training():
    plain, scaled = (losses(2, "merge", steps=5, precision=p) for p in ("float32", "float16"))
    np.testing.assert_allclose(scaled, plain, rtol=1e-6)


def test_a_gradient_that_overflows_changes_nothing_but_the_scale():
    variable = keras.Variable(np.ones(2, np.float32))
    optimizer = make_optimizer(TrainConfig(data="-", run="-", precision="float16"))
    optimizer.build([variable])
    scale = float(optimizer.scale_loss(1.0))
    optimizer.apply([tf.constant([1.0, np.inf])])
    np.testing.assert_array_equal(variable, [1, 1])
    assert float(optimizer.scale_loss(1.0)) == scale / 2
    assert int(optimizer.iterations) == 0
    optimizer.apply([tf.constant([1.0, 0.0]) * scale / 2])
    assert float(variable[0]) < 1 and float(variable[1]) == 1


def test_an_update_of_clipped_adam_is_that_of_keras():
    rng = np.random.default_rng(4)
    table, matrix = (rng.standard_normal((5, 3)).astype(np.float32) for _ in range(2))
    ids = rng.integers(0, 5, (20, 4))
    ends = []
    for optimizer in (ClippedAdam(0.01, 1e9), keras.optimizers.Adam(0.01)):
        variables = [keras.Variable(table), keras.Variable(matrix)]
        for step in range(20):
            optimizer.learning_rate = 0.01 / (step + 1)
            with tf.GradientTape() as tape:
                rows = tf.gather(variables[0].value, ids[step])
                loss = tf.reduce_sum(tf.sin(rows @ tf.transpose(variables[1].value)))
            gradients = tape.gradient(loss, variables)
            if not isinstance(optimizer, ClippedAdam):  # Keras squares repeated rows one by one
                gradients = [tf.convert_to_tensor(gradient) for gradient in gradients]
            optimizer.apply(gradients, variables)
        ends.append(np.concatenate([np.array(variable) for variable in variables]))
    np.testing.assert_allclose(ends[0], ends[1], rtol=1e-5, atol=1e-6)
    assert np.abs(ends[0] - np.concatenate([table, matrix])).max() > 0.01


def test_clipping_bounds_the_step():
    free, clipped = losses(1, steps=3), losses(1, steps=3, clip_norm=1e-6)
    assert clipped[0] == free[0]
    assert clipped[1:] != free[1:]


def test_gradients_whose_norm_is_not_finite_are_not_taken_for_short_ones():
    variables = [keras.Variable(np.ones(3, np.float32)) for _ in range(2)]
    optimizer = ClippedAdam(0.1, 5.0)
    optimizer.build(variables)
    gradients = [tf.fill([3], 1e30), tf.zeros([3])]  # each finite, the sum of squares is not
    tf.function(lambda: optimizer.apply(gradients, variables), autograph=False)()
    assert np.isnan([variable.numpy() for variable in variables]).all()


def test_the_moving_average_follows_the_weights():
    model, average = (Attend(SIZES, vocabulary_size=20, feature_depth=6) for _ in range(2))
    optimizer = ClippedAdam(0.01, 5.0)
    optimizer.build(model.trainable_variables)
    config = TrainConfig(data="-", run="-", average_decay=0.5)
    updates = [Update(optimizer, model.trainable_variables)]
    replica_step = make_cross_entropy_step(model, updates, config)
    step = make_train_step(
        replica_step, model, average, optimizer,
        tf.distribute.get_strategy(), 0.5,
    )  # fmt: skip
    expected = average.trainable_variables[-1].numpy()
    for i, batch in enumerate(global_batches(10), 1):
        step({name: tf.constant(x) for name, x in batch.items()}, tf.constant(0.0))
        decay = min(0.5, (1 + i) / (10 + i))
        expected = decay * expected + (1 - decay) * model.trainable_variables[-1].numpy()
        np.testing.assert_allclose(average.trainable_variables[-1], expected, atol=1e-6)
