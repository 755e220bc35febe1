"""How many files the mentions of an image name: one, or several that cost the image."""

import pytest
from image_mentions import CAT, DOG, ID, RULES, file, join, listing

from pipeline.accounting.rejects import JOIN, UNASSIGNED
from pipeline.text.join_captions import CaptionedImage, times_read


@pytest.mark.parametrize("is_listed", [True, False])
def test_captions_of_two_files_are_never_merged(is_listed):
    mentions = [file("b/a.jpg"), file("a/a.jpg"), CAT, DOG, *[listing("test")] * is_listed]
    one, two = join(mentions)
    split = "test" if is_listed else UNASSIGNED
    for row, uri in ((one, "a/a.jpg"), (two, "b/a.jpg")):
        assert row[:5] == (ID, uri, split, JOIN, "TwoFilesError")
        assert row.message == "a.jpg is the name of 2 files: a/a.jpg and b/a.jpg"
    assert times_read(mentions, RULES, split) == 2


def test_a_name_of_many_files_costs_each_and_shows_three():
    rows = join([*(file(f"{folder}/a.jpg") for folder in "edcba"), listing("train"), DOG])
    assert [row.uri for row in rows] == [f"{folder}/a.jpg" for folder in "abcde"]
    assert {row.message for row in rows} == {
        "a.jpg is the name of 5 files: a/a.jpg and b/a.jpg and c/a.jpg"
    }


def test_files_are_named_in_the_order_of_the_source():
    rows = join([file("a/a.jpg", order=9), file("b/a.jpg", order=3), listing("train")])
    assert [row.uri for row in rows] == ["b/a.jpg", "a/a.jpg"]


def test_one_file_by_two_paths_is_one_file():
    places = [file("images/x/../a.jpg"), file("./images//a.jpg"), file("images/a.jpg")]
    [image] = join([*places, listing("test"), DOG])
    assert isinstance(image, CaptionedImage)
    far = join([file("gs://b/x//a.jpg"), file("gs://b/x/a.jpg"), listing("test"), DOG])
    assert [row.exception for row in far] == ["TwoFilesError"] * 2  # in a bucket these are two


def test_equal_bytes_are_one_image_with_the_first_place():
    places = [
        file("rows.parquet#row=7", "p#bytes=70-79", "digest", order=7),
        file("rows.parquet#row=2", "p#bytes=20-29", "digest", order=2),
    ]
    [image] = join([*places, listing("test"), CAT, DOG])
    expected = CaptionedImage(
        ID, "rows.parquet#row=2", "p#bytes=20-29", "test", [DOG.text, CAT.text]
    )
    assert image == expected


def test_different_bytes_of_one_name_are_two_files():
    places = [file("a.jpg", "p#bytes=0-9", "one"), file("a.jpg", "p#bytes=10-19", "other")]
    rows = join([*places, listing("train"), DOG])
    assert [(row.stage, row.exception) for row in rows] == [(JOIN, "TwoFilesError")] * 2


def test_one_file_named_many_times_is_one_file():
    [image] = join([file(), file(), listing("test"), DOG])
    assert image.uri == "images/a.jpg"


def test_two_images_in_one_container_are_two_files():
    places = [file("a.tar", "a.tar#bytes=0-9"), file("a.tar", "a.tar#bytes=512-521")]
    rows = join([*places, listing("test"), DOG])
    assert [(row.stage, row.exception) for row in rows] == [(JOIN, "TwoFilesError")] * 2


def test_listings_that_name_two_files_are_no_duplicate():
    rows = join([listing("test", "a/a.jpg"), listing("test", "b/a.jpg"), DOG])
    assert [(row.uri, row.stage) for row in rows] == [("a/a.jpg", JOIN), ("b/a.jpg", JOIN)]
