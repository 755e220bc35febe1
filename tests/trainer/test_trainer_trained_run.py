"""What `train` and `load_run` give to a Python program."""

import dataclasses
import json
import logging
import shutil
from pathlib import Path

import pytest
from small_configs import train_config

from tfrecords_schema.errors import InputError
from trainer import load_run, train
from trainer.decoding.search_config import SearchConfig

SEARCH = SearchConfig(beam_width=2, max_words=8)


def test_each_epoch_is_reported_and_is_in_the_history(dataset, tmp_path, caplog, monkeypatch):
    monkeypatch.setattr(logging.getLogger("beamcap"), "propagate", True)
    rows = []
    with caplog.at_level(logging.INFO, "beamcap"):
        run = train(train_config(dataset, tmp_path / "run", epochs=2), on_epoch=rows.append)
    assert rows == run.history == load_run(tmp_path / "run").history
    assert [row["epoch"] for row in rows] == [1, 2]
    for text in ("Training on ", "epoch 1: loss ", "epoch 2: loss ", "Training ended"):
        assert text in caplog.text


def test_the_best_scores_are_of_the_epoch_whose_weights_are_kept(trained_run):
    run = load_run(trained_run)
    best = run.best
    assert best["validation_cider"] == max(row["validation_cider"] for row in run.history)
    assert any(best.items() <= row.items() for row in run.history)
    evaluation = run.evaluate("validation", SearchConfig(1, run.config.max_words, 0.0), save=False)
    assert evaluation.loss == pytest.approx(best["validation_loss"], rel=1e-5)


def test_evaluation_has_captions_references_and_the_scores_of_its_files(trained_run, tmp_path):
    others = shutil.ignore_patterns("scores-*", "captions-*")  # of other tests
    shutil.copytree(trained_run, tmp_path / "run", ignore=others)
    run = load_run(tmp_path / "run")
    evaluation = run.evaluate("test", SEARCH, save=False)
    assert not list(Path(run.config.run).glob("*-test.json"))
    assert evaluation.captions.keys() == evaluation.references.keys()
    assert evaluation.references == run.dataset.references("test")
    run.save(evaluation)
    scores = json.loads((tmp_path / "run" / "scores-test.json").read_text())
    assert scores["scores"] == evaluation.scores
    assert scores["search"] == dataclasses.asdict(SEARCH)
    rows = json.loads((tmp_path / "run" / "captions-test.json").read_text())
    assert [row["caption"] for row in rows] == list(evaluation.captions.values())


def test_evaluation_without_search_flags_uses_the_search_of_the_recipe(
    trained_run, tmp_path, monkeypatch
):
    run = load_run(trained_run)
    monkeypatch.setattr("trainer.trained_run.evaluate", lambda *arguments: arguments[3])
    assert run.evaluate("test", save=False) == SearchConfig()
    monkeypatch.setattr("trainer.recipes.search", lambda config: SEARCH)
    assert run.evaluate("test", save=False) == SEARCH
    assert run.evaluate("test", SearchConfig(beam_width=4), save=False).beam_width == 4


def test_a_run_without_epochs_is_named(trained_run, tmp_path):
    shutil.copytree(trained_run, tmp_path / "run")
    (tmp_path / "run" / "metrics.jsonl").write_text("")
    with pytest.raises(InputError, match=r"metrics.jsonl has no row of an epoch"):
        _ = load_run(tmp_path / "run").best
