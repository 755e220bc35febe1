"""Names of splits: in tables, in the names of files and in those of folders."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.config import LEAVE_OUT
from pipeline.sources.split_names import (
    known_names,
    make_split_names,
    split_of_path,
    splits_of_paths,
)
from tfrecords_schema.errors import InputError
from tfrecords_schema.shards import SPLITS

NAMES = make_split_names("train", None)


def test_the_usual_names_are_known():
    assert NAMES == {
        "train": "train", "training": "train", "restval": "train",
        "validation": "validation", "val": "validation", "valid": "validation",
        "dev": "validation", "eval": "validation", "test": "test", "testing": "test",
    }  # fmt: skip


def test_given_names_of_splits_win_over_the_usual_names():
    names = make_split_names(
        LEAVE_OUT, {"Dev": "test", "MINIVAL": "validation", "val": "leave_out"}
    )
    assert (names["restval"], names["dev"], names["minival"]) == (LEAVE_OUT, "test", "validation")
    assert (names["val"], names["train"]) == (LEAVE_OUT, "train")
    assert make_split_names(LEAVE_OUT, {"restval": "validation"})["restval"] == "validation"
    assert make_split_names("train", {}) == NAMES


def test_a_message_shows_the_names_and_how_to_give_another():
    message = known_names(make_split_names("train", {"minival": "validation"}))
    for name in ("train", "restval", "dev", "minival", "--split_names=NAME=train"):
        assert name in message


@pytest.mark.parametrize(
    "path, split",
    [
        ("d/train-000001.tar", "train"),
        ("d/train-00000-of-00001.parquet", "train"),
        ("d/mscoco-val-00.tar", "validation"),
        ("d/cc3m_Validation_0.tar", "validation"),
        ("d/flickr.dev.tar", "validation"),
        ("d/test2014_7.tar", "test"),
        ("annotations/captions_val2014.json", "validation"),
        ("annotations/nocaps_val_4500_captions.json", "validation"),
        ("train.json", "train"),
        ("d/coco_restval.csv", "train"),
        ("d/train-training.csv", "train"),
        ("d/000.tar", ""),
        ("d/contest-latest-0.tar", ""),
        ("d/trainset.csv", ""),
        ("d/minival.csv", ""),
        ("gs://b/train/000.tar", "train"),
        ("gs://b/coco/val/000.tar", "validation"),
        ("gs://b/VAL/000.tar", "validation"),
        ("gs://train/x/000.tar", ""),
        ("home/test-run/000.tar", ""),
        ("home/train/x/000.tar", ""),
        ("test/train-0.tar", "train"),
        ("data/dev/metadata.csv", "validation"),
        ("000.tar", ""),
        ("/train/000.tar", "train"),
    ],
)
def test_the_split_is_a_word_in_the_name_of_the_file_or_all_of_its_folders_name(path, split):
    assert split_of_path(path, NAMES) == split


@pytest.mark.parametrize(
    "path, split",
    [
        ("d/minival.csv", "validation"),
        ("d/coco-minival-3.csv", "validation"),
        ("d/part_1.csv", "test"),  # the whole name but its suffixes, digits and all
        ("d/PART_1.csv.gz", "test"),
        ("part_1/0.csv", "test"),
        ("d/part_1_more.csv", ""),
        ("d/restval-0.csv", LEAVE_OUT),
        ("restval/0.csv", LEAVE_OUT),
    ],
)
def test_names_that_are_given_are_found_in_paths_too(path, split):
    given = {"minival": "validation", "part_1": "test"}
    assert split_of_path(path, make_split_names(LEAVE_OUT, given)) == split


@pytest.mark.parametrize("path", ["train/test.csv", "gs://b/val/train-0.tar", "train-val-0.tar"])
def test_without_names_no_path_says_a_split(path):
    assert split_of_path(path, {}) == ""


@pytest.mark.parametrize(
    "name, splits",
    [
        ("train-val-0.tar", "train and validation"),
        ("test_dev.json", "test and validation"),
        ("val.train.test.csv", "test and train and validation"),
    ],
)
def test_a_name_that_says_two_splits_is_refused(name, splits):
    with pytest.raises(InputError) as error:
        split_of_path(f"d/{name}", NAMES)
    for text in (f"--input: d/{name}", splits, "--split_fractions"):
        assert text in str(error.value)


def test_all_paths_say_a_split_or_none_does():
    assert splits_of_paths(["train-0.csv", "test/0.csv"], NAMES) == ["train", "test"]
    assert splits_of_paths(["d/0.csv", "d/1.csv"], NAMES) == ["", ""]
    assert splits_of_paths([], NAMES) == []
    for paths in (["d/0.csv", "d/train-0.csv"], ["d/train-0.csv", "e/val-0.csv", "d/0.csv"]):
        with pytest.raises(InputError) as error:
            splits_of_paths(paths, NAMES)
        for text in ("--input: d/train-0.csv", "d/0.csv none", "--split_fractions"):
            assert text in str(error.value)


@given(st.text(), st.text(), st.sampled_from(list(NAMES)))
def test_whatever_a_path_is_its_split_is_one_or_none_or_refused(folder, name, known):
    for path in (f"{folder}/{name}", f"{folder}/{known}-{name}", f"{known}/{name}"):
        try:
            assert split_of_path(path, NAMES) in ("", *SPLITS)
        except InputError as error:
            assert " and " in str(error)
