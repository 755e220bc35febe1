"""Data sets that TFDS has written, read from their files as TFDS lays them out."""

import os
import pickle

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds
from absl import logging
from drawn_sources import write_tfds

from pipeline.accounting.rejects import Reject
from pipeline.config import LEAVE_OUT
from pipeline.sources.files import read_image_bytes
from pipeline.sources.mentions import Mention
from pipeline.sources.split_names import make_split_names
from pipeline.sources.table_rows import Columns
from pipeline.sources.tfds_dataset import find_tfds, split_of
from pipeline.sources.tfds_features import Paths, choose_features
from tfrecords_schema.errors import InputError

F = tfds.features
COCO = F.FeaturesDict(  # those of coco_captions
    {
        "image": F.Image(encoding_format="jpeg"),
        "image/filename": F.Text(),
        "image/id": np.int64,
        "objects": F.Sequence({"area": np.int64, "is_crowd": np.bool_, "bbox": F.BBoxFeature()}),
        "captions": F.Sequence({"id": np.int64, "text": tf.string}),
    }
)
NAMES = make_split_names("train", None)
SPLITS = {"train": 5, "val": 2, "restval": 3, "test": 2}


def encoded(number):
    """The bytes of a small JPEG, another for every number."""
    pixels = tf.fill([8, 8, 3], tf.constant(number * 7, tf.uint8))
    return tf.io.encode_jpeg(pixels).numpy()


def make_example(number, **changes):
    captions = [{"id": k, "text": f"Caption {k} é of {number}"} for k in range(2)]
    example = {
        "image": encoded(number),
        "image/filename": f"COCO_{number:06d}.jpg",
        "image/id": 1000 + number,
        "objects": [{"area": 1, "is_crowd": False, "bbox": F.BBox(0.0, 0.0, 1.0, 1.0)}],
        "captions": captions,
    }
    return {**example, **changes}


@pytest.fixture(scope="module")
def coco(tmp_path_factory):
    """coco_captions in small, in the configuration that TFDS takes for the default."""
    numbers = iter(range(100))
    splits = {
        split: [make_example(next(numbers)) for _ in range(count)]
        for split, count in SPLITS.items()
    }
    directory = tmp_path_factory.mktemp("tfds")
    return write_tfds(directory, "coco_captions", COCO, splits, config="2014")


def find(name, data_dir, staging="", names=NAMES, **columns):
    source = find_tfds(name, str(data_dir), Columns(**columns), str(staging), names)
    return pickle.loads(pickle.dumps(source))  # as it is shipped to the workers


def read(name, data_dir, staging="", names=NAMES, **columns):
    source = find(name, data_dir, staging, names, **columns)
    return [found for part in source.parts for found in source.read(part)]


def assert_refused(name, data_dir, *named, **columns):
    with pytest.raises(InputError) as error:
        read(name, data_dir, **columns)
    for text in (f"--tfds_name={name}", *named):
        assert str(text) in str(error.value)


@pytest.mark.parametrize(
    "name", ["coco_captions", "coco_captions/2014", "coco_captions/2014:1.0.0"]
)
def test_every_example_comes_out_with_its_captions_and_its_image_as_it_was(coco, tmp_path, name):
    found = read(name, coco, tmp_path / "staged")
    assert len(found) == 2 * sum(SPLITS.values())
    for one, two in zip(found[::2], found[1::2], strict=True):
        number = int(one.image_id.removeprefix("COCO_").removesuffix(".jpg"))
        assert two.image_id == one.image_id and two.location == one.location
        assert [one.text, two.text] == [f"Caption {k} é of {number}" for k in range(2)]
        assert [one.order, two.order] == sorted([one.order, two.order])
        assert read_image_bytes(one.location) == encoded(number)
        assert one.uri.startswith(os.path.join(coco, "coco_captions", "2014", "1.0.0"))
    assert len({row.uri for row in found}) == sum(SPLITS.values())
    assert len({row.caption_id for row in found}) == len(found)
    assert not any(row.has_integer_id for row in found)


def test_the_splits_are_those_of_the_data_set_and_restval_is_for_training(coco):
    source = find("coco_captions", coco)
    assert source.splits_by == "the splits of TFDS"
    assert source.splits == ("test", "train", "validation")
    splits = [row.split for part in source.parts for row in source.read(part)][::2]
    assert {split: splits.count(split) for split in splits} == {
        "train": SPLITS["train"] + SPLITS["restval"], "validation": SPLITS["val"],
        "test": SPLITS["test"],
    }  # fmt: skip


def test_a_part_is_a_shard(coco):
    parts = find("coco_captions", coco).parts
    assert [part[:3] for part in parts if part[0] == "train"] == [("train", 0, 2), ("train", 2, 5)]
    assert all(os.path.exists(part[3]) for part in parts)
    assert len({part[3] for part in parts}) == len(parts) == 2 * len(SPLITS)


def test_the_second_reading_leaves_the_images_alone(coco, tmp_path, monkeypatch):
    asked = []

    class Recorded(tfds.decode.PartialDecoding):
        def __init__(self, features, decoders=None):
            asked.append(features)
            super().__init__(features, decoders)

    monkeypatch.setattr(tfds.decode, "PartialDecoding", Recorded)
    source = find("coco_captions", coco, tmp_path / "staged")
    part = source.parts[0]
    assert list(source.read(part)) == list(source.read(part))
    texts = {"captions": {"text": True}, "image/filename": True}
    assert asked == [{**texts, "image": True}, texts]


def test_without_a_staging_directory_images_are_left_alone(coco):
    found = read("coco_captions", coco)
    assert len(found) == 2 * sum(SPLITS.values())
    assert {row.location for row in found} == {""}
    # What an image is does not depend on whether it is opened.
    keys = [row.key for row in found]
    assert len({*keys}) == sum(SPLITS.values()) and all(row.content for row in found)


def test_features_go_by_the_names_that_are_given(coco):
    ids = {str(1000 + i) for i in range(sum(SPLITS.values()))}
    for columns in ({}, {"image": "image", "caption": "captions/text"}):
        found = read("coco_captions", coco, id="image/id", **columns)
        assert {row.key for row in found} == {row.image_id for row in found} == ids
        assert all(row.has_integer_id for row in found)
        assert not find("coco_captions", coco, id="image/id", **columns).names_may_collide


@pytest.mark.parametrize(
    "column, name",
    [
        ("image", "picture"), ("image", "image/filename"), ("caption", "text"),
        ("caption", "captions/id"), ("id", "image/name"), ("id", "captions/id"),
    ],
)  # fmt: skip
def test_a_feature_that_is_not_there_or_of_another_kind_is_named(coco, column, name):
    assert_refused(
        "coco_captions", coco, f"--{column}_column={name}", "captions/text (list of ",
        "image (Image)", "image/filename (Text)", **{column: name},
    )  # fmt: skip


@pytest.mark.parametrize(
    "features, columns, paths",
    [
        ({"image": F.Image(), "caption": F.Text()}, {}, (("image",), ("caption",), ())),
        ({"photo": F.Image(), "texts": F.Sequence(F.Text())}, {}, (("photo",), ("texts",), ())),
        (
            {"image": F.Image(), "alt": F.Text(), "caption": F.Text(), "label": F.ClassLabel()},
            {"id": "label"},
            (("image",), ("caption",), ("label",)),
        ),
        (
            {"in": {"image": F.Image()}, "out": {"a": F.Text(), "b": F.Text()}},
            {"caption": "out/b"},
            (("in", "image"), ("out", "b"), ()),
        ),
        ({"image": F.Image(), "a": F.Text(), "b": F.Text()}, {}, "of the caption"),
        ({"a": F.Image(), "b": F.Image(), "caption": F.Text()}, {}, "of the image"),
        ({"image": F.Image(), "label": F.ClassLabel()}, {}, "of the caption"),
        ({"image": F.Image(), "a": F.Sequence(F.Sequence(F.Text()))}, {}, "of the caption"),
        ({"images": F.Sequence(F.Image()), "caption": F.Text()}, {}, "of the image"),
        ({"image": F.Video((None, 8, 8, 3)), "caption": F.Text()}, {}, "of the image"),
    ],
)
def test_the_only_image_and_the_only_text_are_taken(features, columns, paths):
    if isinstance(paths, str):
        with pytest.raises(InputError, match=paths):
            choose_features("x", F.FeaturesDict(features), Columns(**columns))
    else:
        assert choose_features("x", F.FeaturesDict(features), Columns(**columns)) == Paths(*paths)


def test_captions_of_every_shape_are_read_and_a_bad_one_costs_only_itself(tmp_path):
    features = F.FeaturesDict({"image": F.Image(), "caption": F.Text()})
    texts = ["A dog", b"A caf\xe9", " ", "A cat"]
    examples = [{"image": encoded(i), "caption": text} for i, text in enumerate(texts)]
    data_dir = write_tfds(tmp_path, "one_text", features, {"train": examples})
    for staging in ("", tmp_path / "staged"):
        found = read("one_text", data_dir, staging)
        rejects = [row for row in found if isinstance(row, Reject)]
        assert sorted(row.message for row in rejects) == [
            "empty caption", "not valid UTF-8: A caf\\xe9",
        ]  # fmt: skip
        mentions = [row for row in found if isinstance(row, Mention)]
        assert sorted(row.image_id for row in mentions) == [f"train:{i}" for i in range(4)]
        assert sorted(row.text for row in mentions) == ["", "", "A cat", "A dog"]
        assert {row.id for row in rejects} < {row.image_id for row in mentions}


def test_an_example_without_captions_is_a_reject_and_keeps_its_image(tmp_path):
    examples = [make_example(0, captions=[]), make_example(1)]
    data_dir = write_tfds(tmp_path, "coco_like", COCO, {"train": examples})
    found = read("coco_like", data_dir, tmp_path / "staged")
    assert [row.message for row in found if isinstance(row, Reject)] == ["empty caption"]
    [bare] = [row for row in found if isinstance(row, Mention) and not row.text]
    assert bare.image_id == "COCO_000000.jpg"
    assert read_image_bytes(bare.location) == encoded(0)


def test_the_only_split_of_a_data_set_is_none(tmp_path):
    data_dir = write_tfds(tmp_path, "coco_like", COCO, {"train": [make_example(i) for i in (1, 2)]})
    source = find("coco_like", data_dir)
    assert not source.has_splits and source.splits == ()


@pytest.mark.parametrize("staged", [True, False])
def test_an_image_is_its_bytes_and_not_its_name(tmp_path, staged):
    """Both splits number their files from 0, and two examples are of one picture."""
    splits = {
        "train": [make_example(n, **{"image/filename": f"{n}.jpg"}) for n in (0, 1)],
        "test": [
            make_example(n, image=encoded(n + k), **{"image/filename": f"{n}.jpg"})
            for n, k in ((0, 10), (1, 9), (2, 10), (3, -3))
        ],
    }
    data_dir = write_tfds(tmp_path, "coco_like", COCO, splits)
    source = find("coco_like", data_dir, tmp_path / "staged" if staged else "")
    found = [row for part in source.parts for row in source.read(part)][::2]
    by_name = {(row.split, row.image_id): row for row in found}
    assert by_name.keys() == {
        *(("train", f"{n}.jpg") for n in range(2)), *(("test", f"{n}.jpg") for n in range(4)),
    }  # fmt: skip
    # Numbers of the pictures: of train 0 and 1, of test 10, 10, 12 and 0.
    assert by_name["test", "0.jpg"].key == by_name["test", "1.jpg"].key
    assert len({row.key for row in found}) == 5
    one, other = by_name["train", "0.jpg"], by_name["test", "3.jpg"]
    assert one.content == other.content and one.key != other.key  # a leak, told elsewhere
    assert source.names_may_collide
    assert len({row.full_id for row in found}) == len({row.caption_id for row in found}) == 6


def test_an_id_that_is_asked_for_is_what_an_image_is(tmp_path):
    examples = [make_example(n, **{"image/id": 7}) for n in (1, 2)]
    data_dir = write_tfds(tmp_path, "coco_like", COCO, {"train": examples})
    found = read("coco_like", data_dir, id="image/id")
    assert {row.key for row in found} == {"7"}
    assert len({row.content for row in found}) == 2  # for the join to refuse


def test_splits_go_by_the_names_that_are_given(coco):
    names = make_split_names(LEAVE_OUT, {"Val": "test"})
    source = find("coco_captions", coco, names=names)
    found = [row for part in source.parts for row in source.read(part)]
    assert {row.caption_id.split(":")[0]: row.split for row in found} == {
        "train": "train", "restval": LEAVE_OUT, "val": "test", "test": "test",
    }  # fmt: skip
    assert source.splits == (LEAVE_OUT, "test", "train")


def test_by_hash_the_splits_of_tfds_are_not_looked_at(coco, tmp_path):
    source = find("coco_captions", coco, names={})
    found = [row for part in source.parts for row in source.read(part)]
    assert not source.has_splits and {row.split for row in found} == {""}
    splits = {split: [make_example(5), make_example(6)] for split in ("train", "test")}
    data_dir = write_tfds(tmp_path, "coco_like", COCO, splits)
    assert len({row.key for row in read("coco_like", data_dir, names={})}) == 2


@pytest.mark.parametrize(
    "name, split",
    [
        ("train", "train"), ("train2017", "train"), ("restval", "train"), ("val", "validation"),
        ("validation", "validation"), ("validation_unseen", "validation"), ("dev", "validation"),
        ("test", "test"), ("test2015", "test"), ("unlabelled", ""), ("minival", ""),
    ],
)  # fmt: skip
def test_splits_go_by_the_beginning_of_their_name(name, split):
    assert split_of(name, NAMES) == split
    assert split_of(name, {}) == ""
    assert split_of(name, make_split_names("train", {name.upper(): LEAVE_OUT})) == LEAVE_OUT


def test_a_data_set_that_is_not_prepared_is_named_with_what_is_there(coco):
    command = f"`tfds build flickr30k --data_dir={coco}`"
    assert_refused("flickr30k", coco, "not prepared", coco, "coco_captions", command)


@pytest.mark.parametrize("name", ["coco_captions/2017", "coco_captions:2.0.0"])
def test_another_configuration_or_version_is_not_taken_instead(coco, name):
    assert_refused(name, coco, "not prepared", f"tfds build {name}")


def test_a_directory_that_is_not_there_holds_nothing(tmp_path):
    assert_refused("coco_captions", tmp_path / "no", tmp_path / "no", "nothing")


def test_a_name_that_tfds_cannot_parse_is_refused(coco):
    assert_refused("../coco captions", coco, "Parsing builder name string")


def test_another_file_format_is_refused(tmp_path):
    examples = [make_example(i) for i in range(2)]
    data_dir = write_tfds(
        tmp_path, "coco_like", COCO, {"train": examples}, file_format="array_record"
    )
    assert_refused("coco_like", data_dir, "array_record", "tfrecord")


@pytest.mark.parametrize("damage", ["cut", "flip", "gone"])
def test_a_damaged_shard_is_named(tmp_path, damage):
    examples = [make_example(i) for i in range(4)]
    data_dir = write_tfds(tmp_path, "coco_like", COCO, {"train": examples})
    source = find("coco_like", data_dir, tmp_path / "staged")
    part = source.parts[1]
    path = part[3]
    size = os.path.getsize(path)
    with open(path, "r+b") as file:
        if damage == "cut":
            file.truncate(size - 10)
        else:
            file.seek(size // 2)
            file.write(b"\xff" * 8)
    if damage == "gone":
        os.remove(path)
    with pytest.raises(InputError) as error:
        list(source.read(part))
    assert path in str(error.value)
    assert len(list(source.read(source.parts[0]))) == 4
    assert not [name for name in os.listdir(tmp_path / "staged") if ".incomplete-" in name]


def test_tfds_is_quiet(coco, tmp_path, caplog, monkeypatch):
    monkeypatch.setattr(logging.get_absl_logger(), "handlers", [caplog.handler])
    before = logging.get_verbosity()
    logging.set_verbosity(logging.INFO)
    try:
        read("coco_captions", coco, tmp_path / "staged")
        assert [record.message for record in caplog.records] == []
        assert logging.get_verbosity() == logging.INFO
        tfds.builder_from_directory(os.path.join(coco, "coco_captions", "2014", "1.0.0"))
        assert caplog.records  # or the test would see nothing
    finally:
        logging.set_verbosity(before)
