"""An exported model as a function from pictures to captions."""

import os
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from tfrecords_schema.errors import InputError
from trainer.decoding.search_config import SearchConfig
from trainer.serving import captioner
from trainer.serving.captioner import load_captioner
from trainer.trained_run import load_run


@pytest.fixture(scope="module")
def export(trained_run, tmp_path_factory):
    output = tmp_path_factory.mktemp("export")
    load_run(trained_run).export(output, SearchConfig(beam_width=2, max_words=8), check=False)
    return output


@pytest.fixture(scope="module")
def paths(pictures):
    images = sorted(Path(pictures, "images").iterdir())
    readable = []
    for path in images:
        try:
            tf.io.decode_image(path.read_bytes())
        except tf.errors.InvalidArgumentError:
            continue
        readable.append(path)
    return readable[:5]


def served(export, contents):
    """What TensorFlow alone gives for the bytes of pictures."""
    serve = tf.saved_model.load(str(export / "1")).signatures["serving_default"]
    outputs = serve(image_bytes=tf.constant(contents))
    return [
        [(text.decode(), score) for text, score in zip(texts, scores, strict=True)]
        for texts, scores in zip(
            outputs["captions"].numpy(), outputs["log_probs"].numpy(), strict=True
        )
    ]


@pytest.mark.slow
def test_paths_uris_and_bytes_get_the_captions_of_the_signature(export, paths):
    caption = load_captioner(export)
    contents = [path.read_bytes() for path in paths]
    expected = served(export, contents)
    uris = [f"file://{path}" for path in paths]
    for pictures in (paths, [str(path) for path in paths], uris, contents, iter(contents)):
        results = caption(pictures)
        assert [len(result.captions) for result in results] == [2] * len(paths)
        for result, rows in zip(results, expected, strict=True):
            assert not result.error
            assert [each.text for each in result.captions] == [text for text, _ in rows]
            np.testing.assert_allclose(
                [each.log_prob for each in result.captions], [score for _, score in rows], rtol=1e-4
            )


def test_one_picture_gives_one_result(export, paths):
    caption = load_captioner(export / "1")
    for picture in (paths[0], str(paths[0]), paths[0].read_bytes()):
        assert caption(picture) == caption([picture])[0]


def test_a_bad_picture_has_an_error_and_the_others_their_captions(export, paths, tmp_path):
    caption = load_captioner(export)
    (tmp_path / "empty.jpg").write_bytes(b"")
    bad = [b"no picture", tmp_path / "empty.jpg", tmp_path / "missing.jpg", tmp_path]
    good = caption(paths[0])
    results = caption([paths[0], *bad, paths[0]])
    assert [bool(result.error) for result in results] == [False, *[True] * len(bad), False]
    assert all(result.captions == [] for result in results[1:-1])
    for result in (results[0], results[-1]):
        assert [each.text for each in result.captions] == [each.text for each in good.captions]
    assert caption([]) == []


def test_pictures_are_taken_a_batch_at_a_time(export, paths, monkeypatch):
    monkeypatch.setattr(captioner, "BATCH", 2)
    taken = []

    def endless():
        while True:
            taken.append(len(taken))
            yield paths[0]

    results = load_captioner(export).stream(endless())
    for _ in range(3):
        assert not next(results).error
    assert len(taken) == 4


def test_values_that_are_no_picture_and_directories_that_are_no_export_are_refused(
    export, tmp_path
):
    with pytest.raises(TypeError, match="a path, a URI or bytes, not int"):
        load_captioner(export)([7])
    with pytest.raises(InputError, match="holds no exported model"):
        load_captioner(tmp_path)
    assert load_captioner(export).metadata["search"]["beam_width"] == 2
    assert os.path.basename(load_captioner(export).directory) == "1"
