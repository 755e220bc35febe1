"""The configuration of the pipeline: bad values are refused when it is made."""

import dataclasses
import hashlib
import json

import pytest

from pipeline.config import ENCODERS, SOURCES, PipelineConfig
from tfrecords_schema.errors import InputError


def config(**changes):
    return PipelineConfig(**{**dict(source="flickr8k", input="in", output="out"), **changes})


@pytest.mark.parametrize(
    "flag, value, shown",
    [
        ("source", "imagenet", "imagenet"),
        ("source", "", "''"),
        ("encoder", "vgg", "vgg"),
        ("encoder", "", "''"),
        ("encoder", "model.onnx", "model.onnx"),
        ("resize", "fill", "fill"),
        ("precision", "int4", "int4"),
        ("image_size", -1, "-1"),
        ("jpeg_quality", 0, "0"),
        ("jpeg_quality", 101, "101"),
        ("features", "Grid", "Grid"),
        ("feature_dtype", "float64", "float64"),
        ("clean", "stem", "stem"),
        ("restval", "test", "test"),
        ("quoting", "all", "all"),
        ("text_captions", "words", "words"),
        ("split_names", {"dev": "val"}, "dev=val"),
        ("split_names", {"": "train"}, "=train"),
        ("image_directory", "photos", "flickr8k"),
        ("columns", ("image", "caption"), "flickr8k"),
        ("delimiter", ";", "flickr8k"),
        ("quoting", "csv", "flickr8k"),
        ("image_field", "jpg", "flickr8k"),
        ("caption_field", "txt", "flickr8k"),
        ("input", "", "empty"),
        ("output", "", "empty"),
        ("min_count", 0, "0"),
        ("min_count", -3, "-3"),
        ("max_length", 0, "0"),
        ("images_per_shard", 0, "0"),
        ("max_pixels", 0, "0"),
        ("max_size", -1, "-1"),
        ("worker_threads", -2, "-2"),
        ("tfds_name", "coco_captions", "--source=tfds"),
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
        ("max_unknown", -0.01, "-0.01"),
        ("max_unknown", 1.01, "1.01"),
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
        ("source", "flickr8k, flickr30k, coco, karpathy, table, webdataset, folder, tfds"),
        ("encoder", ", ".join(ENCODERS)),
        ("features", "grid, pooled, image, none"),
        ("feature_dtype", "float16, float32"),
        ("clean", "none, tutorial, coco, characters"),
        ("quoting", "csv, none"),
        ("text_captions", "lines, whole"),
        ("restval", "train, leave_out"),
        ("resize", "stretch, pad, crop"),
        ("precision", "float32, bfloat16"),
    ],
)
def test_a_bad_choice_is_refused_with_what_would_be_right(flag, choices):
    with pytest.raises(InputError, match=choices):
        config(**{flag: "other"})


@pytest.mark.parametrize(
    "changes",
    [
        dict(),
        dict(min_count=1, max_length=1, images_per_shard=1, max_pixels=1),
        dict(max_size=0, worker_threads=0),
        dict(max_size=1, worker_threads=1),
        dict(max_rejected=0.0),
        dict(max_rejected=1.0),
        dict(encoder_seed=2**32 - 1),
        dict(split_fractions=(1.0, 0.0, 0.0)),
        dict(split_fractions=(1 / 3, 1 / 3, 1 / 3)),
        dict(split_fractions=(0.6, 0.3, 0.1)),
        dict(split_fractions=None),
        dict(encoder="tiny", features="pooled", feature_dtype="float32"),
        dict(encoder="models/own.keras", encoder_layer="top", image_size=300, resize="crop"),
        dict(features="image", jpeg_quality=100, allow_truncated=True),
        dict(encoder="vgg16", precision="bfloat16"),
        dict(features="none", clean="tutorial", vocabulary="words.txt"),
        dict(source="tfds", tfds_name="coco_captions", retry_rejected=True),
        dict(max_unknown=0.0),
        dict(max_unknown=1.0, clean="characters"),
        dict(source="table", columns=("image", "caption"), delimiter=";", quoting="none"),
        dict(source="table", delimiter="\t", quoting="csv"),
        dict(source="webdataset", image_field="jpg", caption_field="json", text_captions="whole"),
        dict(source="folder", caption_field="alt", text_captions="whole"),
        dict(restval="leave_out", split_names={"dev": "test", "minival": "leave_out"}),
        *(dict(source=source) for source in SOURCES if source != "tfds"),
    ],
)
def test_good_values_are_kept(changes):
    made = config(**changes)
    assert {name: getattr(made, name) for name in changes} == changes


def test_tfds_needs_the_name_of_a_data_set_and_nothing_else_takes_one():
    with pytest.raises(InputError, match=r"^--tfds_name=''.*coco_captions"):
        config(source="tfds")
    for source in SOURCES:
        if source != "tfds":
            with pytest.raises(InputError, match=r"^--tfds_name='coco_captions'"):
                config(source=source, tfds_name="coco_captions")


@pytest.mark.parametrize(
    "changes, named",
    [
        (dict(restval="leave_out"), "--restval=leave_out"),
        (dict(split_names={"dev": "test"}), "--split_names"),
    ],
)
def test_names_of_splits_are_for_every_source_that_has_splits(changes, named):
    for source in SOURCES:
        others = dict(source=source, tfds_name="x" * (source == "tfds"))
        if source != "flickr30k":
            config(**others, **changes)
        with pytest.raises(InputError, match=f"^{named} .*--s"):
            config(**{**others, "split_fractions": (0.8, 0.1, 0.1)}, **changes)
    with pytest.raises(InputError, match=f"^{named} .*--source=flickr30k"):
        config(source="flickr30k", **changes)


def test_a_bad_split_is_named_with_what_would_be_right():
    with pytest.raises(InputError, match=r"dev=val:.*train, validation, test, leave_out"):
        config(split_names={"test": "test", "dev": "val"})


@pytest.mark.parametrize("delimiter", [";;", '"', "\n", "\r"])
def test_a_delimiter_is_one_character(delimiter):
    with pytest.raises(InputError, match=r"^--delimiter=.* must be one character"):
        config(source="table", delimiter=delimiter)


@pytest.mark.parametrize("columns", [("a", "a"), ("a", ""), ("",)])
def test_columns_have_different_names(columns):
    with pytest.raises(InputError, match=r"^--columns=" + ",".join(columns)):
        config(source="table", columns=columns)


def test_a_vocabulary_that_is_given_is_not_cut():
    with pytest.raises(InputError, match=r"--max_size=9.*--vocabulary=words\.txt"):
        config(vocabulary="words.txt", max_size=9)


def test_a_configuration_does_not_change():
    with pytest.raises(dataclasses.FrozenInstanceError):
        config().min_count = 3


def test_the_content_leaves_out_what_does_not_decide_it():
    content = config().content()
    others = dict(
        output="elsewhere", max_rejected=0.5, max_unknown=0.5, retry_rejected=True,
        worker_threads=3,
    )  # fmt: skip
    assert content == config(**others).content()
    names = {field.name for field in dataclasses.fields(PipelineConfig)}
    assert set(content) == names - others.keys()


@pytest.mark.parametrize(
    "changes",
    [
        dict(source="coco"),
        dict(source="tfds", tfds_name="coco_captions"),
        dict(input="other"),
        dict(source="table", image_directory="photos"),
        dict(restval="leave_out"),
        dict(split_names={"dev": "test"}),
        dict(source="table", columns=("image", "caption")),
        dict(source="table", delimiter=";"),
        dict(source="table", quoting="csv"),
        dict(source="webdataset", image_field="jpg"),
        dict(source="folder", caption_field="alt"),
        dict(text_captions="whole"),
        dict(image_column="photo"),
        dict(caption_column="text"),
        dict(split_column="part"),
        dict(id_column="key"),
        dict(clean="tutorial"),
        dict(vocabulary="words.txt"),
        dict(max_size=3),
        dict(max_length=20),
        dict(encoder="tiny"),
        dict(encoder_weights="random"),
        dict(encoder_seed=1),
        dict(encoder_layer="block5_pool"),
        dict(image_size=256),
        dict(resize="pad"),
        dict(allow_truncated=True),
        dict(precision="bfloat16"),
        dict(jpeg_quality=80),
        dict(features="pooled"),
        dict(features="image"),
        dict(feature_dtype="float32"),
        dict(min_count=2),
        dict(split_fractions=(0.7, 0.2, 0.1)),
        dict(images_per_shard=3),
        dict(max_pixels=1000),
    ],
)
def test_the_content_changes_with_what_decides_it(changes):
    needed = {} if len(changes) == 1 else {"source": changes["source"]}
    if "tfds_name" in changes:
        needed = {"source": "tfds", "tfds_name": "other"}
    assert config(**changes).content() != config(**needed).content()


@pytest.mark.parametrize("fractions", [None, (0.7, 0.2, 0.1)])
def test_the_content_comes_back_from_json(fractions):
    names = None if fractions else {"dev": "test"}
    columns = ("image", "caption")
    content = config(
        source="table", split_fractions=fractions, split_names=names, columns=columns
    ).content()
    assert json.loads(json.dumps(content)) == content


@pytest.mark.parametrize("flag", ["encoder", "encoder_weights", "vocabulary"])
def test_a_file_counts_by_what_is_in_it(tmp_path, flag):
    path = tmp_path / "file.keras"
    path.write_bytes(b"what is in it")
    before = config(**{flag: str(path)}).content()
    assert before[f"{flag}_sha256"] == hashlib.sha256(b"what is in it").hexdigest()
    assert config(**{flag: str(path)}).content() == before
    path.write_bytes(b"something else")
    assert config(**{flag: str(path)}).content() != before


def test_a_flag_that_names_no_file_has_no_fingerprint():
    content = config(encoder_weights="imagenet", vocabulary="").content()
    assert not [name for name in content if name.endswith("_sha256")]
