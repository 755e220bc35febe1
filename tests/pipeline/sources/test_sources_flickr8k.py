"""Flickr8k on disk: both layouts, its lists of splits, and what is missing."""

import os

import pytest
from flickr8k_files import CSV, NAMES, make_source, write

from pipeline.config import LEAVE_OUT
from pipeline.sources.flickr8k import CSV_FILE, SPLIT_FILES, TOKEN_FILE, find_flickr8k, read_part
from pipeline.sources.mentions import Mention, Source
from pipeline.sources.split_names import make_split_names
from tfrecords_schema.errors import InputError


@pytest.mark.parametrize("text", ["", "Flickr8k_text"])
@pytest.mark.parametrize("images", ["Flicker8k_Dataset", "Flickr8k_Dataset", "Images", "images"])
def test_the_token_layout_is_found(tmp_path, text, images):
    root = make_source(tmp_path, text=text, images=images)
    captions_file = os.path.join(root, text, TOKEN_FILE)
    image_directory = os.path.join(root, images)
    lists = [(split, os.path.join(root, text, name)) for split, name in SPLIT_FILES.items()]
    assert find_flickr8k(str(root), NAMES) == Source(
        parts=[("tokens", captions_file), ("images", image_directory), *lists],
        read=read_part,
        captions=captions_file,
        images=image_directory,
        splits_by="its lists, " + ", ".join(path for _, path in lists),
        splits=("train", "validation", "test"),
    )


@pytest.mark.parametrize("text", ["", "Flickr8k_text"])
def test_the_csv_layout_is_found_and_has_no_splits(tmp_path, text):
    root = make_source(tmp_path, CSV_FILE, text=text, images="Images", splits=False)
    captions_file = os.path.join(root, text, CSV_FILE)
    image_directory = os.path.join(root, "Images")
    assert find_flickr8k(str(root), NAMES) == Source(
        parts=[("csv", captions_file), ("images", image_directory)],
        read=read_part,
        captions=captions_file,
        images=image_directory,
    )


def test_the_token_file_is_taken_where_both_are_there(tmp_path):
    root = make_source(tmp_path)
    write(root / CSV_FILE, CSV)
    assert find_flickr8k(str(root), NAMES).captions == os.path.join(root, TOKEN_FILE)


def test_splits_for_development_and_test_may_be_missing(tmp_path):
    root = make_source(tmp_path)
    (root / SPLIT_FILES["validation"]).unlink()
    (root / SPLIT_FILES["test"]).unlink()
    source = find_flickr8k(str(root), NAMES)
    assert [kind for kind, _ in source.parts] == ["tokens", "images", "train"]
    assert source.has_splits and source.splits == ("train",)


def test_lists_go_by_the_names_that_are_given(tmp_path):
    root = make_source(tmp_path)
    names = make_split_names("train", {"dev": "train", "test": LEAVE_OUT})
    source = find_flickr8k(str(root), names)
    assert [kind for kind, _ in source.parts] == ["tokens", "images", "train", "train", LEAVE_OUT]
    assert source.splits == ("train", LEAVE_OUT)


def assert_not_found(directory, *named):
    with pytest.raises(InputError) as error:
        find_flickr8k(str(directory), NAMES)
    message = str(error.value)
    assert message.startswith("--input")
    for text in named:
        assert str(text) in message


def test_a_missing_directory_is_named(tmp_path):
    assert_not_found(tmp_path / "nowhere", tmp_path / "nowhere", "does not exist")


def test_an_empty_directory_is_named(tmp_path):
    assert_not_found(tmp_path, tmp_path, "empty")


def test_a_file_in_place_of_the_directory_is_named(tmp_path):
    assert_not_found(write(tmp_path / "file", "x"), tmp_path / "file")


def test_a_path_on_no_known_filesystem_is_named():
    assert_not_found("nowhere://pictures", "nowhere://pictures")


def test_a_missing_captions_file_is_named(tmp_path):
    root = make_source(tmp_path)
    (root / TOKEN_FILE).unlink()
    assert_not_found(root, root, TOKEN_FILE, CSV_FILE)


def test_missing_images_are_named(tmp_path):
    root = make_source(tmp_path, images="pictures")
    assert_not_found(root, root, "Flicker8k_Dataset", "Images")


def test_a_data_set_of_text_needs_no_images(tmp_path):
    root = make_source(tmp_path, images="pictures")
    source = find_flickr8k(str(root), NAMES, needs_images=False)
    assert [kind for kind, _ in source.parts] == ["tokens", "train", "validation", "test"]
    assert source.images == ""


def test_an_empty_directory_of_images_is_not_called_missing(tmp_path):
    root = make_source(tmp_path, images="pictures")
    (root / "Images").mkdir()
    assert_not_found(root, root / "Images", "is there, but has no file in it")


def test_a_missing_training_split_is_named(tmp_path):
    root = make_source(tmp_path)
    (root / SPLIT_FILES["train"]).unlink()
    assert_not_found(root, SPLIT_FILES["test"], "but not", SPLIT_FILES["train"])


@pytest.mark.parametrize("content", ["", "\n", " \r\n\n", b"\xef\xbb\xbf"])
def test_an_empty_captions_file_is_named(tmp_path, content):
    root = make_source(tmp_path)
    write(root / TOKEN_FILE, content)
    assert_not_found(root, root / TOKEN_FILE, "is empty")


@pytest.mark.parametrize("first", ["a.jpg,A dog .", "image;caption", "image,comment_number,text"])
def test_a_csv_without_its_header_is_refused_with_what_it_has(tmp_path, first):
    root = make_source(tmp_path, CSV_FILE, splits=False)
    write(root / CSV_FILE, f"{first}\nb.jpg,A cat .\n")
    assert_not_found(root, root / CSV_FILE, repr(first), "image,caption")


def test_a_csv_header_that_is_not_utf8_is_refused(tmp_path):
    root = make_source(tmp_path, CSV_FILE, splits=False)
    write(root / CSV_FILE, b"image,caption\xe9\na.jpg,A dog .\n")
    assert_not_found(root, root / CSV_FILE, "xe9'", "must be 'image,caption'")


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("split", SPLIT_FILES)
def test_image_names_are_read_one_a_line(tmp_path, end, mark, split):
    lines = ["a.jpg", "", " b.png ", "a.jpg", "犬.jpg"]
    path = write(tmp_path / "names", mark + end.join(lines).encode())
    assert list(read_part((split, path))) == [
        Mention(name, split=split, is_listing=True)
        for name in ("a.jpg", "b.png", "a.jpg", "犬.jpg")
    ]


def test_an_image_name_that_is_not_utf8_is_kept_in_a_form_that_can_be_written(tmp_path):
    path = write(tmp_path / "names", b"caf\xe9.jpg\nb.jpg\n")
    names = [mention.key for mention in read_part(("test", path))]
    assert names == ["caf\\xe9.jpg", "b.jpg"]


def test_every_image_file_is_mentioned_with_its_path(tmp_path):
    for name in ("a.jpg", "b.PNG", "notes.txt"):
        write(tmp_path / name, b"x")
    assert sorted(read_part(("images", str(tmp_path)))) == [
        Mention(name, uri=os.path.join(tmp_path, name)) for name in ("a.jpg", "b.PNG")
    ]


def test_wildcards_in_the_input_are_refused(tmp_path):
    (tmp_path / "my[1]").mkdir()
    with pytest.raises(InputError, match="takes as wildcards"):
        find_flickr8k(str(tmp_path / "my[1]"), NAMES)
