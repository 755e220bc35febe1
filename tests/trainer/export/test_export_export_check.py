"""An export that would caption wrongly is not published."""

import os

import pytest
import tensorflow as tf

import trainer.export.export_check
from tfrecords_schema.errors import InputError
from trainer.decoding.search_config import SearchConfig
from trainer.errors import ExportError
from trainer.trained_run import load_run

SEARCH = SearchConfig(beam_width=2, max_words=12, length_penalty=0.0)
SAVE = tf.saved_model.save


def test_a_good_export_is_checked_on_training_pictures(trained_run, tmp_path, capsys):
    path = load_run(trained_run).export(str(tmp_path / "export"), SEARCH)
    assert os.listdir(tmp_path / "export") == [os.path.basename(path)]
    assert "on 4 training pictures" in capsys.readouterr().out


def test_an_export_with_other_weights_than_the_run_is_found(trained_run, tmp_path, monkeypatch):
    def save(server, directory, signatures):
        """Writes weights that are not the run's, as one that is restored wrongly has."""
        weights = server._weights
        before = [weight.numpy() for weight in weights]
        for weight in weights:
            weight.assign(tf.reverse(weight, [-1]))
        SAVE(server, directory, signatures=signatures)
        for weight, value in zip(weights, before, strict=True):
            weight.assign(value)

    monkeypatch.setattr(tf.saved_model, "save", save)
    with pytest.raises(ExportError, match=r"as the trainer does: it says .*not published"):
        load_run(trained_run).export(str(tmp_path / "export"), SEARCH)
    assert os.listdir(tmp_path / "export") == []


@pytest.mark.slow
def test_an_export_that_no_session_can_restore_is_found(trained_run, tmp_path, monkeypatch):
    def save(server, directory, signatures):
        SAVE(server, directory, signatures=signatures)
        os.remove(os.path.join(directory, "variables", "variables.index"))

    monkeypatch.setattr(tf.saved_model, "save", save)
    with pytest.raises(ExportError, match="cannot be run in a session"):
        load_run(trained_run).export(str(tmp_path / "export"), SEARCH)
    assert os.listdir(tmp_path / "export") == []


def test_features_that_the_encoder_does_not_make_are_found(trained_run, tmp_path, monkeypatch):
    parse = trainer.export.export_check.parse_batch

    def parse_other(features, serialized):
        batch = parse(features, serialized)
        return batch | {"image_features": batch["image_features"][:, ::-1]}

    monkeypatch.setattr(trainer.export.export_check, "parse_batch", parse_other)
    with pytest.raises(InputError, match=r"--data: the image_encoder of .* other features of"):
        load_run(trained_run).export(str(tmp_path / "export"), SEARCH)


@pytest.mark.slow
def test_an_export_is_tried_on_noise_where_there_are_no_pictures(
    trained_run, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(trainer.export.export_check, "LOOKED_AT", 0)
    load_run(trained_run).export(str(tmp_path / "export"), SEARCH)
    assert "on noise" in capsys.readouterr().out
