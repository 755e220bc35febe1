"""Presets at the command line: what they set, what wins over them, that they train."""

import dataclasses
import json

import pytest

from trainer.command import main
from trainer.config import ModelConfig, TrainConfig
from trainer.recipes import PRESETS
from trainer.trained_run import load_run


@pytest.mark.parametrize("preset", PRESETS)
def test_a_preset_sets_its_flags_and_others_win_over_it(preset, dataset, tmp_path):
    run = tmp_path / "run"
    flags = ("--strategy=one", f"--preset={preset}", "--schedule=cosine", "--epochs=1")
    main(["train", f"--data={dataset}", f"--run={run}", *flags])
    fields = json.loads((run / "config.json").read_text())
    in_model = {field.name for field in dataclasses.fields(ModelConfig)}
    for name, value in (PRESETS[preset] | {"schedule": "cosine", "epochs": 1}).items():
        assert (fields["model_config"] if name in in_model else fields)[name] == value
    assert fields["learning_rate"] == TrainConfig.learning_rate  # of which no preset speaks
    assert load_run(str(run)).config.model == PRESETS[preset]["model"]
