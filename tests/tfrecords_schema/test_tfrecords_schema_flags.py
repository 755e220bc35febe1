"""Flags from the fields of dataclasses: their parser, their checks, and the way back."""

import argparse
import dataclasses
import math
import pathlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.config import PipelineConfig
from tfrecords_schema import flags
from tfrecords_schema.errors import InputError
from tfrecords_schema.flags import REQUIRED, check_flags, check_goes_with, flag
from trainer.command_flags import CaptionFlags, ExportFlags, RecipeFlag, RunFlags, SplitFlag
from trainer.config import ModelConfig, TrainConfig
from trainer.decoding.search_config import SearchConfig

KINDS = (PipelineConfig, TrainConfig, ModelConfig, SearchConfig, CaptionFlags, ExportFlags,
         RecipeFlag, RunFlags, SplitFlag)  # fmt: skip
NUMBERS = st.one_of(st.integers(-5, 5), st.floats(), st.floats(-5, 5))


def pair(text):
    if "," not in text:
        raise argparse.ArgumentTypeError(f"{text!r} must be two names with a comma")
    return tuple(text.split(","))


@dataclasses.dataclass(frozen=True)
class Bread:
    """Every kind of flag."""

    baker: str = flag(REQUIRED, "who bakes it", "people")
    oven: str = flag("", "where, 100 % sure", "places", path=True)
    grain: str = flag("rye", "what of", "dough", choices=("rye", "oat", "rice"))
    loaves: int = flag(2, "how many", "dough", least=1, most=9)
    salt: float = flag(0.5, "how much", "dough", least=0, below=1)
    heat: float = flag(math.inf, "at most", "dough", above=0, most=math.inf)
    sour: bool = flag(False, "leavened", "dough")
    seeds: int = flag(0, "on it", "dough", of={"grain": ("rye", "oat"), "sour": (True,)})
    names: tuple[str, ...] = flag((), "what it is called", "people", parse=pair)

    def __post_init__(self):
        check_flags(self)


def parsed(*arguments, kinds=(Bread,)):
    parser = argparse.ArgumentParser(allow_abbrev=False)
    flags.add_flags(parser, *kinds)
    return flags.given(parser.parse_args([*arguments]), *kinds)


def refused(**values):
    with pytest.raises(InputError) as error:
        Bread(**{"baker": "ann", **values})
    return str(error.value)


def test_flags_that_are_given_are_returned_and_no_others():
    assert parsed("--baker=ann") == {"baker": "ann"}
    assert parsed("--baker=ann", "--loaves=2", "--sour", "--salt=0", "--names=a,b") == {
        "baker": "ann", "loaves": 2, "sour": True, "salt": 0.0, "names": ("a", "b"),
    }  # fmt: skip
    assert parsed("--baker=ann", "--no-sour", "--oven=") == {
        "baker": "ann", "sour": False, "oven": "",
    }  # fmt: skip


def test_the_command_line_of_bad_flags_ends_with_their_names(capsys):
    for arguments, expected in [
        ((), "required: --baker"),
        (("--baker=ann", "--grain=iron"), "--grain: invalid choice: 'iron'"),
        (("--baker=ann", "--loaves=1.5"), "--loaves: invalid int value: '1.5'"),
        (("--baker=ann", "--loav=1"), "--loav=1"),
    ]:
        with pytest.raises(SystemExit) as stopped:
            parsed(*arguments)
        assert stopped.value.code == 2
        assert expected in capsys.readouterr().err, arguments


def test_help_shows_groups_defaults_and_needs(capsys):
    with pytest.raises(SystemExit):
        parsed("--help")
    text = " ".join(capsys.readouterr().out.split())
    for part in [
        "people: --baker BAKER who bakes it",
        "places: --oven OVEN where, 100 % sure",
        "dough: --grain {rye,oat,rice} what of (default: rye)",
        "--heat HEAT at most (default: inf)",
        "--sour, --no-sour leavened (default: False)",
        "on it; only with --grain=rye or oat; only with --sour=True (default: 0)",
    ]:
        assert part in text
    assert "default: )" not in text and "()" not in text and "MISSING" not in text


def test_values_of_python_become_those_of_the_fields(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    for name, value, expected in [
        ("loaves", np.int64(3), 3),
        ("loaves", np.array(3), 3),
        ("salt", np.float32(0.25), 0.25),
        ("salt", np.int32(0), 0.0),
        ("salt", 0, 0.0),
        ("sour", np.bool_(True), True),
        ("baker", np.str_("eve"), "eve"),
        ("oven", pathlib.Path("~/stove"), str(tmp_path / "stove")),
        ("oven", "~/stove", str(tmp_path / "stove")),
        ("oven", "gs://b/~stove", "gs://b/~stove"),
        ("names", ["a", "b"], ("a", "b")),
        ("names", "a,b", ("a", "b")),
        ("heat", math.inf, math.inf),
    ]:
        found = getattr(Bread(**{"baker": "ann", name: value}), name)
        assert found == expected and type(found) is type(expected), (name, value)


def test_bad_values_are_refused_with_what_would_be_right():
    for name, value, expected in [
        ("loaves", 0, "--loaves=0 must lie in 1 to 9"),
        ("loaves", 10, "--loaves=10 must lie in 1 to 9"),
        ("loaves", True, "--loaves=True must be of type int"),
        ("loaves", 2.0, "--loaves=2.0 must be of type int"),
        ("loaves", "2", "--loaves='2' must be of type int"),
        ("loaves", np.array([2]), "must be of type int"),
        ("loaves", None, "--loaves=None must be of type int"),
        ("salt", 1, "--salt=1.0 must lie in 0 to 1, without 1"),
        ("salt", math.nan, "--salt=nan must be finite"),
        ("salt", True, "--salt=True must be of type float"),
        ("heat", 0, "--heat=0.0 must be more than 0"),
        ("heat", -math.inf, "--heat=-inf must be finite"),
        ("heat", math.nan, "--heat=nan must be finite"),
        ("sour", 1, "--sour=1 must be of type bool"),
        ("grain", "iron", "--grain='iron' must be one of: rye, oat, rice"),
        ("grain", "", "--grain='' must be one of: rye, oat, rice"),
        ("baker", 3, "--baker=3 must be of type str"),
        ("baker", pathlib.Path("ann"), "must be of type str"),  # it is no path
        ("oven", b"stove", "--oven=b'stove' must be of type str"),
        ("names", "ann", "--names: 'ann' must be two names with a comma"),
    ]:
        assert expected in refused(**{name: value}), (name, value)


def test_the_command_line_is_checked_before_anything_is_made_of_it(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert parsed("--baker=ann", "--oven=~/stove")["oven"] == str(tmp_path / "stove")
    for argument, expected in [
        ("--loaves=10", "--loaves=10 must lie in 1 to 9"),
        ("--salt=nan", "--salt=nan must be finite"),
        ("--names=ann", "--names: 'ann' must be two names with a comma"),
    ]:
        with pytest.raises(InputError, match=expected):
            parsed("--baker=ann", argument)


@settings(deadline=None)
@given(st.data(), NUMBERS)
def test_numbers_within_their_bounds_are_taken_and_no_others(data, value):
    drawn = {name: data.draw(st.none() | st.integers(-3, 3)) for name in ("least", "most")}
    drawn |= {name: data.draw(st.none() | st.integers(-3, 3)) for name in ("above", "below")}
    kind = dataclasses.make_dataclass(
        "Kind", [("x", float, flag(0.0, "a number", "numbers", **drawn))], frozen=True
    )
    expected = math.isfinite(value) and not (
        (drawn["least"] is not None and value < drawn["least"])
        or (drawn["most"] is not None and value > drawn["most"])
        or (drawn["above"] is not None and value <= drawn["above"])
        or (drawn["below"] is not None and value >= drawn["below"])
    )
    try:
        check_flags(kind(value))
        assert expected
    except InputError as error:
        assert not expected
        assert str(error).startswith(f"--x={float(value)} must ") and "None" not in str(error)
        assert str(error).split(" must ")[1]


def test_a_flag_needs_the_values_of_the_flags_that_it_goes_with():
    values = {"grain": "oat", "sour": True}
    check_goes_with(Bread("ann", seeds=3), values)
    check_goes_with(Bread("ann"), {"grain": "rice", "sour": False})  # seeds are at their default
    with pytest.raises(
        InputError, match="--seeds=3 goes with --grain=rye or oat, not with --grain=rice"
    ):
        check_goes_with(Bread("ann", seeds=3), values | {"grain": "rice"})
    with pytest.raises(InputError, match="--seeds=3 goes with --sour=True, not with --sour=False"):
        check_goes_with(Bread("ann", seeds=3), values | {"sour": False})


def values_of(field, flag):
    """Values that a flag takes, of TrainConfig and ModelConfig."""
    if flag.choices:
        return st.sampled_from(flag.choices)
    if field.type is bool:
        return st.booleans()
    if field.type is str:
        characters = st.characters(exclude_categories=("Cs",), exclude_characters="\0~")
        return st.text(characters, min_size=1)
    low = flag.least if flag.above is None else flag.above
    high = flag.most if flag.below is None else flag.below
    if field.type is int:
        return st.integers(low, high)
    return st.floats(
        low, high, exclude_min=flag.above is not None, exclude_max=flag.below is not None,
        allow_infinity=flag.most == math.inf,
    )  # fmt: skip


def changes_of(kind):
    """Some flags of a configuration with values of their own, but for those that need others."""
    kept = {"model", "objective", "schedule", "batch_size", "readers"}
    table = flags.flags_of(kind)
    return st.fixed_dictionaries(
        {n: values_of(*table[n]) for n in table if table[n][0].default is REQUIRED},
        optional={
            name: values_of(field, flag)
            for name, (field, flag) in table.items()
            if name not in kept and not flag.of and field.default is not REQUIRED
        },
    )


@settings(deadline=None)
@given(changes_of(TrainConfig), changes_of(ModelConfig))
def test_a_configuration_is_read_back_from_its_command_line(changes, sizes):
    config = TrainConfig(**changes, model_config=ModelConfig(**sizes))
    kinds = (TrainConfig, ModelConfig)
    found = parsed(*flags.to_arguments(config), kinds=kinds)
    names = flags.flags_of(ModelConfig)
    model_config = ModelConfig(**{n: v for n, v in found.items() if n in names})
    others = {name: value for name, value in found.items() if name not in names}
    assert TrainConfig(**others, model_config=model_config) == config


def test_every_flag_has_a_help_a_group_and_a_default_that_it_takes():
    for kind in KINDS:
        assert len(flags.flags_of(kind)) >= len(dataclasses.fields(kind)) - 1
        others = flags.flags_of(PipelineConfig if kind is PipelineConfig else TrainConfig)
        for name, (field, about) in flags.flags_of(kind).items():
            assert about.help and about.group, (kind, name)
            if field.default is not REQUIRED:
                one = dataclasses.make_dataclass("One", [(name, field.type, field)], frozen=True)
                check_flags(one())
            for other, values in about.of.items():
                assert {*values} <= {*others[other][1].choices}, (kind, name)
