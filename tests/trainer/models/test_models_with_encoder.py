"""Training the CNN: a dataset of images, from shards to the served model."""

import os

import keras
import numpy as np
import pytest
import tensorflow as tf
from commands import complaint
from run_ends import assert_same_end
from small_configs import SMALL, pipeline_config, train_config

from pipeline.run import write_dataset
from tfrecords_schema.dataset import Dataset, open_dataset
from tfrecords_schema.errors import InputError
from trainer import loop
from trainer.command import main
from trainer.config import TrainConfig
from trainer.decoding.caption_split import SplitCaptioner
from trainer.decoding.search_config import SearchConfig
from trainer.loop import train
from trainer.models.make_model import MODELS, read_encoder
from trainer.models.with_encoder import WithEncoder
from trainer.objectives.cider_reward import CiderReward
from trainer.objectives.cross_entropy import make_cross_entropy_step
from trainer.objectives.self_critical import make_self_critical_step
from trainer.optimizer import Update, make_optimizer
from trainer.run_state import Run
from trainer.scores.validation import Validated
from trainer.trained_run import load_run


@pytest.fixture(scope="module")
def network_file(tmp_path_factory):
    """A small CNN with batch normalization, in a network within a network."""
    keras.utils.set_random_seed(3)
    image = keras.Input((32, 32, 3))
    x = keras.layers.Conv2D(8, 3, 2, activation="relu")(image / 127.5 - 1)
    inner = keras.Sequential(
        [keras.layers.Conv2D(8, 3, 2), keras.layers.BatchNormalization(), keras.layers.ReLU()]
    )
    path = tmp_path_factory.mktemp("network") / "small.keras"
    keras.Model(image, inner(x)).save(path)
    return str(path)


@pytest.fixture(scope="module")
def images(pictures, network_file, tmp_path_factory):
    """A dataset of images."""
    directory = str(tmp_path_factory.mktemp("images") / "data")
    config = pipeline_config(pictures, directory, features="image", encoder=network_file)
    write_dataset(config)
    return directory


def config_of(images, run, **changes):
    return train_config(images, run, encoder_learning_rate=1e-3, **changes)


def encoder_of(run):
    model = load_run(run).model
    assert isinstance(model, WithEncoder)
    return {weight.path: np.array(weight) for weight in model.encoder.weights}


def changed(weights, others):
    return {path for path in weights if np.abs(weights[path] - others[path]).max() > 0}


@pytest.mark.slow
def test_the_cnn_is_held_still_and_then_released_but_for_its_batch_normalization(
    images, tmp_path, monkeypatch
):
    before = {
        weight.path: np.array(weight) for weight in read_encoder(open_dataset(images)).weights
    }
    scores = iter([1.0, 2.0, 3.0])  # the last epoch is the best
    monkeypatch.setattr(loop.Validation, "__call__", lambda self: Validated(next(scores), 1.0, 9))
    train(config_of(images, tmp_path / "held"))
    assert changed(before, encoder_of(str(tmp_path / "held"))) == set()
    scores = iter([1.0, 2.0, 3.0])
    train(config_of(images, tmp_path / "released", unfreeze_at=1, flip=True))
    moved = changed(before, encoder_of(str(tmp_path / "released")))
    assert moved == {path for path in before if "conv" in path}
    assert len(moved) == 4


def trained_on(model, learning, features, **changes):
    """The scalars of two steps, and how often the CNN was asked in one."""
    config = TrainConfig(
        data="-",
        run="-",
        initial_run="-",
        **{"samples": 3, **changes} if "objective" in changes else changes,
    )
    asked = []
    plain = WithEncoder.regions
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(WithEncoder, "regions", lambda *args: asked.append(1) or plain(*args))
        updates = [Update(make_optimizer(config), part.trainable_variables) for part in learning]
        for optimizer, variables in updates:
            optimizer.build(variables)
        if config.objective == "self_critical":
            step = make_self_critical_step(model, updates, config, CiderReward([[[5, 6, 3]]]))
        else:
            step = make_cross_entropy_step(model, updates, config)
        run = tf.function(step.run, autograph=False)
        captions = tf.constant([[[2, 5, 6, 3]], [[2, 6, 3, 0]]])
        batch = {"image_features": features, "caption_ids": captions}
        found = [run(batch, tf.constant(0.5)) for _ in range(2)]
    return [{name: float(x) for name, x in scalars.items()} for scalars in found], len(asked)


@pytest.mark.slow
@pytest.mark.parametrize(
    "changes",
    [{"scheduled_sampling": 0.5}, {"objective": "self_critical", "baseline": "greedy"}],
    ids=["scheduled sampling", "self-critical"],
)
def test_a_cnn_that_is_held_still_sees_the_images_of_a_step_once(images, changes):
    pixels = tf.constant(np.random.default_rng(1).integers(0, 256, [2, 32, 32, 3], np.uint8))
    whole, alone = (
        WithEncoder(read_encoder(open_dataset(images)), MODELS["attend_after"](SMALL, 12, 8))
        for _ in range(2)
    )
    for variable, other in zip(alone.weights, whole.weights, strict=True):
        variable.assign(other)
    scalars, asked = trained_on(whole, [whole.captioner], pixels, **changes)
    assert asked == 1
    features = alone.regions(tf.cast(pixels, tf.float32))
    assert trained_on(alone.captioner, [alone.captioner], features, **changes) == (scalars, 0)
    assert scalars[0] != scalars[1]
    assert trained_on(whole, [whole.captioner, whole.encoder], pixels, **changes)[1] > 1


@pytest.mark.slow
def test_a_run_that_is_continued_after_the_release_ends_the_same(images, tmp_path, monkeypatch):
    config = config_of(images, tmp_path / "whole", unfreeze_at=0)
    train(config)
    again = config_of(images, tmp_path / "stopped", unfreeze_at=0, checkpoint_every=5)
    save = Run.save

    class Killed(BaseException):
        pass

    def save_and_die(run):
        save(run)
        if run.steps in (5, 15):
            raise Killed

    monkeypatch.setattr(Run, "save", save_and_die)
    for _ in range(2):
        with pytest.raises(Killed):
            train(again)
    train(again)
    assert_same_end(config.run, again.run)


@pytest.mark.slow
def test_the_export_captions_as_the_run_does(images, pictures, tmp_path):
    run, search = str(tmp_path / "run"), SearchConfig(1, 12, 0.0)
    train(config_of(images, run, unfreeze_at=0, epochs=3, learning_rate=0.01))
    path = load_run(run).export(str(tmp_path / "export"), search)
    trained = load_run(run)
    caption = SplitCaptioner(trained.model, trained.dataset, "test", search)
    served = tf.saved_model.load(path).signatures["serving_default"]
    scores = set()
    for name, words in caption().captions.items():
        with open(os.path.join(pictures, "images", name), "rb") as file:
            result = served(image_bytes=tf.constant([file.read()]))
        assert result["captions"][0, 0].numpy().decode() == words
        scores.add(float(result["log_probs"][0, 0]))
    assert len(scores) > 1  # it looks at the image, though so little training says the same of all


def test_flags_of_images_are_refused_for_features(dataset, tmp_path, capsys):
    for flag, value in (("--unfreeze_at=0", ""), ("--flip", "=True"), ("--crop=0.2", "")):
        error = complaint(main, capsys, "train", f"--data={dataset}", f"--run={tmp_path}", flag)
        assert f"{flag}{value} is for a dataset of images, written with --features=image" in error


@pytest.mark.slow
def test_a_run_on_features_is_where_a_model_of_images_starts(
    images, pictures, network_file, trained_run, tmp_path
):
    features = str(tmp_path / "features")
    write_dataset(pipeline_config(pictures, features, encoder=network_file))
    first = str(tmp_path / "first")
    train(train_config(features, first, epochs=1))
    config = config_of(images, tmp_path / "second", initial_run=first, epochs=1, learning_rate=1e-9)
    train(config)
    captioner = load_run(config.run).model.captioner
    for mine, theirs in zip(captioner.weights, load_run(first).model.weights, strict=True):
        np.testing.assert_allclose(mine, theirs, atol=1e-5)
    other = config_of(images, tmp_path / "other", initial_run=trained_run)
    with pytest.raises(
        InputError, match="another dataset than --data: encoder was 'tiny' and is '"
    ):
        train(other)


def test_a_dataset_without_its_cnn_is_named(images, tmp_path):
    opened = open_dataset(images)
    assert opened.manifest.has_images()
    elsewhere = Dataset(str(tmp_path), opened.manifest, opened.vocabulary)
    with pytest.raises(InputError, match=r"image_encoder\.keras is missing"):
        read_encoder(elsewhere)
