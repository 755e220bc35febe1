"""Recipes: what they set, what wins over them, which one a command line means, that they train."""

import dataclasses
import json
import shlex

import commands
import pytest

from tfrecords_schema.errors import InputError
from trainer import recipes
from trainer.command import main
from trainer.config import MODELS, ModelConfig, TrainConfig
from trainer.decoding.search_config import SearchConfig
from trainer.runs.run_config import read_config
from trainer.trained_run import TrainedRun

POOLED = dict(
    schedule="constant", epochs=16, warmup_steps=200,
    embedding_dropout=0.3, output_dropout=0.3, region_dropout=0.25,
)  # fmt: skip
PLAIN = dict(
    schedule="constant", epochs=20, warmup_steps=0, label_smoothing=0.0, average_decay=0.0,
    annotation_dropout=0.5, output_dropout=0.0, embedding_units=256, annotation_units=256,
)  # fmt: skip
# As in the tables of docs/benchmarks, whose runs had a warm-up of 200 steps where none is named.
MEASURED = {
    "attend": dict(model="attend", warmup_steps=200, epochs=12),
    "attend_after": dict(model="attend_after", warmup_steps=200, epochs=12),
    "transformer": dict(
        model="transformer", warmup_steps=300, epochs=16, schedule="constant", word_dropout=0.3,
        embedding_dropout=0.3, layer_dropout=0.2,
    ),
    "merge": dict(model="merge", **POOLED),
    "inject": dict(model="inject", **POOLED),
    "vgg16_lstm": dict(model="merge", join="add", units=256, embedding_dropout=0.5, **PLAIN),
    "resnet50_lstm": dict(model="merge", join="add", units=256, embedding_dropout=0.5, **PLAIN),
    "icapnet": dict(
        model="attend", cell="gru", units=512, attention_units=512, region_dropout=0.0,
        embedding_dropout=0.0, **PLAIN,
    ),
}  # fmt: skip


def flat(config):
    """The fields of a configuration and of its model's sizes."""
    fields = dataclasses.asdict(config)
    return fields | fields.pop("model_config")


def expected(changes):
    return flat(TrainConfig("d", "r")) | {"data": "d", "run": "r"} | changes


def write_run(directory, **changes):
    """The configuration file of a run that was never trained."""
    directory.mkdir()
    fields = dataclasses.asdict(TrainConfig("data", str(directory), **changes))
    (directory / "config.json").write_text(json.dumps({**fields, "dataset": {}}))
    return str(directory)


@pytest.fixture
def configured(monkeypatch):
    """A function from flags to the configuration that the command would train."""
    found = []
    monkeypatch.setattr("trainer.loop.train", lambda config, **_: found.append(config))

    def configure(*flags):
        main(["train", "--data=d", "--run=r", *flags])
        return found[-1]

    return configure


def test_defaults_of_the_command_line_are_the_recipe_of_attend():
    assert recipes.attend("d", "r") == TrainConfig("d", "r")


def test_a_recipe_sets_what_was_measured_and_nothing_else():
    assert {*MEASURED, "self_critical"} == {*recipes.RECIPES} and {*MODELS} <= {*MEASURED}
    for name, changes in MEASURED.items():
        assert flat(getattr(recipes, name)("d", "r")) == expected(changes), name


def test_changes_win_over_a_recipe():
    config = recipes.transformer("d", "r", epochs=3, layer_dropout=0.0, units=16)
    changes = MEASURED["transformer"] | dict(epochs=3, layer_dropout=0.0, units=16)
    assert flat(config) == expected(changes)
    sizes = ModelConfig(units=24, layer_dropout=0.4)
    config = recipes.transformer("d", "r", model_config=sizes, layers=2)
    assert config.model_config == dataclasses.replace(sizes, layers=2)
    assert config.schedule == "constant"
    with pytest.raises(InputError, match="--layers=0 must be at least 1"):
        recipes.merge("d", "r", layers=0)
    with pytest.raises(TypeError, match="layerz"):
        recipes.merge("d", "r", layerz=1)


def test_a_command_line_means_its_recipe_that_of_its_model_or_attend(configured):
    for flags, recipe, changes in [
        ((), "attend", {}),
        (("--epochs=3", "--units=8"), "attend", dict(epochs=3, units=8)),
        (("--model=merge",), "merge", {}),
        (("--model=transformer", "--epochs=3"), "transformer", dict(epochs=3)),
        (("--recipe=transformer",), "transformer", {}),
        (("--recipe=inject", "--inject=init"), "inject", dict(inject="init")),
        (("--recipe=attend", "--model=merge"), "attend", dict(model="merge")),
        (("--recipe=icapnet", "--cell=lstm"), "icapnet", dict(cell="lstm")),
        (("--recipe=vgg16_lstm", "--warmup_steps=200"), "vgg16_lstm", dict(warmup_steps=200)),
        (("--model=merge", "--schedule=cosine"), "merge", dict(schedule="cosine")),
    ]:
        assert flat(configured(*flags)) == expected(MEASURED[recipe] | changes), flags


def test_self_critical_takes_the_model_of_its_initial_run(configured, tmp_path):
    sizes = dict(units=24, heads=4, tied_embeddings=True)
    initial_run = write_run(
        tmp_path / "first", model="transformer", word_dropout=0.3, model_config=ModelConfig(**sizes)
    )
    own = dict(
        objective="self_critical", initial_run=initial_run, max_words=20, epochs=6,
        learning_rate=2e-4, warmup_steps=200,
    )  # fmt: skip
    wanted = expected(own | sizes | {"model": "transformer"})
    flag = f"--initial_run={initial_run}"
    assert flat(recipes.self_critical("d", "r", initial_run=initial_run)) == wanted
    assert flat(configured("--recipe=self_critical", flag)) == wanted
    assert flat(configured("--objective=self_critical", flag)) == wanted
    flags = ("--objective=self_critical", "--model=transformer", flag, "--units=32", "--epochs=2")
    assert flat(configured(*flags)) == wanted | dict(units=32, epochs=2)


def test_self_critical_training_of_attend_after_has_half_the_rate(tmp_path):
    for model, rate in [("attend_after", 1e-4), ("attend", 2e-4)]:
        initial_run = write_run(tmp_path / model, model=model)
        config = recipes.self_critical("d", "r", initial_run=initial_run)
        assert (config.model, config.learning_rate) == (model, rate)
    config = recipes.self_critical("d", "r", initial_run=initial_run, learning_rate=3e-4)
    assert config.learning_rate == 3e-4


def test_self_critical_goes_on_where_its_initial_run_has_gone(tmp_path):
    gone, run = str(tmp_path / "gone"), tmp_path / "run"
    with pytest.raises(InputError, match=f"--initial_run: {gone} has no config.json"):
        recipes.self_critical("d", str(run), initial_run=gone)
    write_run(run, model="merge", objective="self_critical", initial_run=gone)
    assert recipes.self_critical("d", str(run), initial_run=gone).model == "merge"


def test_a_damaged_initial_run_is_named_at_the_command_line(capsys, tmp_path):
    (tmp_path / "config.json").write_text("{")
    error = commands.complaint(
        main, capsys, "train", "--data=d", "--run=r", "--recipe=self_critical",
        f"--initial_run={tmp_path}",
    )  # fmt: skip
    assert f"error: --initial_run: {tmp_path / 'config.json'} is damaged" in error


def test_beams_of_a_transformer_want_longer_captions():
    config = recipes.transformer("d", "r")
    assert recipes.search(config) == SearchConfig(length_penalty=1.25)
    assert recipes.search(config, length_penalty=0.5, beam_width=2) == SearchConfig(
        beam_width=2, length_penalty=0.5
    )
    second = dataclasses.replace(
        config, objective="self_critical", initial_run="i", word_dropout=0.0
    )
    for other in (recipes.attend("d", "r"), recipes.merge("d", "r"), second):
        assert recipes.search(other) == SearchConfig()


def test_a_recipe_tells_its_command_time_score_and_paper(configured, tmp_path):
    initial_run = write_run(tmp_path / "run")
    for name, recipe in recipes.RECIPES.items():
        text = " ".join(recipe.__doc__.split())
        for part in (" Command: beamcap train ", " Time: ", " Score: ", " Paper: ", "arXiv:"):
            assert part in text, name
        command = (
            text.split("Command: ")[1].split(" Time: ")[0].replace("=RUN ", f"={initial_run} ")
        )
        config = configured(*shlex.split(command)[2:], "--data=d", "--run=r")
        changes = {"initial_run": initial_run} if name == "self_critical" else {}
        own = recipe("d", "r", precision=config.precision, **changes)
        assert config == own, name


def test_evaluate_and_export_search_as_suits_the_model_unless_told(monkeypatch, tmp_path):
    found = []
    monkeypatch.setattr("trainer.trained_run.open_run", lambda run, at: (read_config(run)[0], at))
    monkeypatch.setattr(TrainedRun, "evaluate", lambda run, *a, **_: found.append(a))
    monkeypatch.setattr(TrainedRun, "save", lambda *_: None)
    monkeypatch.setattr("trainer.scores.evaluate.evaluation_text", str)
    monkeypatch.setattr(TrainedRun, "export", lambda run, *a: found.append((run.dataset, *a)))
    runs = {model: f"--run={write_run(tmp_path / model, model=model)}" for model in MODELS}
    given = SearchConfig(beam_width=2, length_penalty=0.5)
    for model, run in runs.items():
        suits = SearchConfig(length_penalty=1.25 if model == "transformer" else 1.0)
        for flags, search in [((), suits), (("--beam_width=2", "--length_penalty=0.5"), given)]:
            main(["evaluate", run, "--split=validation", *flags])
            assert found[-1] == ("validation", search)
            main(["export", run, "--output=out", "--formats=png,jpeg", "--data=there", *flags])
            assert found[-1] == ("there", "out", search, ("JPEG", "PNG"))
