"""The image encoder: its weights, its features, and the SavedModel that carries both."""

import io
import subprocess
import sys

import h5py
import keras
import numpy as np
import pytest
import tensorflow as tf

from pipeline.decode_image import decode_image
from pipeline.drawn_pictures import draw, random_scene
from pipeline.image_encoder import (
    KERAS_FILE,
    NETWORKS,
    RECEIPT_FILE,
    ImageEncoder,
    build_model,
    describe,
    write_image_encoder,
)
from tfrecords_schema.errors import InputError
from tfrecords_schema.manifest import ENCODER_DIRECTORY

pytestmark = pytest.mark.filterwarnings("ignore:Skipping nested container")  # Keras, then raises
DRAWN_SIDE = 96
MAX_PIXELS = DRAWN_SIDE**2


def drawn_jpegs(count):
    rng = np.random.default_rng(0)
    jpegs = []
    for _ in range(count):
        buffer = io.BytesIO()
        draw(random_scene(rng), rng, DRAWN_SIDE).save(buffer, "JPEG")
        jpegs.append(buffer.getvalue())
    return jpegs


JPEGS = drawn_jpegs(5)


def decoded(model):
    """JPEGS as `model` takes them."""
    side = model.input_shape[1]
    return tf.stack([decode_image(tf.constant(jpeg), side, MAX_PIXELS) for jpeg in JPEGS])


@pytest.fixture(scope="module")
def grid():
    return build_model("tiny", "grid", "imagenet", 0)


@pytest.fixture(scope="module")
def pooled():
    return build_model("tiny", "pooled", "imagenet", 0)


@pytest.fixture(scope="module")
def written(grid, tmp_path_factory):
    directory = tmp_path_factory.mktemp("encoder") / "data"
    write_image_encoder(str(directory), grid, "tiny", MAX_PIXELS)
    return directory


@pytest.fixture(scope="module")
def mobilenet():
    return build_model("mobilenet_v2", "grid", "random", seed=1)


def network_of(model):
    [network] = [layer for layer in model.layers if isinstance(layer, keras.Model)]
    return network


def test_tiny_is_the_same_for_everyone(grid):
    keras.utils.set_random_seed(99)
    again = build_model("tiny", "grid", "random", 5)
    assert describe(again, "tiny") == describe(grid, "tiny")
    assert describe(NETWORKS["tiny"].build(), "tiny") == describe(grid, "tiny")


def test_the_fingerprint_tells_weights_and_names_apart(grid):
    before = describe(grid, "tiny")
    assert describe(grid, "small").sha256 != before.sha256
    changed = build_model("tiny", "grid", "random", 0)
    weights = changed.get_weights()
    weights[-1][0] += 1e-6
    changed.set_weights(weights)
    assert describe(changed, "tiny").sha256 != before.sha256


def test_the_description_is_that_of_the_model(grid, pooled):
    for model in (grid, pooled):
        encoder = describe(model, "tiny")
        features = model(decoded(model)[:1])
        assert encoder.name == "tiny"
        assert encoder.image_size == model.input_shape[1] == model.input_shape[2]
        assert encoder.feature_shape == tuple(features.shape[1:])
    assert describe(grid, "tiny").sha256 == describe(pooled, "tiny").sha256


def test_pooled_is_the_mean_of_the_grid(grid, pooled):
    images = decoded(grid)
    means = tf.reduce_mean(grid(images), axis=[1, 2])
    assert pooled(images).shape == means.shape
    np.testing.assert_allclose(pooled(images), means, rtol=1e-5, atol=1e-5)


def test_features_tell_pictures_apart_and_are_finite(grid):
    features = grid(decoded(grid)).numpy()
    assert np.isfinite(features).all()
    for i in range(len(JPEGS) - 1):
        assert np.abs(features[i] - features[i + 1]).max() > 0.1


def test_nothing_in_the_model_is_trained(grid, pooled):
    assert grid.trainable_weights == pooled.trainable_weights == []


def test_nothing_but_the_encoder_is_written(written):
    names = {str(path.relative_to(written)) for path in written.rglob("*") if path.is_file()}
    in_model = {name for name in names if name.startswith(f"{ENCODER_DIRECTORY}/")}
    assert names - in_model == {KERAS_FILE, RECEIPT_FILE}


def test_an_encoder_without_its_receipt_is_written_again(grid, tmp_path):
    described = write_image_encoder(str(tmp_path), grid, "tiny", MAX_PIXELS)
    assert described == describe(grid, "tiny")
    model = tmp_path / ENCODER_DIRECTORY / "saved_model.pb"
    whole = model.read_bytes()
    model.write_bytes(b"half")  # as a directory that an object store was still renaming
    assert write_image_encoder(str(tmp_path), grid, "tiny", MAX_PIXELS) == described
    assert model.read_bytes() == b"half"  # the receipt says that it is whole
    (tmp_path / RECEIPT_FILE).unlink()
    write_image_encoder(str(tmp_path), grid, "tiny", MAX_PIXELS)
    assert len(model.read_bytes()) == len(whole)


def test_the_keras_file_has_the_same_weights(grid, written):
    model = keras.models.load_model(written / KERAS_FILE)
    assert describe(model, "tiny") == describe(grid, "tiny")


def test_a_process_with_tensorflow_alone_gives_the_same_features(grid, written, tmp_path):
    for i, jpeg in enumerate(JPEGS):
        (tmp_path / f"{i}.jpg").write_bytes(jpeg)
    code = (
        "import sys, tensorflow as tf\n"
        "encoder = tf.saved_model.load(sys.argv[1])\n"
        "images = [tf.io.read_file(f'{sys.argv[2]}/{i}.jpg') for i in range(int(sys.argv[3]))]\n"
        "tf.io.write_file(f'{sys.argv[2]}/features', tf.io.serialize_tensor(encoder(images)))\n"
        "print(sorted({'pipeline', 'tfrecords_schema'} & set(sys.modules)))\n"
    )
    output = subprocess.run(
        [sys.executable, "-c", code, written / ENCODER_DIRECTORY, tmp_path, str(len(JPEGS))],
        cwd=tmp_path, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert output.stdout.strip() == "[]"
    features = tf.io.parse_tensor(tf.io.read_file(str(tmp_path / "features")), tf.float32)
    np.testing.assert_allclose(features, grid(decoded(grid)), rtol=1e-4, atol=1e-4)


def test_decoding_and_encoding_apart_is_the_same_as_together(written):
    encoder = tf.saved_model.load(str(written / ENCODER_DIRECTORY))
    together = encoder(tf.constant(JPEGS))
    apart = encoder.encode(tf.stack([encoder.decode_image(tf.constant(jpeg)) for jpeg in JPEGS]))
    np.testing.assert_array_equal(together, apart)


def test_an_image_has_the_same_features_in_any_batch(written):
    encoder = tf.saved_model.load(str(written / ENCODER_DIRECTORY))
    alone = [encoder(tf.constant([jpeg]))[0] for jpeg in JPEGS]
    np.testing.assert_allclose(encoder(tf.constant(JPEGS)), alone, rtol=1e-5, atol=1e-5)


def test_the_saved_model_keeps_the_limit_of_pixels(grid, written):
    encoder = tf.saved_model.load(str(written / ENCODER_DIRECTORY))
    encoder.decode_image(tf.constant(JPEGS[0]))
    with pytest.raises(tf.errors.InvalidArgumentError, match="9216 pixels, allowed are 9215"):
        ImageEncoder(grid, MAX_PIXELS - 1).decode_image(tf.constant(JPEGS[0]))


def test_a_damaged_image_is_refused_by_the_saved_model(written):
    encoder = tf.saved_model.load(str(written / ENCODER_DIRECTORY))
    for image_bytes in (b"", b"text", JPEGS[0][: len(JPEGS[0]) // 2]):
        with pytest.raises(tf.errors.InvalidArgumentError):
            encoder.decode_image(tf.constant(image_bytes))
        with pytest.raises(tf.errors.InvalidArgumentError):
            encoder(tf.constant([JPEGS[0], image_bytes]))


def test_an_encoder_is_replaced_whole(pooled, tmp_path):
    (tmp_path / ENCODER_DIRECTORY).mkdir()
    (tmp_path / ENCODER_DIRECTORY / "old").touch()
    write_image_encoder(str(tmp_path), pooled, "tiny", MAX_PIXELS)
    assert not (tmp_path / ENCODER_DIRECTORY / "old").exists()
    encoder = tf.saved_model.load(str(tmp_path / ENCODER_DIRECTORY))
    np.testing.assert_allclose(
        encoder(tf.constant(JPEGS)), pooled(decoded(pooled)), rtol=1e-4, atol=1e-4
    )


def test_mobilenet_v2_is_the_network_of_the_paper(mobilenet):
    assert mobilenet.count_params() == 2_257_984
    assert mobilenet.input_shape == (None, 224, 224, 3)
    assert mobilenet.output_shape == (None, 7, 7, 1280)


def test_random_weights_depend_on_the_seed_alone(mobilenet):
    keras.utils.set_random_seed(99)
    same, other = (build_model("mobilenet_v2", "grid", "random", seed) for seed in (1, 2))
    assert describe(same, "mobilenet_v2") == describe(mobilenet, "mobilenet_v2")
    assert describe(other, "mobilenet_v2").sha256 != describe(mobilenet, "mobilenet_v2").sha256


@pytest.mark.parametrize("save, name", [("save_weights", "it.weights.h5"), ("save", "it.h5")])
def test_weights_are_loaded_from_a_file(mobilenet, tmp_path, save, name):
    path = str(tmp_path / name)
    getattr(network_of(mobilenet), save)(path)
    loaded = build_model("mobilenet_v2", "pooled", path, seed=3)
    assert describe(loaded, "mobilenet_v2").sha256 == describe(mobilenet, "mobilenet_v2").sha256
    images = decoded(mobilenet)[:2]
    means = tf.reduce_mean(mobilenet(images, training=False), axis=[1, 2])
    np.testing.assert_allclose(loaded(images, training=False), means, rtol=1e-4, atol=1e-4)


def write_weights_of_another_width(path):
    keras.applications.MobileNetV2(
        input_shape=(224, 224, 3), alpha=0.35, include_top=False, weights=None
    ).save_weights(path)


def test_weights_without_one_layer_are_refused(mobilenet, tmp_path):
    path = str(tmp_path / "it.weights.h5")
    network_of(mobilenet).save_weights(path)
    with h5py.File(path, "a") as file:
        del file["layers"]["batch_normalization_3"]
    with pytest.raises(InputError, match="do not fit mobilenet_v2"):
        build_model("mobilenet_v2", "grid", path, 0)


@pytest.mark.parametrize(
    "name, write, message",
    [
        ("missing.weights.h5", lambda path: None, "no such file"),
        ("text.h5", lambda path: path.write_text("no weights"), "do not fit mobilenet_v2"),
        ("text.weights.h5", lambda path: path.write_text("no weights"), "do not fit mobilenet_v2"),
        ("other.weights.h5", write_weights_of_another_width, "do not fit mobilenet_v2"),
    ],
)
def test_weights_that_cannot_be_loaded_are_refused(tmp_path, name, write, message):
    path = tmp_path / name
    write(path)
    with pytest.raises(InputError) as error:
        build_model("mobilenet_v2", "grid", str(path), 0)
    assert str(error.value).startswith(f"--encoder_weights={path}: ")
    assert message in str(error.value)
    assert "\n" not in str(error.value)
