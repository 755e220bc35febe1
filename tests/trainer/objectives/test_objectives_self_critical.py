import numpy as np
import pytest
import tensorflow as tf
from small_captioners import CAPTIONS, make
from small_configs import train_config

from tfrecords_schema.errors import InputError
from tfrecords_schema.vocabulary import END, PAD, START, UNK
from trainer.config import TrainConfig
from trainer.decoding.beam_search import search_captions
from trainer.decoding.sampling import sample_captions
from trainer.decoding.search_config import SearchConfig
from trainer.loop import train
from trainer.objectives.cider_reward import CiderReward
from trainer.objectives.self_critical import make_self_critical_step, mean_of_others
from trainer.optimizer import ClippedAdam, Update
from trainer.replicas.stateless_random import replica_seed
from trainer.runs.run_log import read_metrics
from trainer.step import make_train_step
from trainer.trained_run import load_run

REWARD = CiderReward(
    [[[*ids[1:][ids[1:] > 0]] for ids in image if ids.any()] for image in CAPTIONS]
)


@pytest.mark.parametrize("kind", ["attend", "transformer", "inject inject=init cell=gru layers=2"])
def test_drawn_captions_follow_the_models_distribution(kind):
    model, features = make(kind)
    model.words.bias.assign(tf.random.stateless_normal([12], [5, 6]))
    seed = replica_seed(1, 2, tf.constant(CAPTIONS[:1]))
    ids = sample_captions(model, features[:1], 4000, SearchConfig(max_words=2), seed).numpy()[0]
    assert ids.shape == (4000, 3)
    context = model.encode(features[:1])
    logits, state = model.step(context, model.start(context), tf.constant([START]))
    probabilities = np.exp(logits[0])
    probabilities[[PAD, UNK, START]] = 0
    probabilities /= probabilities.sum()
    np.testing.assert_allclose(
        np.bincount(ids[:, 0], minlength=12) / 4000, probabilities, atol=0.03
    )
    word = int(probabilities[4:].argmax()) + 4
    logits, _ = model.step(context, state, tf.constant([word]))
    probabilities = np.exp(logits[0])
    probabilities[[PAD, UNK, START]] = 0
    second = ids[ids[:, 0] == word, 1]
    expected = probabilities / probabilities.sum()
    np.testing.assert_allclose(np.bincount(second, minlength=12) / len(second), expected, atol=0.08)
    ended = np.cumsum(ids == END, axis=-1) - (ids == END) > 0
    assert (ids[ended] == PAD).all() and (ids[~ended] >= END).all()


def self_critical_step(model, average, **changes):
    config = TrainConfig(
        data="-",
        run="-",
        objective="self_critical",
        initial_run="-",
        samples=8,
        max_words=20,
        **changes,
    )
    optimizer = ClippedAdam(0.01, 5.0)
    optimizer.build(model.trainable_variables)
    strategy = tf.distribute.get_strategy()
    step = make_self_critical_step(
        model, [Update(optimizer, model.trainable_variables)], config, REWARD
    )
    return make_train_step(step, model, average, optimizer, strategy, 0.9)


@pytest.mark.slow
@pytest.mark.parametrize(
    "kind, baseline", [("merge", "greedy"), ("merge", "samples"), ("transformer", "samples")]
)
def test_self_critical_training_finds_captions_of_high_reward(kind, baseline):
    model, features = make(kind)
    average, _ = make(kind)
    step = self_critical_step(model, average, baseline=baseline)
    batch = {"image_features": features, "caption_ids": tf.constant(CAPTIONS)}
    rows = [step(batch, tf.constant(0.0)) for _ in range(150)]
    rewards = [-float(row["loss"]) for row in rows]
    assert float(rows[0]["images"]) == 3
    assert np.mean(rewards[-10:]) > 3 * np.mean(rewards[:10])
    assert np.mean(rewards[-10:]) > 2
    assert float(rows[-1]["entropy"]) < float(rows[0]["entropy"])
    if baseline == "samples":
        return
    greedy = search_captions(model, features, SearchConfig(1, 30, 0.0)).ids_BWT.numpy()
    expected = REWARD(np.pad(greedy, [[0, 0], [0, 0], [0, 1]]), CAPTIONS[:, :, 1:]).mean()
    again = step(batch, tf.constant(0.0))
    assert float(again["greedy_reward"]) == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("is_compiled", [False, True])
def test_xla_draws_captions_where_it_is_asked_to(is_compiled):
    model, features = make("merge")
    step = self_critical_step(model, model, baseline="greedy", jit_compile=is_compiled)
    batch = {"image_features": features, "caption_ids": tf.constant(CAPTIONS)}
    graph = step.get_concrete_function(batch, tf.constant(0.0)).graph.as_graph_def()
    by_xla = [f for f in graph.library.function if "_XlaMustCompile" in f.attr]
    assert len(by_xla) == 2 * is_compiled  # drawn captions, and the greedy ones


def test_the_baseline_of_a_caption_is_the_mean_of_the_other_captions():
    found = mean_of_others(tf.constant([[1.0, 2.0, 6.0], [0.0, 3.0, 0.0]]))
    np.testing.assert_allclose(found, [[4.0, 3.5, 1.5], [1.5, 0.0, 1.5]])


def test_padding_of_a_batch_does_not_change_the_self_critical_loss():
    rows = []
    for padding in (0, 2):
        model, features = make("merge")
        average, _ = make("merge")
        batch = {
            "image_features": tf.pad(features, [[0, padding], [0, 0], [0, 0]]),
            "caption_ids": tf.constant(np.pad(CAPTIONS, [[0, padding], [0, 1], [0, 0]])),
        }
        step = self_critical_step(model, average, baseline="greedy")
        rows.append(step(batch, tf.constant(0.0)))
    assert rows[0].keys() == rows[1].keys()
    assert float(rows[1]["images"]) == 3
    assert float(rows[0]["greedy_reward"]) == pytest.approx(float(rows[1]["greedy_reward"]))


def test_a_second_stage_starts_from_the_best_weights_of_the_first(trained_run, dataset, tmp_path):
    config = train_config(
        dataset, tmp_path / "second", objective="self_critical", initial_run=trained_run,
        epochs=2, samples=2, learning_rate=1e-9,
    )  # fmt: skip
    train(config)
    rows = read_metrics(config.run)
    assert any({"loss", "words", "entropy"} <= row.keys() for row in rows)
    pairs = zip(
        load_run(config.run).model.weights, load_run(trained_run).model.weights, strict=True
    )
    for mine, first in pairs:
        np.testing.assert_allclose(mine, first, atol=1e-5)


def test_a_first_stage_that_cannot_serve_is_named(trained_run, dataset, tmp_path):
    with pytest.raises(InputError, match="--objective=self_critical needs --initial_run"):
        train_config(dataset, tmp_path / "run", objective="self_critical")
    with pytest.raises(InputError, match="--samples=1 needs --baseline=greedy"):
        train_config(
            dataset, tmp_path / "run", objective="self_critical", initial_run="first", samples=1
        )
    with pytest.raises(InputError, match=r"--initial_run: .*nowhere has no config.json"):
        train(train_config(dataset, tmp_path / "run", initial_run=str(tmp_path / "nowhere")))
    with pytest.raises(InputError, match=r"--initial_run: .* has a model of other weights"):
        train(
            train_config(
                dataset,
                tmp_path / "other",
                initial_run=trained_run,
                model="merge",
                model_config=type(train_config(dataset, "x").model_config)(),
            )
        )
