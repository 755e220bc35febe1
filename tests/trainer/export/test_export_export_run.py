"""The export, loaded where there is only TensorFlow."""

import dataclasses
import json
import os
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
from small_configs import train_config

import trainer.decoding.beam_search
import trainer.scores.validation
from tfrecords_schema.errors import InputError
from tfrecords_schema.manifest import read_manifest
from tfrecords_schema.parse import parse_record
from trainer.config import ModelConfig
from trainer.decoding.search_config import SearchConfig
from trainer.loop import train
from trainer.runs.run_log import read_metrics
from trainer.scores.evaluate import evaluation_text
from trainer.scores.metrics import score_cider
from trainer.scores.validation import Validation
from trainer.serving.caption_files import caption_files
from trainer.trained_run import load_run

SEARCH = SearchConfig(beam_width=3, max_words=15, length_penalty=0.0)

# Runs without beamcap, Keras objects or the working directory on its path.
SERVER = """
import json, sys
import tensorflow as tf
loaded = tf.saved_model.load(sys.argv[1])
image_bytes = tf.constant([open(path, "rb").read() for path in sys.argv[3:]])
served = loaded.signatures["serving_default"](image_bytes=image_bytes)
encoded = loaded.signatures["encode"](image_bytes=image_bytes)
assert not {"pipeline", "trainer", "tfrecords_schema", "apache_beam"} & sys.modules.keys()
json.dump({
    "captions": [[text.decode() for text in row] for row in served["captions"].numpy()],
    "log_probs": served["log_probs"].numpy().tolist(),
    "features": encoded["features"].numpy().tolist(),
}, open(sys.argv[2], "w"))
"""


@pytest.fixture(scope="module")
def exported(trained_run, tmp_path_factory):
    return load_run(trained_run).export(str(tmp_path_factory.mktemp("export") / "model"), SEARCH)


@pytest.fixture(scope="module")
def evaluated(trained_run):
    scores = load_run(trained_run).evaluate("test", SEARCH).scores
    with open(os.path.join(trained_run, "captions-test.json")) as file:
        return scores, {row["image_id"]: row["caption"] for row in json.load(file)}


@pytest.mark.slow
def test_xla_gives_the_same_scores(trained_run, evaluated, monkeypatch):
    asked = []
    compiled = trainer.decoding.beam_search.compiled
    monkeypatch.setattr(
        trainer.decoding.beam_search,
        "compiled",
        lambda write, flag: asked.append(flag) or compiled(write, flag),
    )
    trained, search = load_run(trained_run), dataclasses.replace(SEARCH, jit_compile=True)
    assert trained.evaluate("test", search).scores == evaluated[0]
    config = dataclasses.replace(trained.config, jit_compile=True)
    score = Validation(config, trained.dataset, trained.model)().cider
    scores = [row.get("validation_cider", 0) for row in read_metrics(trained_run)]
    assert score == pytest.approx(max(scores), abs=0.01)
    assert asked == [True, True]


def test_validation_scores_at_most_as_many_images_as_asked_for(trained_run, dataset, monkeypatch):
    scored = []
    monkeypatch.setattr(
        trainer.scores.validation,
        "score_cider",
        lambda *both: scored.append(both) or score_cider(*both),
    )
    trained = load_run(trained_run)
    for count, expected in ((4, 4), (5000, trained.dataset.manifest.images("validation"))):
        config = dataclasses.replace(trained.config, validation_images=count)
        Validation(config, trained.dataset, trained.model)()
        references, captions = scored.pop()
        assert len(captions) == expected
        assert references.captions.keys() == captions.keys()


def records(dataset, split):
    manifest = read_manifest(dataset)
    for shard in manifest.splits[split]:
        for serialized in tf.data.TFRecordDataset(os.path.join(dataset, shard.file)):
            yield parse_record(manifest.features(), serialized)


@pytest.mark.slow
def test_a_process_with_only_tensorflow_serves_captions_and_the_datasets_features(
    exported, evaluated, dataset, pictures, tmp_path
):
    test_records = list(records(dataset, "test"))
    names = [record["image_id"].numpy().decode() for record in test_records]
    paths = [os.path.join(pictures, "images", name) for name in names]
    result = tmp_path / "served.json"
    subprocess.run(
        [sys.executable, "-c", SERVER, exported, str(result), *paths], check=True, cwd=tmp_path
    )
    served = json.loads(result.read_text())
    _, captions = evaluated
    assert {name: row[0] for name, row in zip(names, served["captions"], strict=True)} == captions
    assert all(len(row) == len(set(row)) == 3 for row in served["captions"])
    assert (np.diff(served["log_probs"], axis=1) <= 0).all()
    features = np.array(served["features"], np.float32)
    stored = np.stack([record["image_features"].numpy() for record in test_records])
    # Equal but for the rounding to float16, the dtype of the dataset.
    np.testing.assert_allclose(features, stored.astype(np.float32), rtol=2**-10, atol=1e-4)
    assert np.abs(features).max() > 0.1


def test_scores_and_captions_of_a_split_are_written(evaluated, trained_run, dataset):
    scores, captions = evaluated
    with open(os.path.join(trained_run, "scores-test.json")) as file:
        written = json.load(file)
    assert written["scores"] == scores
    assert written["images"] == len(captions) == read_manifest(dataset).images("test")
    assert {"BLEU-1", "BLEU-4", "ROUGE-L", "CIDEr"} <= scores.keys()
    assert not any("<" in text for text in captions.values())


def test_scores_without_java_say_so_and_leave_meteor_out(trained_run, monkeypatch, tmp_path):
    run = tmp_path / "run"
    run.mkdir()
    for name in ("config.json", "best"):
        os.symlink(os.path.join(trained_run, name), run / name)
    monkeypatch.setenv("PATH", str(tmp_path))
    evaluation = load_run(run).evaluate("test", SEARCH)
    assert evaluation.scores.keys() == {"BLEU-1", "BLEU-2", "BLEU-3", "BLEU-4", "ROUGE-L", "CIDEr"}
    assert "Java was not found" in evaluation_text(evaluation)
    assert json.loads((run / "scores-test.json").read_text())["tokenizer"] == "treebank"


def test_versions_count_up_and_carry_fingerprints(trained_run, dataset, tmp_path):
    output = str(tmp_path / "export")
    os.makedirs(os.path.join(output, "7"))
    path = load_run(trained_run).export(output, SEARCH, check=False)
    assert path == os.path.join(output, "8")
    with open(os.path.join(path, "assets.extra", "beamcap.json")) as file:
        metadata = json.load(file)
    assert metadata["search"] == dataclasses.asdict(SEARCH)
    assert metadata.items() >= read_manifest(dataset).fingerprints().items()
    assert sorted(os.listdir(output)) == ["7", "8"]


def test_files_are_captioned_and_a_bad_one_costs_only_itself(
    exported, evaluated, pictures, tmp_path, capsys
):
    names = sorted(evaluated[1])[:3]
    good = [os.path.join(pictures, "images", name) for name in names]
    bad = tmp_path / "bad.jpg"
    bad.write_bytes(b"not an image")
    missing = str(tmp_path / "missing.jpg")
    assert not caption_files(exported, [good[0], str(bad), good[1], missing, good[2]])
    printed = capsys.readouterr()
    assert printed.out.splitlines() == [
        f"{path}\t{evaluated[1][name]}" for path, name in zip(good, names, strict=True)
    ]
    errors = printed.err.splitlines()
    assert len(errors) == 2 and str(bad) in errors[0] and missing in errors[1]


def test_a_directory_that_is_no_run_or_export_is_named(trained_run, tmp_path):
    with pytest.raises(InputError, match="holds no exported model"):
        caption_files(str(tmp_path), ["x.jpg"])
    with pytest.raises(InputError, match="is no beamcap run"):
        load_run(str(tmp_path)).export(str(tmp_path / "export"), SEARCH)
    with pytest.raises(InputError, match="has no such split, it has: train, validation, test"):
        load_run(trained_run).evaluate("holdout", SEARCH)
    with pytest.raises(InputError, match="does not exist"):
        load_run(trained_run, tmp_path / "nowhere")


@pytest.mark.slow
@pytest.mark.parametrize(
    "model, options",
    [
        ("attend", dict(cell="gru", layers=2)),
        ("attend_after", dict(tied_embeddings=True)),
        ("merge", dict(join="concat")),
        ("inject", dict(inject="every")),
        ("transformer", dict(units=16, layers=2)),
    ],
)
def test_every_model_learns(model, options, dataset, tmp_path):
    sizes = dict(units=32, layer_dropout=0.0) | options
    config = train_config(
        dataset, tmp_path / "run", model=model, model_config=ModelConfig(**sizes), epochs=3,
        learning_rate=0.01,
    )  # fmt: skip
    train(config)
    losses = [row["loss"] for row in read_metrics(config.run) if "validation_cider" in row]
    assert losses[-1] < losses[0]
