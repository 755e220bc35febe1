"""The configuration of the pipeline: bad values are refused when it is made."""

import dataclasses
import hashlib
import json

import pytest

from pipeline.config import PipelineConfig
from tfrecords_schema.errors import InputError


def config(**changes):
    return PipelineConfig(**{**dict(source="flickr8k", input="in", output="out"), **changes})


@pytest.mark.parametrize(
    "flag, value, shown",
    [
        ("source", "coco", "coco"),
        ("encoder", "vgg", "vgg"),
        ("encoder", "", "''"),
        ("features", "Grid", "Grid"),
        ("feature_dtype", "float64", "float64"),
        ("input", "", "missing"),
        ("output", "", "missing"),
        ("min_count", 0, "0"),
        ("min_count", -3, "-3"),
        ("images_per_shard", 0, "0"),
        ("max_pixels", 0, "0"),
        ("encoder_seed", -1, "-1"),
        ("encoder_seed", 2**32, "4294967296"),
        ("split_fractions", (0.8, 0.2), "0.8,0.2"),
        ("split_fractions", (0.7, 0.1, 0.1, 0.1), "0.7,0.1,0.1,0.1"),
        ("split_fractions", (0.8, 0.1, 0.2), "0.8,0.1,0.2"),
        ("split_fractions", (80, 10, 10), "80,10,10"),
        ("split_fractions", (1.2, -0.1, -0.1), "1.2,-0.1,-0.1"),
        ("split_fractions", (float("nan"), 0.5, 0.5), "nan,0.5,0.5"),
        ("split_fractions", (0.0, 0.5, 0.5), "0.0,0.5,0.5"),
        ("max_rejected", -0.01, "-0.01"),
        ("max_rejected", 1.01, "1.01"),
        ("max_rejected", float("nan"), "nan"),
    ],
)
def test_a_bad_value_is_refused_with_the_flag_and_the_value(flag, value, shown):
    with pytest.raises(InputError) as error:
        config(**{flag: value})
    assert str(error.value).startswith(f"--{flag}")
    assert shown in str(error.value)


@pytest.mark.parametrize(
    "flag, choices",
    [
        ("source", "flickr8k"),
        ("encoder", "tiny, mobilenet_v2"),
        ("features", "grid, pooled"),
        ("feature_dtype", "float16, float32"),
    ],
)
def test_a_bad_choice_is_refused_with_what_would_be_right(flag, choices):
    with pytest.raises(InputError, match=choices):
        config(**{flag: "other"})


@pytest.mark.parametrize(
    "changes",
    [
        dict(),
        dict(min_count=1, images_per_shard=1, max_pixels=1),
        dict(max_rejected=0.0),
        dict(max_rejected=1.0),
        dict(encoder_seed=2**32 - 1),
        dict(split_fractions=(1.0, 0.0, 0.0)),
        dict(split_fractions=(1 / 3, 1 / 3, 1 / 3)),
        dict(split_fractions=(0.6, 0.3, 0.1)),
        dict(encoder="tiny", features="pooled", feature_dtype="float32"),
    ],
)
def test_good_values_are_kept(changes):
    made = config(**changes)
    assert {name: getattr(made, name) for name in changes} == changes


def test_a_configuration_does_not_change():
    with pytest.raises(dataclasses.FrozenInstanceError):
        config().min_count = 3


def test_the_content_leaves_out_what_does_not_decide_it():
    content = config().content()
    assert content == config(output="elsewhere", max_rejected=0.5).content()
    names = {field.name for field in dataclasses.fields(PipelineConfig)}
    assert set(content) == names - {"output", "max_rejected"}


@pytest.mark.parametrize(
    "changes",
    [
        dict(input="other"),
        dict(encoder="tiny"),
        dict(encoder_weights="random"),
        dict(encoder_seed=1),
        dict(features="pooled"),
        dict(feature_dtype="float32"),
        dict(min_count=2),
        dict(split_fractions=(0.7, 0.2, 0.1)),
        dict(images_per_shard=3),
        dict(max_pixels=1000),
    ],
)
def test_the_content_changes_with_what_decides_it(changes):
    assert config(**changes).content() != config().content()


def test_the_content_comes_back_from_json():
    content = config(split_fractions=(0.7, 0.2, 0.1)).content()
    assert json.loads(json.dumps(content)) == content


def test_a_weights_file_counts_by_what_is_in_it(tmp_path):
    path = tmp_path / "it.weights.h5"
    path.write_bytes(b"weights")
    before = config(encoder_weights=str(path)).content()
    assert before["encoder_weights_sha256"] == hashlib.sha256(b"weights").hexdigest()
    assert config(encoder_weights=str(path)).content() == before
    path.write_bytes(b"other weights")
    assert config(encoder_weights=str(path)).content() != before
