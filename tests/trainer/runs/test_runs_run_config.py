"""A run's config.json: its paths, and what is said of one that is damaged or of another version."""

import json
import os
import types

import pytest
from small_configs import train_config

from tfrecords_schema.errors import InputError
from trainer.runs.run_config import (
    comparable,
    config_fields,
    read_config,
    read_fields,
    relative_to_run,
    resolve_in_run,
)

FINGERPRINTS = {"vocabulary_sha256": "aa", "encoder_sha256": "bb"}
MANIFEST = types.SimpleNamespace(fingerprints=lambda: FINGERPRINTS)


@pytest.fixture
def run(tmp_path):
    """A run that holds its configuration alone."""
    directory = tmp_path / "run"
    directory.mkdir()
    fields = config_fields(train_config("/data", directory), MANIFEST)
    (directory / "config.json").write_text(json.dumps(fields))
    return directory


def change(run, function):
    fields = json.loads((run / "config.json").read_text())
    function(fields)
    (run / "config.json").write_text(json.dumps(fields))


def test_a_configuration_is_read_as_it_was_written(run):
    assert read_config(str(run)) == (train_config("/data", run), FINGERPRINTS)


def test_a_relative_path_is_that_of_the_place_and_not_of_the_working_directory(
    tmp_path, monkeypatch
):
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    kept = relative_to_run("../data", "runs/one")
    assert not os.path.isabs(kept)
    monkeypatch.chdir("/")
    run = str(tmp_path / "work" / "runs" / "one")
    assert resolve_in_run(kept, run) == os.path.realpath(tmp_path / "data")
    # Run and dataset were moved together.
    moved = str(tmp_path / "else" / "work" / "runs" / "one")
    assert resolve_in_run(kept, moved) == os.path.realpath(tmp_path / "else" / "data")


def test_a_run_behind_a_symbolic_link_finds_its_dataset(tmp_path, monkeypatch):
    (tmp_path / "disk" / "deep" / "run").mkdir(parents=True)
    (tmp_path / "run").symlink_to(tmp_path / "disk" / "deep" / "run")
    monkeypatch.chdir(tmp_path)
    kept = relative_to_run("data", "run")
    for run in (tmp_path / "run", tmp_path / "disk" / "deep" / "run"):
        assert resolve_in_run(kept, str(run)) == os.path.realpath(tmp_path / "data")


@pytest.mark.parametrize("path", ["", "/abs/data", "gs://bucket/data"])
def test_paths_that_are_not_relative_to_the_run_stay_as_they_are(path):
    assert relative_to_run(path, "run") == resolve_in_run(path, "run") == path


def test_a_run_in_a_bucket_has_absolute_local_paths(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert relative_to_run("vectors.txt", "gs://b/run") == str(tmp_path / "vectors.txt")


def test_one_path_written_in_two_ways_is_no_difference(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    one, other, third = (
        comparable(config_fields(train_config("/data", run, word_vectors=path), MANIFEST), str(run))
        for path in ("vectors.txt", str(tmp_path / "vectors.txt"), "others.txt")
    )
    assert one == other != third


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (lambda f: f.update(surprise=1), "field surprise is unknown"),
        (lambda f: f.pop("seed"), "field seed is missing"),
        (lambda f: f.pop("dataset"), "field dataset is missing"),
        (lambda f: f["model_config"].pop("units"), "field model_config.units is missing"),
        (lambda f: f["model_config"].update(extra=1), "field model_config.extra is unknown"),
        (lambda f: f["model_config"].update(units="x"), "field model_config.units is 'x'"),
        (lambda f: f.update(batch_size=None), "field batch_size is None"),
        (lambda f: f.update(model_config=[1]), "field model_config is [1]"),
        (lambda f: f.update(model="gpt"), "--model='gpt' must be one of: attend"),
    ],
)
def test_a_field_of_another_version_is_named_with_that_version(run, function, expected):
    change(run, lambda fields: fields["versions"].update(beamcap="9.8.7"))
    change(run, function)
    with pytest.raises(InputError) as error:
        read_fields(str(run), "initial_run")
    line = str(error.value)
    assert line.startswith(f"--initial_run: {run / 'config.json'} is damaged or of another version")
    assert expected in line
    assert "beamcap 9.8.7 wrote it, this is 0." in line


def test_a_configuration_of_a_version_that_did_not_name_itself_is_told(run):
    change(run, lambda fields: (fields.pop("versions"), fields.pop("seed")))
    with pytest.raises(InputError, match="beamcap of unknown version wrote it"):
        read_fields(str(run))
