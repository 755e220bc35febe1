"""The served graph: what it says of bad pictures, and that they cost nobody else anything."""

import io
import os

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from tensorflow.core.protobuf import saved_model_pb2

from tfrecords_schema.manifest import read_manifest
from trainer.decoding.search_config import SearchConfig
from trainer.export.caption_server import encode_pictures, map_or_else
from trainer.trained_run import load_run

SEARCH = SearchConfig(beam_width=3, max_words=15, length_penalty=0.0)


def encode(format, side=40):
    pixels = np.random.default_rng(0).integers(0, 256, (side, side, 3), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format)
    return buffer.getvalue()


@pytest.fixture(scope="module")
def good(pictures):
    """Contents of pictures of several formats."""
    names = sorted(os.listdir(os.path.join(pictures, "images")))[:8]
    contents = []
    for name, format in zip(names, ["JPEG", "PNG", "GIF", "BMP"] * 2, strict=True):
        try:
            image = Image.open(os.path.join(pictures, "images", name)).convert("RGB")
        except OSError:
            continue  # drawn damaged
        buffer = io.BytesIO()
        image.save(buffer, format)
        contents.append(buffer.getvalue())
    return contents


BAD = {
    b"": "the file is empty",
    b"no image": "not an image",
    encode("JPEG")[:900]: "truncated JPEG: it has no end",
    encode("PNG")[:900]: "truncated PNG: it has no end",
    encode("WEBP"): "WebP is not read, JPEG, PNG, GIF or BMP is",
    encode("TIFF"): "TIFF is not read: convert it to JPEG or PNG",
    b"\xff\xd8\xff\xe0" + bytes(20): "damaged: it cannot be decoded",
}


@pytest.fixture(scope="module")
def exported(trained_run, tmp_path_factory):
    output = str(tmp_path_factory.mktemp("export") / "model")
    return load_run(trained_run).export(output, SEARCH, check=False)


@pytest.fixture(scope="module")
def signatures(exported):
    return tf.saved_model.load(exported).signatures


def test_one_bad_picture_costs_one_picture(signatures, good):
    serve = signatures["serving_default"]
    mixed = list(good)
    for place, content in enumerate(BAD):
        mixed.insert(2 * place, content)
    result = {name: value.numpy() for name, value in serve(image_bytes=tf.constant(mixed)).items()}
    is_bad = np.array([content in BAD for content in mixed])
    assert [text.decode() for text in result["error"][is_bad]] == list(BAD.values())
    assert (result["captions"][is_bad] == b"").all()
    assert (result["log_probs"][is_bad] == 0).all()
    expected = serve(image_bytes=tf.constant(good))
    assert (result["error"][~is_bad] == b"").all()
    np.testing.assert_array_equal(result["captions"][~is_bad], expected["captions"])
    np.testing.assert_allclose(result["log_probs"][~is_bad], expected["log_probs"], rtol=1e-4)
    assert np.isfinite(expected["log_probs"]).all()


def test_the_encode_signature_gives_an_error_for_each_bad_picture(signatures, good):
    contents = [good[0], b"no image", good[1]]
    result = signatures["encode"](image_bytes=tf.constant(contents))
    assert result["error"].numpy().tolist() == [b"", b"not an image", b""]
    expected = signatures["encode"](image_bytes=tf.constant([good[0], good[1]]))["features"]
    np.testing.assert_allclose(result["features"].numpy()[[0, 2]], expected, rtol=1e-4, atol=1e-5)


def test_signatures_give_empty_results_for_a_batch_of_no_pictures(signatures, good):
    for name in ("serving_default", "encode"):
        shapes = {
            count: {
                output: value.shape.as_list()
                for output, value in signatures[name](
                    image_bytes=tf.constant(good[:count], tf.string)
                ).items()
            }
            for count in (0, 1)
        }
        assert shapes[0] == {output: [0, *shape[1:]] for output, shape in shapes[1].items()}


def operations(version):
    with open(os.path.join(version, "saved_model.pb"), "rb") as file:
        graph = saved_model_pb2.SavedModel.FromString(file.read()).meta_graphs[0].graph_def
    nodes = [*graph.node, *(node for each in graph.library.function for node in each.node_def)]
    return {node.op for node in nodes}


def test_formats_decide_what_is_in_the_graph(exported, trained_run, tmp_path, good):
    assert {"DecodeJpeg", "DecodePng", "DecodeGif", "DecodeBmp"} <= operations(exported)
    assert "DecodeWebP" not in operations(exported)
    output = str(tmp_path / "export")
    path = load_run(trained_run).export(output, SEARCH, formats=("PNG", "WebP"), check=False)
    assert {"DecodePng", "DecodeWebP"} <= operations(path)
    assert not {"DecodeGif", "DecodeBmp"} & operations(path)
    serve = tf.saved_model.load(path).signatures["serving_default"]
    result = serve(image_bytes=tf.constant([encode("WEBP"), encode("PNG"), good[0]]))
    assert result["error"].numpy().tolist() == [b"", b"", b"JPEG is not read, PNG or WebP is"]


def test_elements_whose_operation_raises_get_the_value_that_stands_in():
    def root(x):
        number = tf.strings.to_number(x)  # fails of what is no number
        with tf.control_dependencies([tf.debugging.Assert(number >= 0, ["negative"])]):
            return tf.stack([tf.sqrt(number), number])

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string)], autograph=False)
    def roots(x):
        return map_or_else(root, x, tf.constant([-1.0, -2.0]))

    for texts, expected in (
        (["4", "four", "9", "-1"], [[2, 4], [-1, -2], [3, 9], [-1, -2]]),
        (["x", "y"], [[-1, -2]] * 2),
        ([], np.zeros([0, 2])),
    ):
        values, is_good = roots(tf.constant(texts, tf.string))
        np.testing.assert_array_equal(values, expected)
        assert is_good.numpy().tolist() == [text in ("4", "9") for text in texts]


def test_features_that_are_not_finite_are_an_error(dataset, good):
    whole = tf.saved_model.load(os.path.join(dataset, "image_encoder"))

    class Overflowing:
        """The dataset's encoder, but that features of the first picture are too large."""

        decoders, format_number, image_fault = (
            whole.decoders, whole.format_number, whole.image_fault,
        )  # fmt: skip

        @staticmethod
        def encode(images):
            features = whole.encode(images)
            is_first = tf.range(tf.shape(images)[0]) == 0
            return tf.where(tf.reshape(is_first, [-1, 1, 1, 1]), 1e6, features)

    read = tf.function(
        lambda x: encode_pictures(Overflowing, read_manifest(dataset), ["JPEG", "PNG"], x),
        [tf.TensorSpec([None], tf.string)], autograph=False,
    )  # fmt: skip
    features, errors = read(tf.constant([good[0], good[1], b"no image"]))
    assert errors.numpy().tolist() == [
        b"its features are not finite in float16", b"", b"not an image",
    ]  # fmt: skip
    assert not features[0].numpy().any() and features[1].numpy().any()
