"""The image encoder: its weights, its features, and the SavedModel that carries both."""

import io
import json
import os
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from small_configs import pipeline_config

from pipeline.drawn_pictures import draw, random_scene
from pipeline.encoder.encoder_model import build_model
from pipeline.encoder.image_encoder import (
    ENCODER_KERAS_FILE,
    RECEIPT_FILE,
    ImageEncoder,
    describe,
    write_image_encoder,
)
from pipeline.images.decode_image import Decoding, decode_image
from tfrecords_schema.manifest import ENCODER_DIRECTORY

DRAWN_SIDE = 96
MAX_PIXELS = DRAWN_SIDE**2
SIDE = 64  # of tiny's images


def drawn_jpegs(count):
    rng = np.random.default_rng(0)
    jpegs = []
    for _ in range(count):
        buffer = io.BytesIO()
        draw(random_scene(rng), rng, DRAWN_SIDE).save(buffer, "JPEG")
        jpegs.append(buffer.getvalue())
    return jpegs


JPEGS = drawn_jpegs(5)
TRUNCATED = JPEGS[0][: len(JPEGS[0]) // 2]


def settings(directory="data", **changes):
    return pipeline_config("pictures", directory, **{"max_pixels": MAX_PIXELS, **changes})


def describe_with(model, **changes):
    return describe(model, settings(**changes).content())


def decoded(model):
    """JPEGS as `model` takes them."""
    decoding = Decoding(model.input_shape[1], MAX_PIXELS)
    return tf.stack([decode_image(tf.constant(jpeg), decoding) for jpeg in JPEGS])


def wide_jpeg():
    """Twice as wide as high, of one color."""
    buffer = io.BytesIO()
    Image.new("RGB", (96, 48), (200, 100, 50)).save(buffer, "JPEG", quality=95)
    return buffer.getvalue()


def load(directory):
    return tf.saved_model.load(str(directory / ENCODER_DIRECTORY))


@pytest.fixture(scope="module")
def grid():
    return build_model(settings())


@pytest.fixture(scope="module")
def pooled():
    return build_model(settings(features="pooled"))


@pytest.fixture(scope="module")
def written(grid, tmp_path_factory):
    directory = tmp_path_factory.mktemp("encoder") / "data"
    write_image_encoder(grid, settings(directory))
    return directory


@pytest.fixture(scope="module")
def loaded(written):
    return load(written)


@pytest.fixture(scope="module")
def changed(grid, tmp_path_factory):
    """An encoder that was told otherwise in all that it does."""
    directory = tmp_path_factory.mktemp("changed")
    changes = dict(resize="pad", precision="bfloat16", allow_truncated=True)
    write_image_encoder(grid, settings(directory, **changes))
    return load(directory)


@pytest.fixture(scope="module")
def of_images(grid):
    return ImageEncoder(grid, settings(features="image", jpeg_quality=90))


def test_the_fingerprint_is_the_same_for_the_same_encoder(grid):
    assert describe_with(build_model(settings())) == describe_with(grid)
    # What decides about the dataset but not about features.
    assert describe_with(grid, min_count=7, images_per_shard=3) == describe_with(grid)


@pytest.mark.parametrize(
    "changes",
    [
        dict(encoder_layer="conv4"),  # the same layer, but asked for
        dict(features="pooled"),
        dict(features="image"),
        dict(resize="pad"),
        dict(max_pixels=MAX_PIXELS - 1),
        dict(allow_truncated=True),
        dict(precision="bfloat16"),
    ],
)
def test_the_fingerprint_of_features_changes_with_all_that_makes_them(grid, changes):
    assert describe_with(grid, **changes).sha256 != describe_with(grid).sha256


@pytest.mark.parametrize(
    "changes", [dict(resize="crop"), dict(jpeg_quality=94), dict(allow_truncated=True)]
)
def test_the_fingerprint_of_images_changes_with_all_that_makes_them(grid, changes):
    before = describe_with(grid, features="image")
    assert describe_with(grid, features="image", **changes).sha256 != before.sha256


def test_the_fingerprint_leaves_out_what_has_no_part_in_it(grid):
    assert describe_with(grid, jpeg_quality=50) == describe_with(grid)
    images = describe_with(grid, features="image")
    assert describe_with(grid, features="image", precision="bfloat16") == images


def test_the_fingerprint_changes_with_name_size_and_weights(grid):
    before = describe_with(grid)
    renamed = keras.Model(grid.input, grid.output, name="small")
    assert describe_with(renamed).sha256 != before.sha256
    assert describe_with(build_model(settings(image_size=SIDE + 8))).sha256 != before.sha256
    changed = build_model(settings())
    weights = changed.get_weights()
    weights[-1][0] += 1e-6
    changed.set_weights(weights)
    assert describe_with(changed).sha256 != before.sha256


def test_the_description_is_that_of_the_model(grid, pooled):
    for model, features in ((grid, "grid"), (pooled, "pooled")):
        encoder = describe_with(model, features=features)
        assert encoder.name == "tiny"
        assert encoder.image_size == model.input_shape[1] == model.input_shape[2]
        assert encoder.feature_shape == tuple(model(decoded(model)[:1]).shape[1:])
    assert describe_with(grid, features="image").feature_shape == (SIDE, SIDE, 3)


def test_features_tell_pictures_apart_and_are_finite(loaded):
    features = loaded(tf.constant(JPEGS)).numpy()
    assert np.isfinite(features).all()
    for i in range(len(JPEGS) - 1):
        assert np.abs(features[i] - features[i + 1]).max() > 0.1


def test_nothing_but_the_encoder_is_written(written):
    names = {str(path.relative_to(written)) for path in written.rglob("*") if path.is_file()}
    in_model = {name for name in names if name.startswith(f"{ENCODER_DIRECTORY}/")}
    assert names - in_model == {ENCODER_KERAS_FILE, RECEIPT_FILE}


def test_missing_files_of_an_encoder_are_written_again(grid, tmp_path):
    described = write_image_encoder(grid, settings(tmp_path))
    assert described == describe_with(grid)
    model = tmp_path / ENCODER_DIRECTORY / "saved_model.pb"
    model.write_bytes(b"half")  # as a directory that an object store was still renaming
    assert write_image_encoder(grid, settings(tmp_path)) == described
    assert model.read_bytes() == b"half"  # the receipt says that it is whole
    (tmp_path / RECEIPT_FILE).unlink()
    write_image_encoder(grid, settings(tmp_path))
    assert load(tmp_path)(tf.constant(JPEGS)).shape == (len(JPEGS), *described.feature_shape)
    for name in (ENCODER_DIRECTORY, ENCODER_KERAS_FILE):
        os.rename(tmp_path / name, tmp_path / f"{name} elsewhere")
        assert write_image_encoder(grid, settings(tmp_path)) == described
        assert (tmp_path / name).exists(), name


def test_an_encoder_of_another_fingerprint_is_written_anew_and_whole(grid, tmp_path):
    write_image_encoder(grid, settings(tmp_path))
    model = tmp_path / ENCODER_DIRECTORY / "saved_model.pb"
    before = model.stat().st_mtime_ns
    write_image_encoder(grid, settings(tmp_path, min_count=9))  # not of the encoder
    assert model.stat().st_mtime_ns == before
    (tmp_path / ENCODER_DIRECTORY / "old").touch()
    other = write_image_encoder(grid, settings(tmp_path, max_pixels=MAX_PIXELS - 1))
    assert json.loads((tmp_path / RECEIPT_FILE).read_text())["sha256"] == other.sha256
    assert not (tmp_path / ENCODER_DIRECTORY / "old").exists()
    encoder = load(tmp_path)
    with pytest.raises(tf.errors.InvalidArgumentError, match="9216 pixels, allowed are 9215"):
        encoder.decode_image(tf.constant(JPEGS[0]))
    small = tf.io.encode_jpeg(tf.zeros([95, 96, 3], tf.uint8))
    assert encoder.decode_image(small).shape == (SIDE, SIDE, 3)


def test_pooled_features_are_those_of_the_model(pooled, tmp_path):
    write_image_encoder(pooled, settings(tmp_path, features="pooled"))
    features = load(tmp_path)(tf.constant(JPEGS))
    np.testing.assert_allclose(features, pooled(decoded(pooled)), rtol=1e-4, atol=1e-4)


def test_a_users_model_that_computes_something_else_with_the_same_weights_is_written_anew(tmp_path):
    path = tmp_path / "own.keras"
    features = []
    for scale in (1.0, 1 / 255):
        image = keras.Input((SIDE, SIDE, 3))
        ones = keras.layers.Conv2D(2, 3, kernel_initializer="ones")
        keras.Model(image, ones(keras.layers.Rescaling(scale)(image))).save(path)
        config = settings(tmp_path / "data", encoder=str(path))
        write_image_encoder(build_model(config), config)
        features.append(load(tmp_path / "data")(tf.constant(JPEGS)).numpy())
    np.testing.assert_allclose(features[0] / 255, features[1], rtol=1e-3)


def test_the_keras_file_is_that_of_the_same_encoder(grid, written, loaded):
    model = keras.models.load_model(written / ENCODER_KERAS_FILE)
    assert describe_with(model) == describe_with(grid)
    features = loaded(tf.constant(JPEGS))
    np.testing.assert_allclose(model(decoded(model)), features, rtol=1e-4, atol=1e-4)


def test_the_manifest_describes_the_encoder_as_the_configuration_does(grid):
    content = json.loads(json.dumps(settings().content()))
    assert describe(grid, content) == describe_with(grid)


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


def test_decoding_and_encoding_apart_is_the_same_as_together(loaded):
    together = loaded(tf.constant(JPEGS))
    apart = loaded.encode(loaded.decode_images(tf.constant(JPEGS)))
    np.testing.assert_array_equal(together, apart)


def test_images_are_decoded_in_a_batch_as_one_by_one(grid, loaded):
    batch = loaded.decode_images(tf.constant(JPEGS))
    one_by_one = tf.stack([loaded.decode_image(tf.constant(jpeg)) for jpeg in JPEGS])
    assert batch.shape == (len(JPEGS), SIDE, SIDE, 3)
    np.testing.assert_array_equal(batch, one_by_one)
    np.testing.assert_array_equal(batch, decoded(grid))
    assert loaded.decode_images(tf.constant([], tf.string)).shape == (0, SIDE, SIDE, 3)


def test_an_image_has_the_same_features_in_any_batch(loaded):
    alone = [loaded(tf.constant([jpeg]))[0] for jpeg in JPEGS]
    np.testing.assert_allclose(loaded(tf.constant(JPEGS)), alone, rtol=1e-5, atol=1e-5)


def test_a_damaged_image_is_refused_by_the_saved_model(loaded):
    for image_bytes in (b"", b"text", TRUNCATED):
        with pytest.raises(tf.errors.InvalidArgumentError):
            loaded.decode_image(tf.constant(image_bytes))
        with pytest.raises(tf.errors.InvalidArgumentError):
            loaded(tf.constant([JPEGS[0], image_bytes]))


def test_a_truncated_jpeg_is_taken_by_a_saved_model_that_allows_it(changed):
    whole = changed.decode_image(tf.constant(JPEGS[0])).numpy()
    part = changed.decode_image(tf.constant(JPEGS[0][: -len(JPEGS[0]) // 8])).numpy()
    np.testing.assert_allclose(part[:8], whole[:8], atol=1e-3)
    assert np.abs(part[-4:] - whole[-4:]).max() > 10
    assert changed(tf.constant([TRUNCATED])).shape == (1, 8, 8, 128)


@pytest.mark.parametrize("resize, black_rows", [("stretch", 0), ("pad", SIDE // 2), ("crop", 0)])
def test_the_encoder_resizes_as_it_was_told(resize, black_rows, grid, loaded, changed):
    saved = {"stretch": loaded, "pad": changed}
    encoder = saved.get(resize) or ImageEncoder(grid, settings(resize=resize))
    image = encoder.decode_image(tf.constant(wide_jpeg())).numpy()
    assert (image.max((1, 2)) == 0).sum() == black_rows
    np.testing.assert_allclose(image[SIDE // 2, SIDE // 2], [200, 100, 50], atol=4)
    expected = decode_image(tf.constant(wide_jpeg()), Decoding(SIDE, MAX_PIXELS, resize))
    np.testing.assert_array_equal(image, expected)
    pixels = np.zeros((48, 96, 3), np.uint8)
    pixels[:, 24:72] = 255  # of which a crop has nothing but white
    mean = np.mean(encoder.decode_image(tf.io.encode_png(pixels)))
    assert mean > 0.95 * 255 if resize == "crop" else mean < 0.6 * 255


def test_the_saved_model_computes_in_the_precision_it_was_told(grid, changed):
    images = decoded(grid)
    features, exact = changed.encode(images), grid(images).numpy()
    assert features.dtype == tf.float32
    error = np.abs(features - exact).max() / exact.max()
    assert 1e-4 < error < 0.05


def test_images_are_jpegs_of_the_decoded_pixels(grid, of_images):
    encoded = of_images(tf.constant(JPEGS))
    assert encoded.dtype == tf.string and encoded.shape == (len(JPEGS),)
    for jpeg, pixels in zip(encoded.numpy(), decoded(grid).numpy(), strict=True):
        image = Image.open(io.BytesIO(jpeg))
        assert (image.format, image.size, image.mode) == ("JPEG", (SIDE, SIDE), "RGB")
        error = np.asarray(image, np.float32) - pixels
        assert np.abs(error).mean() < 6  # levels of 255
        assert abs(error.mean()) < 1
        again = of_images.decode_image(tf.constant(jpeg))
        np.testing.assert_allclose(again, np.asarray(image), atol=3)


def test_images_have_the_quality_asked_for(grid):
    encoded = {}
    for quality in (30, 95):
        encoder = ImageEncoder(grid, settings(features="image", jpeg_quality=quality))
        [encoded[quality]] = encoder(tf.constant(JPEGS[:1])).numpy()
        by_pillow = io.BytesIO()
        Image.new("RGB", (8, 8)).save(by_pillow, "JPEG", quality=quality)
        tables = Image.open(by_pillow).quantization
        assert Image.open(io.BytesIO(encoded[quality])).quantization == tables
    assert len(encoded[30]) < len(encoded[95])


def test_a_saved_model_of_images_gives_the_same_jpegs(grid, of_images, tmp_path):
    config = settings(tmp_path, features="image", jpeg_quality=90)
    described = write_image_encoder(grid, config)
    assert described.feature_shape == (SIDE, SIDE, 3)
    expected = of_images(tf.constant(JPEGS)).numpy().tolist()
    assert load(tmp_path)(tf.constant(JPEGS)).numpy().tolist() == expected
    # The trainer trains the network that comes with them.
    network = keras.models.load_model(tmp_path / ENCODER_KERAS_FILE)
    assert network.output_shape == (None, 8, 8, 128)
