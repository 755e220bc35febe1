"""Folders of pictures with texts beside them."""

import os
import pickle

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.accounting.rejects import JOIN, Reject
from pipeline.config import LEAVE_OUT
from pipeline.sources.folder import find_folder
from pipeline.sources.split_names import make_split_names
from pipeline.text.join_captions import CaptionedImage, JoinRules, image_name, join_image
from tfrecords_schema.errors import InputError

NAMES = make_split_names("train", None)


def write(path, content=b"image"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return str(path)


def find(directory, caption_field="", text_captions="lines", names=NAMES):
    source = find_folder(str(directory), caption_field, text_captions, names)
    return pickle.loads(pickle.dumps(source))  # as it is shipped to the workers


def joined(source):
    """{id: captioned image or reject} and all other rejects."""
    mentions, rejects, images = {}, [], {}
    for part in source.parts:
        for found in source.read(part):
            if isinstance(found, Reject):
                rejects.append(found)
            else:
                mentions.setdefault(found.key, []).append(found)
    fractions = None if source.has_splits else (1.0, 0.0, 0.0)
    rules = JoinRules(source.captions, source.images, fractions, True, "coco")
    for key, said in mentions.items():
        for row in join_image(image_name(key, said, False), said, rules):
            if isinstance(row, Reject) and row.stage != JOIN:
                rejects.append(row)
            else:
                images.setdefault(row[0], []).append(row)
    return {name: rows[0] if len(rows) == 1 else rows for name, rows in images.items()}, rejects


def captions(directory, **flags):
    """{id: captions} of the images that can be used; nothing else must have come out."""
    images, rejects = joined(find(directory, **flags))
    assert not rejects
    assert all(isinstance(image, CaptionedImage) for image in images.values())
    return {name: image.captions for name, image in images.items()}


def assert_refused(directory, *named):
    with pytest.raises(InputError) as error:
        find(directory)
    for text in ("--input", *named):
        assert str(text) in str(error.value)


def test_a_picture_has_the_captions_of_the_text_beside_it(tmp_path):
    path = write(tmp_path / "dog.jpg")
    write(tmp_path / "dog.txt", "A dog .\n\n One  dog that runs . \r\n")
    write(tmp_path / "cat.PNG")
    write(tmp_path / "cat.caption", "A café cat")
    write(tmp_path / "hen.jpg")
    write(tmp_path / "hen.jpg.txt", "A hen")
    write(tmp_path / "notes.md", "no caption")
    source = find(tmp_path)
    images, rejects = joined(source)
    assert not rejects
    dog = CaptionedImage("dog.jpg", path, path, "train", ["A dog .", "One dog that runs ."])
    assert images["dog.jpg"] == dog
    assert {name: image.captions for name, image in images.items()} == {
        "dog.jpg": dog.captions, "cat.PNG": ["A café cat"], "hen.jpg": ["A hen"],
    }  # fmt: skip
    assert not source.has_splits and source.parts == [("", "")]
    assert source.captions == source.images == str(tmp_path)


def test_folders_that_are_called_as_splits_are_splits(tmp_path):
    for folder, number in (("train", 1), ("Val", 2), ("test/deep/er", 3)):
        write(tmp_path / folder / "0.jpg")
        write(tmp_path / folder / "0.txt", f"Number {number}")
    (tmp_path / "empty").mkdir()
    source = find(tmp_path)
    images, rejects = joined(source)
    assert {name: (image.split, image.captions) for name, image in images.items()} == {
        "train/0.jpg": ("train", ["Number 1"]),
        "Val/0.jpg": ("validation", ["Number 2"]),
        "test/deep/er/0.jpg": ("test", ["Number 3"]),
    }
    assert not rejects
    assert source.splits == ("test", "train", "validation")
    assert source.splits_by == "the names of its files or folders"


def test_names_of_folders_can_be_given(tmp_path):
    for folder in ("train", "mine", "more"):
        write(tmp_path / folder / "0.jpg")
        write(tmp_path / folder / "0.txt", "A dog")
    source = find(tmp_path, names=make_split_names("train", {"mine": "test", "More": LEAVE_OUT}))
    assert dict(source.parts) == {"train": "train", "mine": "test", "more": LEAVE_OUT}


def test_folders_not_called_as_splits_are_no_splits_and_part_of_the_id(tmp_path):
    for folder in ("a", "b"):
        write(tmp_path / folder / "0.jpg", folder)
        write(tmp_path / folder / "0.txt", f"A {folder} dog")
    write(tmp_path / "0.jpg")
    write(tmp_path / "0.txt", "A dog")
    assert captions(tmp_path) == {
        "a/0.jpg": ["A a dog"], "b/0.jpg": ["A b dog"], "0.jpg": ["A dog"],
    }  # fmt: skip
    assert not find(tmp_path).has_splits


@pytest.mark.parametrize("other", ["extra/0.jpg", "extra/deep/0.png", "0.jpg", "0.HEIC"])
def test_pictures_beside_the_folders_of_splits_are_refused(tmp_path, other):
    write(tmp_path / "train" / "0.jpg")
    write(tmp_path / other)
    where = "extra" if "/" in other else "the directory itself"
    assert_refused(tmp_path, tmp_path, "train", where, "--split_names", "--split_fractions")
    source = find(tmp_path, names={})  # by hash
    assert not source.has_splits and {split for _, split in source.parts} == {""}


def test_a_text_beside_the_folders_of_splits_is_of_no_split(tmp_path):
    write(tmp_path / "train" / "0.jpg")
    write(tmp_path / "train" / "0.txt", "A dog")
    write(tmp_path / "README.txt", "Pictures of dogs")
    assert captions(tmp_path) == {"train/0.jpg": ["A dog"]}


def test_a_text_without_a_picture_in_a_split_is_lost_there(tmp_path):
    write(tmp_path / "train" / "0.jpg")
    write(tmp_path / "val" / "0.txt", "A dog")
    images, _ = joined(find(tmp_path))
    assert [(name, image.split) for name, image in images.items()] == [
        ("train/0.jpg", "train"), ("val/0", "validation"),
    ]  # fmt: skip


def test_a_text_may_be_one_caption_with_line_breaks(tmp_path):
    write(tmp_path / "dog.jpg")
    write(tmp_path / "dog.txt", "A dog\n\nthat runs\n")
    assert captions(tmp_path, text_captions="whole") == {"dog.jpg": ["A dog that runs"]}


@pytest.mark.parametrize("field", ["alt", ".ALT"])
def test_texts_may_have_another_suffix(tmp_path, field):
    write(tmp_path / "dog.jpg")
    write(tmp_path / "dog.txt", "machine tags")
    write(tmp_path / "dog.alt", "A dog")
    assert captions(tmp_path, caption_field=field) == {"dog.jpg": ["A dog"]}


def test_two_texts_of_a_picture_are_both_its_captions(tmp_path):
    write(tmp_path / "dog.jpg")
    write(tmp_path / "dog.txt", "One\nTwo")
    write(tmp_path / "dog.caption", "Three")
    assert captions(tmp_path) == {"dog.jpg": ["Three", "One", "Two"]}


def test_two_pictures_of_one_text_are_refused_with_both_names(tmp_path):
    paths = [write(tmp_path / "dog.jpg", "one"), write(tmp_path / "dog.png", "other")]
    write(tmp_path / "dog.txt", "Whose is it ?")
    images, _ = joined(find(tmp_path))
    [rows] = images.values()
    assert [row.uri for row in rows] == paths
    assert {row.exception for row in rows} == {"TwoFilesError"}
    assert all(path in rows[0].message for path in paths)


def test_a_picture_without_a_text_and_a_text_without_a_picture_are_lost_in_their_split(tmp_path):
    write(tmp_path / "test" / "dog.jpg")
    write(tmp_path / "test" / "cat.txt", "A cat")
    write(tmp_path / "test" / "hen.jpg")
    write(tmp_path / "test" / "hen.txt", " \n")
    images, [empty] = joined(find(tmp_path))
    assert {name: (row.split, row.stage) for name, row in images.items()} == {
        "test/dog.jpg": ("test", JOIN), "test/cat": ("test", JOIN), "test/hen.jpg": ("test", JOIN),
    }  # fmt: skip
    assert "no usable caption" in images["test/dog.jpg"].message
    assert "has no image of this name" in images["test/cat"].message
    assert (empty.id, empty.message) == ("test/hen.txt", "empty caption")


def test_pictures_that_cannot_be_decoded_are_mentioned_for_the_decoder_to_name(tmp_path):
    for name in ("a.heic", "b.tiff", "c.avif"):
        write(tmp_path / name)
        write(tmp_path / f"{name[0]}.txt", "A dog")
    assert captions(tmp_path).keys() == {"a.heic", "b.tiff", "c.avif"}


def test_links_are_followed_and_other_encodings_read(tmp_path):
    write(tmp_path / "disk" / "0.jpg")
    write(tmp_path / "disk" / "0.txt", "Café 犬".encode("utf-16"))
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "train").symlink_to(tmp_path / "disk")
    assert captions(tmp_path / "in") == {"train/0.jpg": ["Café 犬"]}


def test_names_that_are_not_utf8_can_be_written(tmp_path):
    for name in (b"caf\xe9.jpg", b"caf\xe9.txt"):
        with open(os.path.join(os.fsencode(tmp_path), name), "wb") as file:
            file.write(b"A dog")
    [name] = captions(tmp_path)
    assert name == "caf\\xe9.jpg"


def test_an_input_that_is_no_directory_of_pictures_is_refused(tmp_path):
    assert_refused(tmp_path / "nowhere", "does not exist")
    (tmp_path / "empty").mkdir()
    assert_refused(tmp_path / "empty", "is there, but has no file in it")
    assert_refused(write(tmp_path / "a.jpg"), "is a file")


FOLDERS = st.sampled_from(["train", "val", "test"])
STEMS = st.sampled_from(["a", "b", "a.b", "été", "A"])


@settings(deadline=None, max_examples=50)
@given(st.dictionaries(st.tuples(FOLDERS, STEMS), st.tuples(st.booleans(), st.booleans())))
def test_each_picture_has_its_own_captions(tmp_path_factory, files):
    directory = tmp_path_factory.mktemp("folder")
    expected = {}
    for (folder, stem), (has_picture, has_text) in files.items():
        if has_picture:
            write(directory / folder / f"{stem}.jpg")
        if has_text:
            write(directory / folder / f"{stem}.txt", f"This is {stem} of {folder}")
        if has_picture and has_text:
            expected[f"{folder}/{stem}.jpg"] = NAMES[folder], [f"This is {stem} of {folder}"]
    if not any(has_picture for has_picture, _ in files.values()):
        return  # it is refused
    images, rejects = joined(find(directory))
    found = {n: (i.split, i.captions) for n, i in images.items() if isinstance(i, CaptionedImage)}
    assert found == expected
    lost = sum(one != other for one, other in files.values())
    assert len(images) == len(expected) + lost and not rejects
