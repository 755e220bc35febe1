"""COCO captions that are refused: what is missing, damaged or does not fit is named."""

import json

import pytest
from coco_files import annotation, captions, find, image_entry, write, write_captions, write_image

from pipeline.config import LEAVE_OUT
from pipeline.sources.coco import ANNOTATIONS, IMAGES, CocoPart, read_part
from pipeline.sources.split_names import make_split_names
from tfrecords_schema.errors import InputError


def assert_not_found(directory, image_directory, *named):
    with pytest.raises(InputError) as error:
        find(directory, image_directory)
    for text in named:
        assert str(text) in str(error.value)


def test_a_missing_directory_is_named(tmp_path):
    assert_not_found(tmp_path / "nowhere", "", "--input", tmp_path / "nowhere", "does not exist")


def test_a_missing_image_directory_is_named(tmp_path):
    write_captions(tmp_path, "train2014")
    assert_not_found(
        tmp_path, tmp_path / "x", "--image_directory", tmp_path / "x", "does not exist"
    )


def test_wildcards_are_taken_for_a_pattern_of_captions_files_and_refused_for_images(tmp_path):
    path = write_captions(tmp_path / "text", "train2014")
    write_image(tmp_path / "train2014", "train2014")
    write_image(tmp_path / "my[1]", "train2014")
    assert find(tmp_path / "t[e]xt" / "captions_*", tmp_path).captions == path
    assert_not_found(tmp_path / "text" / "no*", "", "--input", "matches no file")
    assert_not_found(
        tmp_path / "text", tmp_path / "my[1]", "--image_directory", "takes as wildcards"
    )


def test_missing_captions_are_named(tmp_path):
    write(tmp_path / "annotations" / "instances_train2014.json", "{}")
    assert_not_found(tmp_path, "", "--input", tmp_path, "annotations", "captions_*.json")


@pytest.mark.parametrize(
    "name", ["captions_minival2014.json", "captions_.json", "captions_trains.json"]
)
def test_a_file_that_names_no_split_where_others_do_is_refused(tmp_path, name):
    write_captions(tmp_path, "train2014")
    write_image(tmp_path / "train2014", "train2014")
    write(tmp_path / name, captions([image_entry(1)], [annotation(1, 1)]))
    assert_not_found(
        tmp_path, "", "--input", tmp_path / name, "names a split and", "--split_fractions"
    )


@pytest.mark.parametrize("second", ["train2017", "val2017"])
def test_files_of_two_years_are_refused_for_they_share_images(tmp_path, second):
    for release in ("train2014", second):
        write_captions(tmp_path, release)
        write_image(tmp_path / release, release)
    assert_not_found(tmp_path, "", "--input", "2014 and 2017", f"captions_{second}.json")


def test_missing_images_of_one_file_are_named(tmp_path):
    for release in ("train2014", "val2014"):
        write_captions(tmp_path, release)
    write_image(tmp_path / "train2014", "train2014")
    named = ("--input", tmp_path, "val2014", "images/val2014", "--image_directory")
    assert_not_found(tmp_path, "", *named)


def test_a_split_without_captions_is_refused_with_the_way_to_leave_it_out(tmp_path):
    """As nocaps publishes its test split."""
    write(tmp_path / "train.json", captions([image_entry(1)], [annotation(1, 1)]))
    path = write(tmp_path / "nocaps_test_image_info.json", json.dumps({IMAGES: [image_entry(2)]}))
    write_image(tmp_path / "images", "train2014", 1)
    assert_not_found(tmp_path, "", path, "no `caption`", "--split_names=test=leave_out")
    source = find(tmp_path, names=make_split_names("train", {"test": LEAVE_OUT}))
    assert source.splits == ("train",)


@pytest.mark.parametrize(
    "content",
    [
        '[{"image_id": 1, "caption": "A man ."}]',  # COCO's format of results
        '{"annotations": [{"id": 1}]}',
        '{"images": [], "annotations": []}',
        '{"images": 3}',
        "",
        "captions",
    ],
)
def test_a_file_that_does_not_begin_as_one_of_captions_is_refused_at_once(tmp_path, content):
    path = write(tmp_path / "captions_train2014.json", content)
    write_image(tmp_path / "train2014", "train2014")
    assert_not_found(tmp_path, "", path)


def test_a_file_without_annotations_is_refused_when_it_is_read(tmp_path):
    path = write(tmp_path / "captions_test2014.json", '{"images": [{"id": 1}]}')
    with pytest.raises(InputError, match="list 'annotations' with entries") as error:
        list(read_part(CocoPart(path, ANNOTATIONS, "test", "")))
    assert path in str(error.value)


@pytest.mark.parametrize("name", [IMAGES, ANNOTATIONS])
def test_a_file_that_is_cut_off_is_refused_when_it_is_read(tmp_path, name):
    annotations = [annotation(id, 1) for id in range(5000)]
    content = captions([image_entry(n) for n in range(30)], annotations)[:-10]
    path = write(tmp_path / "captions_train2014.json", content)
    write_image(tmp_path / "train2014", "train2014")
    source = find(tmp_path)
    [part] = [part for part in source.parts if part.name == name]
    with pytest.raises(
        InputError, match=rf"no valid JSON: line 1, column {len(content)} \(byte {len(content)}\)"
    ) as error:
        list(source.read(part))
    assert path in str(error.value)
