"""Karpathy's splits: where the file and its images are found, and what is missing."""

import json
import os

import pytest
from karpathy_files import NAMES, entry_of, write, write_dataset

from pipeline.sources.karpathy import IMAGE_DIRECTORIES, KarpathyPart, find_karpathy
from tfrecords_schema.errors import InputError


@pytest.mark.parametrize("name", ["flickr8k", "flickr30k"])
@pytest.mark.parametrize("images", [*IMAGE_DIRECTORIES, ""])
@pytest.mark.parametrize("is_file", [True, False])
def test_images_beside_the_file_are_found(tmp_path, name, images, is_file):
    path = write_dataset(tmp_path, name=name)
    write(tmp_path / images / "a.jpg")
    source = find_karpathy(path if is_file else str(tmp_path), "", NAMES)
    [part] = source.parts
    assert part == KarpathyPart(path, os.path.join(tmp_path, images).rstrip("/"), NAMES)
    assert (source.captions, source.images) == (path, part.images)
    assert source.splits_by == "the field `split`"
    assert source.names_may_collide and not source.keys_are_references


@pytest.mark.parametrize("images", ["", "images"])
def test_folders_of_coco_are_found(tmp_path, images):
    write_dataset(tmp_path, entry_of("b.jpg", filepath="val2014"), name="coco")
    write(tmp_path / images / "val2014" / "a.jpg")
    source = find_karpathy(str(tmp_path), "", NAMES)
    assert source.images == os.path.join(tmp_path, images).rstrip("/")


def test_the_directory_with_the_folder_of_coco_is_taken(tmp_path):
    write_dataset(tmp_path, entry_of(filepath="val2014"), name="coco")
    write(tmp_path / "images" / "a.jpg")
    write(tmp_path / "Images" / "val2014" / "a.jpg")
    assert find_karpathy(str(tmp_path), "", NAMES).images == str(tmp_path / "Images")


@pytest.mark.parametrize("folder", ["", "val2014"])
def test_images_may_lie_elsewhere(tmp_path, folder):
    path = write_dataset(tmp_path / "text", entry_of(filepath=folder), name="coco")
    write(tmp_path / "text" / "images" / folder / "a.jpg")
    write(tmp_path / "elsewhere" / folder / "b.jpg")
    source = find_karpathy(str(tmp_path / "text"), str(tmp_path / "elsewhere"), NAMES)
    assert source.parts == [KarpathyPart(path, str(tmp_path / "elsewhere"), NAMES)]


def test_a_file_in_the_working_directory_is_found(tmp_path, monkeypatch):
    write_dataset(tmp_path)
    write(tmp_path / "images" / "a.jpg")
    monkeypatch.chdir(tmp_path)
    source = find_karpathy("dataset_flickr8k.json", "", NAMES)
    [listing, _] = source.read(*source.parts)
    assert os.path.samefile(listing.uri, tmp_path / "images" / "a.jpg")


def assert_not_found(path, image_directory, *named):
    with pytest.raises(InputError) as error:
        find_karpathy(str(path), str(image_directory), NAMES)
    for text in named:
        assert str(text) in str(error.value)


@pytest.mark.parametrize("name", ["nowhere", "dataset_coco.json"])
def test_a_missing_input_is_named(tmp_path, name):
    assert_not_found(tmp_path / name, "", "--input", tmp_path / name, "dataset_*.json")


def test_a_scheme_that_nobody_knows_is_named():
    assert_not_found("nowhere://data", "", "--input", "nowhere://data")


def test_a_directory_without_the_file_is_named(tmp_path):
    write(tmp_path / "images" / "a.jpg")
    assert_not_found(tmp_path, "", "--input", tmp_path, "dataset_*.json", "none")


def test_a_directory_with_two_files_is_refused_with_both_names(tmp_path):
    both = [write_dataset(tmp_path, name=name) for name in ("coco", "flickr8k")]
    assert_not_found(tmp_path, "", "--input", "must hold one", *both)


def test_wildcards_are_refused(tmp_path):
    path = write_dataset(tmp_path)
    write(tmp_path / "my[1]" / "a.jpg")
    assert_not_found(tmp_path / "dataset_*.json", "", "--input", "takes as wildcards")
    assert_not_found(path, tmp_path / "my[1]", "--image_directory", "takes as wildcards")


def test_a_missing_image_directory_is_named(tmp_path):
    path = write_dataset(tmp_path)
    assert_not_found(path, tmp_path / "x", "--image_directory", tmp_path / "x", "does not exist")


def test_an_image_directory_without_the_folder_of_coco_is_named(tmp_path):
    path = write_dataset(tmp_path, entry_of(filepath="val2014"))
    write(tmp_path / "pictures" / "a.jpg")
    assert_not_found(path, tmp_path / "pictures", "--image_directory", "val2014", path)


@pytest.mark.parametrize("folder", ["", "val2014"])
def test_images_that_are_not_beside_the_file_are_named(tmp_path, folder):
    path = write_dataset(tmp_path, entry_of(filepath=folder))
    write(tmp_path / "pictures" / folder / "a.jpg")
    named = ("--input", path, folder or "a.jpg", "Flicker8k_Dataset", "--image_directory")
    assert_not_found(path, "", *named)


def test_a_file_without_one_named_image_is_refused(tmp_path):
    path = write_dataset(tmp_path, entry_of(None), {}, 3)
    assert_not_found(path, "", "--input", path, "filename")


def test_the_first_image_with_a_name_decides_where_the_images_are(tmp_path):
    path = write_dataset(tmp_path, entry_of(None), entry_of(filepath="val2014"))
    write(tmp_path / "images" / "val2014" / "a.jpg")
    assert find_karpathy(path, "", NAMES).images == str(tmp_path / "images")


@pytest.mark.parametrize("folder", ["", "val2014"])
def test_a_data_set_of_text_needs_no_images(tmp_path, folder):
    path = write_dataset(tmp_path, entry_of(filepath=folder))
    source = find_karpathy(path, "", NAMES, needs_images=False)
    assert source.images == str(tmp_path)
    assert [one.key for part in source.parts for one in source.read(part)] == [
        os.path.join(tmp_path, folder, "a.jpg")
    ] * 2


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"images": []}', "filename,split"])
def test_a_file_that_is_none_of_karpathys_is_named(tmp_path, content):
    path = write(tmp_path / "dataset_coco.json", content)
    assert_not_found(path, "", path)


def test_a_file_that_is_cut_off_is_named_with_the_place(tmp_path):
    write(tmp_path / "a.jpg")
    whole = json.dumps({"images": [entry_of()] * 1000})
    path = write(tmp_path / "dataset_coco.json", whole[:-1])
    source = find_karpathy(path, "", NAMES)
    with pytest.raises(
        InputError, match=rf"column {len(whole) - 1} \(byte {len(whole) - 1}\), after 1000 entries"
    ) as error:
        list(source.read(*source.parts))
    assert path in str(error.value)
