"""The export in runtimes that are not ours: the oldest TensorFlow promised, and TensorFlow-Java.

`make compat` gets them. Each is asked for good and bad pictures, and answers as this TensorFlow.
"""

import json
import os
import re
import subprocess
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from drawn_runs import FAMILIES, SEARCH, write_run
from PIL import Image

from tfrecords_schema.exported_model import OLDEST_TENSORFLOW
from trainer.config import ModelConfig
from trainer.trained_run import load_run

REPOSITORY = str(Path(__file__).resolve().parents[3])
HERE = os.path.join(REPOSITORY, "tests", "compat")
ENVIRONMENT = os.path.join(REPOSITORY, ".compat", "tensorflow")
JARS = os.path.join(REPOSITORY, ".compat", "java")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not (os.path.exists(f"{ENVIRONMENT}/complete") and os.path.exists(f"{JARS}/complete")),
        reason="`make compat` has not been run",
    ),
]


@pytest.fixture(scope="module")
def files(pictures, tmp_path_factory):
    """Files of each format that is read by default, and files that are refused."""
    directory = tmp_path_factory.mktemp("files")
    images = os.path.join(pictures, "images")
    with Image.open(os.path.join(images, sorted(os.listdir(images))[1])) as image:
        image = image.convert("RGB")
        for name in ("a.jpg", "b.png", "c.gif", "d.bmp", "e.webp"):
            image.save(directory / name)
        image.rotate(90).save(directory / "f.jpg")
    for name in ("a.jpg", "b.png"):
        content = (directory / name).read_bytes()
        (directory / f"half-{name}").write_bytes(content[: len(content) // 2])
    (directory / "text.jpg").write_text("no image")
    (directory / "empty.jpg").write_bytes(b"")
    return sorted(str(path) for path in directory.iterdir())


@pytest.fixture(scope="module", params=["attend", "transformer"])
def exported(request, dataset, tmp_path_factory):
    directory = tmp_path_factory.mktemp("export")
    model = request.param
    run = write_run(
        dataset, directory / "run", model=model, model_config=ModelConfig(**FAMILIES[model])
    )
    return load_run(run).export(str(directory / "export"), SEARCH, check=False)


@pytest.fixture(scope="module")
def expected(exported, files):
    """What this TensorFlow answers, by signature and output, as `compat/serve.py` writes it."""
    contents = [tf.io.read_file(file).numpy() for file in files]
    answers = {}
    for key, function in tf.saved_model.load(exported).signatures.items():
        outputs = function(image_bytes=tf.constant(contents))
        answers[key] = {name: as_list(value.numpy()) for name, value in outputs.items()}
    errors = dict(
        zip(map(os.path.basename, files), answers["serving_default"]["error"], strict=True)
    )
    good = {name for name, error in errors.items() if not error}
    assert good == {"a.jpg", "b.png", "c.gif", "d.bmp", "f.jpg"}
    return answers


def as_list(array):
    if array.dtype == object:
        return np.vectorize(bytes.decode, otypes=[object])(array).tolist()
    return array.tolist()


def assert_same(answers, expected):
    """The words are the same, and the numbers but for rounding."""
    assert answers.keys() == expected.keys()
    for name, value in answers.items():
        if name in ("captions", "error"):
            assert value == expected[name]
        else:
            np.testing.assert_allclose(value, expected[name], rtol=2e-3, atol=2e-3)


def test_the_oldest_tensorflow_serves_an_export_loaded_and_by_messages_of_serving(
    exported, files, expected, tmp_path
):
    answers = tmp_path / "answers.json"
    python = os.path.join(ENVIRONMENT, "bin", "python")
    script = os.path.join(HERE, "serve.py")
    run([python, script, exported, str(answers), *files], tmp_path)
    given = json.loads(answers.read_text())
    assert re.match(rf"{re.escape(OLDEST_TENSORFLOW)}\.", given["tensorflow"])
    for way in ("loaded", "predicted"):
        assert given[way].keys() == expected.keys() == {"serving_default", "encode"}
        for signature, outputs in given[way].items():
            assert_same(outputs, expected[signature])
    # REST: bytes that are no text are for outputs and inputs of such a name alone.
    for outputs in given["predicted"].values():
        for name, values in outputs.items():
            assert len(values) == len(files)  # its rows are those of the request
            if not name.endswith("_bytes"):
                json.dumps(values, ensure_ascii=False, allow_nan=False).encode("utf-8")


def test_the_oldest_saved_model_cli_runs_an_export(exported, files, expected, tmp_path):
    contents = [tf.io.read_file(file).numpy() for file in files]
    np.save(tmp_path / "images.npy", np.array(contents, object))
    command = [os.path.join(ENVIRONMENT, "bin", "saved_model_cli"), "run", f"--dir={exported}"]
    signature = ["--tag_set=serve", "--signature_def=serving_default"]
    run([*command, *signature, "--inputs=image_bytes=images.npy", "--outdir=given"], tmp_path)
    given = {
        name: as_list(np.load(tmp_path / "given" / f"{name}.npy", allow_pickle=True))
        for name in ("captions", "log_probs", "error")
    }
    assert_same(given, expected["serving_default"])


def test_tensorflow_java_runs_an_export(exported, files, expected, tmp_path_factory):
    directory = tmp_path_factory.getbasetemp()  # libraries are unpacked once
    java = ["java", f"-Dorg.bytedeco.javacpp.cachedir={directory}/javacpp", "-cp", f"{JARS}/*"]
    printed = run([*java, os.path.join(HERE, "Captions.java"), exported, *files], directory)
    rows = [line.split("\t") for line in printed.splitlines()]
    captions, log_probs, errors = ([[] for _ in files] for _ in range(3))
    for number, log_prob, caption, error in rows:
        captions[int(number)].append(caption)
        log_probs[int(number)].append(float(log_prob))
        errors[int(number)] = error
    given = {"captions": captions, "log_probs": log_probs, "error": errors}
    assert_same(given, expected["serving_default"])


def run(command, directory):
    """What a command prints, of which the words end up in the failure."""
    done = subprocess.run(command, cwd=directory, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout
