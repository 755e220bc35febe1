"""COCO captions on disk: its layouts, the names of its files, and its splits."""

import json
import os

import pytest
from coco_files import (
    annotation,
    captions,
    find,
    image_entry,
    read,
    write,
    write_captions,
    write_image,
)
from joined_source import joined

from pipeline.config import LEAVE_OUT
from pipeline.sources.coco import ANNOTATIONS, IMAGES, CocoPart
from pipeline.sources.split_names import make_split_names
from tfrecords_schema.errors import InputError


def both_lists(path, split, images, file=""):
    return [CocoPart(path, name, split, images, file) for name in (IMAGES, ANNOTATIONS)]


@pytest.mark.parametrize("annotations", ["", "annotations"])
@pytest.mark.parametrize("images", ["", "images"])
@pytest.mark.parametrize("year", ["2014", "2017", ""])
def test_the_layout_is_found_with_its_splits(tmp_path, annotations, images, year):
    expected = []
    for release, split in (("test", "test"), ("train", "train"), ("val", "validation")):
        path = write_captions(tmp_path / annotations, release + year)
        folder = write_image(tmp_path / images / (release + year), release + year)
        expected += both_lists(path, split, folder, release + year)
    write(tmp_path / annotations / "instances_train2014.json", "{}")
    source = find(tmp_path)
    assert source.parts == expected
    assert source.has_splits and source.splits == ("test", "train", "validation")
    assert source.names_may_collide and source.keys_are_references
    assert source.images == str(tmp_path)
    assert all(part.path in source.captions for part in source.parts)


def test_files_in_the_directory_come_before_those_in_annotations(tmp_path):
    path = write_captions(tmp_path, "train2014")
    write_captions(tmp_path / "annotations", "val2014")
    write_image(tmp_path / "train2014", "train2014")
    assert {part.path for part in find(tmp_path).parts} == {path}


def test_images_may_lie_elsewhere_in_a_folder_a_release(tmp_path):
    path = write_captions(tmp_path / "text", "train2014")
    folder = write_image(tmp_path / "pictures" / "train2014", "train2014")
    write_image(tmp_path / "text" / "train2014", "train2014")
    source = find(tmp_path / "text", tmp_path / "pictures")
    assert source.parts == both_lists(path, "train", folder)
    assert source.images == str(tmp_path / "pictures")


def test_images_may_lie_elsewhere_all_in_one_folder(tmp_path):
    paths = [write_captions(tmp_path / "text", release) for release in ("train2017", "val2017")]
    folder = write_image(tmp_path / "pictures", "train2017")
    source = find(tmp_path / "text", folder)
    assert source.parts == [
        *both_lists(paths[0], "train", folder, "train2017"),
        *both_lists(paths[1], "validation", folder, "val2017"),
    ]


def test_lists_are_found_in_any_order_and_beside_others(tmp_path):
    content = {ANNOTATIONS: [annotation(1, 2)], "x": {IMAGES: [3]}, IMAGES: [image_entry(2)]}
    path = write(tmp_path / "captions_train2014.json", json.dumps(content))
    write_image(tmp_path / "train2014", "train2014")
    source = find(tmp_path)
    assert [mention.key for mention in read(source)] == ["2", "2"]
    assert source.captions == path


@pytest.mark.parametrize("name", ["train2014/a.jpg", "./train2014/a.jpg", "x/../train2014//a.jpg"])
@pytest.mark.parametrize("images", ["", "images"])
def test_a_file_name_may_hold_its_folder(tmp_path, name, images):
    content = captions([{"id": 1, "file_name": name}], [annotation(1, 1)])
    write(tmp_path / "captions_train2014.json", content)
    path = write(tmp_path / images / "train2014" / "a.jpg", b"image")
    [image], rejects = joined(find(tmp_path))
    assert (image.location, image.split, rejects) == (path, "train", [])


def test_a_folder_of_the_split_may_be_called_as_the_split(tmp_path):
    for folder in ("train", "images/train"):
        root = tmp_path / folder.partition("/")[0]
        write(root / "captions_train2014.json", captions([image_entry(1)], [annotation(1, 1)]))
        write_image(root / folder, "train2014", 1)
        [image], _ = joined(find(root))
        assert image.location.startswith(str(root / folder))


def test_a_directory_of_links_is_followed(tmp_path):
    write_captions(tmp_path / "text", "train2014")
    write_image(tmp_path / "disk" / "pictures", "train2014")
    (tmp_path / "text" / "train2014").symlink_to(tmp_path / "disk" / "pictures")
    [image], rejects = joined(find(tmp_path / "text"))
    assert os.path.isfile(image.location) and not rejects
    os.makedirs(tmp_path / "links" / "train2014")
    write_captions(tmp_path / "links", "train2014")
    for path in (tmp_path / "disk" / "pictures").iterdir():
        (tmp_path / "links" / "train2014" / path.name).symlink_to(path)
    [image], rejects = joined(find(tmp_path / "links"))
    assert os.path.isfile(image.location) and not rejects


def test_the_folder_in_which_the_names_are_found_is_taken(tmp_path):
    names = [f"{n}.jpg" for n in range(30)]
    images = [{"id": n, "file_name": name} for n, name in enumerate(names)]
    write(tmp_path / "captions_train2014.json", captions(images, [annotation(1, 1)]))
    write(tmp_path / "train2014" / "other.txt", b"x")
    write(tmp_path / "images" / "train2014" / names[7], b"image")  # the first are missing
    assert {part.images for part in find(tmp_path).parts} == {
        str(tmp_path / "images" / "train2014")
    }


def test_a_folder_of_images_that_has_none_of_them_is_taken_for_the_missing_to_be_named(tmp_path):
    write_captions(tmp_path, "train2014")
    write(tmp_path / "train2014" / "other.jpg", b"image")
    [image], _ = joined(find(tmp_path))  # opening it will say what is missing
    assert image.location.startswith(str(tmp_path / "train2014"))


@pytest.mark.parametrize(
    "name, split",
    [
        ("train.json", "train"),  # VizWiz
        ("val.json", "validation"),
        ("nocaps_val_4500_captions.json", "validation"),
        ("nocaps_test_image_info.json", "test"),
        ("mine.json", ""),
    ],
)
@pytest.mark.parametrize("folder", ["", "annotations"])
def test_captions_files_may_have_other_names(tmp_path, name, split, folder):
    content = captions([{"id": 1, "file_name": "a.jpg"}], [annotation(1, 1)])
    path = write(tmp_path / folder / name, content)
    write(tmp_path / folder / "instances_train2014.json", captions([image_entry(1)], [{"id": 1}]))
    write(tmp_path / folder / "notes.json", '{"images": 3}')
    write(tmp_path / "a.jpg", b"image")
    for asked in (tmp_path, path, tmp_path / folder / f"*{name[2:]}"):
        source = find(asked)
        assert source.parts == both_lists(path, split, str(tmp_path))
        assert source.splits == (split,) * bool(split)
        assert source.has_splits == bool(split)
        assert not source.keys_are_references and not source.names_may_collide


def test_files_that_are_called_as_cocos_come_before_others(tmp_path):
    path = write_captions(tmp_path / "annotations", "train2014")
    write(tmp_path / "val.json", captions([image_entry(2)], [annotation(2, 2)]))
    write_image(tmp_path / "train2014", "train2014")
    assert {part.path for part in find(tmp_path).parts} == {path}


def test_splits_go_by_the_names_that_are_given(tmp_path):
    for name in ("captions_minival.json", "captions_train.json", "captions_test.json"):
        write(tmp_path / name, captions([{"id": 1, "file_name": "a.jpg"}], [annotation(1, 1)]))
    write(tmp_path / "a.jpg", b"image")
    names = make_split_names("train", {"minival": "validation", "test": LEAVE_OUT})
    source = find(tmp_path, names=names)
    assert source.splits == ("train", "validation")
    assert {os.path.basename(part.path) for part in source.parts} == {
        "captions_minival.json", "captions_train.json",
    }  # fmt: skip
    everything = make_split_names("train", dict.fromkeys(("minival", "train", "test"), LEAVE_OUT))
    with pytest.raises(InputError, match="--split_names leaves out every captions file"):
        find(tmp_path, names=everything)


def test_by_hash_no_name_of_a_file_says_a_split(tmp_path):
    for name in ("captions_minival.json", "captions_train.json", "captions_train_val.json"):
        write(tmp_path / name, captions([{"id": 1, "file_name": "a.jpg"}], [annotation(1, 1)]))
    write(tmp_path / "a.jpg", b"image")
    source = find(tmp_path, names={})
    assert {one.split for one in read(source)} == {""}
    assert (source.has_splits, source.splits) == (False, ())


def test_a_data_set_of_text_needs_no_images(tmp_path):
    for name in ("train2014", "val2014"):
        write_captions(tmp_path, name, 1)
    source = find(tmp_path, needs_images=False)
    found = read(source)
    assert len({one.uri for one in found if one.uri}) == 2  # the paths still tell them apart
    assert not any(os.path.exists(one.uri) for one in found if one.uri)
