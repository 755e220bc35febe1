"""One image with its file, its split and its captions, or the reason why not."""

import pytest
from image_mentions import CAT, DOG, ID, THIRDS, caption, file, join, listing

from pipeline.accounting.rejects import CAPTION, DUPLICATE, JOIN, SPLIT, UNASSIGNED, Reject
from pipeline.config import LEAVE_OUT
from pipeline.sources.mentions import Mention
from pipeline.text.join_captions import CaptionedImage, has_integer_id, image_name
from tfrecords_schema.shards import SPLITS


@pytest.mark.parametrize("split", SPLITS)
def test_an_image_with_everything_is_joined_with_its_captions_in_order(split):
    expected = CaptionedImage(ID, "images/a.jpg", "images/a.jpg", split, [DOG.text, CAT.text])
    assert join([CAT, listing(split), file(), DOG]) == [expected]


def test_one_mention_may_give_all_that_an_image_needs():
    row = Mention(ID, "train", "table.csv:3", "table.bin#bytes=0-9", "1", 0, "A dog .")
    expected = CaptionedImage(ID, "table.csv:3", "table.bin#bytes=0-9", "train", ["A dog ."])
    assert join([row]) == [expected]


@pytest.mark.parametrize(
    "mentions, uri, split, stage, message",
    [
        ([listing("test"), DOG], "images", "test", JOIN, "images has no image of this name"),
        ([DOG], "images", UNASSIGNED, JOIN, "images has no image of this name"),
        ([listing("test")], "images", "test", JOIN, "images has no image of this name"),
        ([file(), listing("train")], "images/a.jpg", "train", JOIN, "no usable caption"),
        ([file()], "images/a.jpg", UNASSIGNED, JOIN, "no usable caption"),
        ([file(), DOG], "images/a.jpg", UNASSIGNED, SPLIT, "listed in no split"),
        (
            [file(), listing("test"), DOG, listing("train")],
            "images/a.jpg", "train", SPLIT, "listed in more than one split: test, train",
        ),
        (
            [listing("test"), listing("validation"), listing("test"), file(), DOG],
            "images/a.jpg", "validation", SPLIT, "listed in more than one split: test, validation",
        ),
        (
            [listing(LEAVE_OUT), file(), DOG],
            "images/a.jpg", UNASSIGNED, SPLIT, "left out by --split_names or --restval",
        ),
        (
            [listing(LEAVE_OUT), listing("test"), file(), DOG],
            "images/a.jpg", "test", SPLIT, "listed in more than one split: leave_out, test",
        ),
        (
            [listing("test"), DOG._replace(problem="column 'image' is empty")],
            "images", "test", JOIN, "column 'image' is empty",
        ),
        (
            [listing("test")._replace(problem="no field jpg"), DOG._replace(problem="no field")],
            "images", "test", JOIN, "no field; no field jpg",
        ),
        (
            [listing("test"), file()._replace(problem="no field txt")],
            "images/a.jpg", "test", JOIN, "no usable caption: no field txt",
        ),
    ],
)  # fmt: skip
def test_an_image_that_lacks_its_file_split_or_captions_is_rejected_for_it(
    mentions, uri, split, stage, message
):
    [reject] = join(mentions)
    assert isinstance(reject, Reject)
    assert (reject.id, reject.uri, reject.split, reject.stage) == (ID, uri, split, stage)
    assert reject.message == message


def test_a_data_set_of_text_needs_no_file():
    expected = CaptionedImage(ID, "", "", "test", [DOG.text])
    assert join([listing("test"), DOG], needs_file=False) == [expected]
    with_file = CaptionedImage(ID, "images/a.jpg", "images/a.jpg", "test", [DOG.text])
    assert join([listing("test"), DOG, file()], needs_file=False) == [with_file]
    [reject] = join([listing("test")], needs_file=False)
    assert (reject.stage, reject.message) == (JOIN, "no usable caption")


def test_a_repeated_listing_costs_only_the_mention():
    *duplicates, image = join([file(), *[listing("test")] * 3, DOG])
    assert image == CaptionedImage(ID, "images/a.jpg", "images/a.jpg", "test", [DOG.text])
    assert len(duplicates) == 2
    for row in duplicates:
        assert (row.id, row.split, row.stage) == (ID, "test", DUPLICATE)
        assert row.message == "listed once more, in the test split"


@pytest.mark.parametrize(
    "flags, expected", [([True], True), ([True, True], True), ([True, False], False)]
)
def test_an_id_is_an_integer_where_every_mention_has_it_so(flags, expected):
    mentions = [Mention("7", has_integer_id=flag) for flag in flags]
    assert has_integer_id(mentions) == has_integer_id(mentions[::-1]) == expected


NAMED = Mention("key", image_id="a.jpg", full_id="test/a.jpg", order=5)


@pytest.mark.parametrize(
    "mentions, short, full",
    [
        ([NAMED], "a.jpg", "test/a.jpg"),
        ([Mention("key")], "key", "key"),
        ([Mention("key", text="A dog"), NAMED], "a.jpg", "test/a.jpg"),
        ([NAMED._replace(full_id="")], "a.jpg", "a.jpg"),
        ([NAMED, Mention("key", image_id="b.jpg", full_id="x/b.jpg", order=4)], "b.jpg", "x/b.jpg"),
        ([NAMED, Mention("key", image_id="b.jpg", full_id="x/b.jpg", order=5)], "a.jpg",
         "test/a.jpg"),
    ],
)  # fmt: skip
def test_the_name_is_that_of_the_first_mention_that_has_one(mentions, short, full):
    for said in (mentions, mentions[::-1]):
        assert image_name("key", said, is_full=False) == short
        assert image_name("key", said, is_full=True) == full


def test_a_repeated_caption_id_costs_only_the_caption():
    second = caption(0, "Another dog .")
    row, image = join([file(), CAT, second, listing("train"), DOG])
    assert image.captions == [DOG.text, CAT.text]
    assert (row.id, row.uri, row.split, row.stage) == (f"{ID}#0", "tokens.txt", "train", CAPTION)
    assert "'Another dog .'" in row.message


def test_a_caption_without_words_costs_only_the_caption():
    row, image = join([file(), listing("train"), caption(0, "..."), caption(0, "A cow .")])
    assert image.captions == ["A cow ."]  # the other had not taken its id
    assert (row.id, row.uri, row.split, row.stage) == (f"{ID}#0", "tokens.txt", "train", CAPTION)
    assert row.message == "no words in caption '...'"


def test_markers_around_a_caption_are_taken_off():
    texts = [caption(0, "startseq a dog endseq"), caption(1, "<start> A cat . <end>")]
    row, image = join([file(), listing("train"), *texts, caption(2, "startseq endseq")])
    assert image.captions == ["a dog", "A cat ."]
    assert (row.id, row.stage, row.message) == (f"{ID}#2", CAPTION, "no words in caption ''")


@pytest.mark.parametrize(
    "clean, kept",
    [("none", ["...", "A 1", "A dog ."]), ("coco", ["A 1", "A dog ."]), ("tutorial", ["A dog ."])],
)
def test_whether_a_caption_has_words_is_for_the_preset_to_say(clean, kept):
    texts = [caption(0, "..."), caption(1, "A 1"), caption(2, "A dog .")]
    *rows, image = join([file(), listing("train"), *texts], clean=clean)
    assert image.captions == kept
    assert [row.stage for row in rows] == [CAPTION] * (3 - len(kept))


def test_an_image_whose_captions_have_no_words_has_none():
    *rows, last = join([file(), listing("train"), caption(0, "A 1")], clean="tutorial")
    assert [row.stage for row in rows] == [CAPTION]
    assert (last.stage, last.message) == (JOIN, "no usable caption")


@pytest.mark.parametrize("splits", [[], ["train"], ["test", "train"], SPLITS])
def test_fractions_take_the_place_of_the_splits_of_the_source(splits):
    mentions = [file(), DOG, *map(listing, splits)]
    *_, image = join(mentions, split_fractions=(0.0, 0.0, 1.0))
    assert image.split == "test"
    assert image.captions == [DOG.text]


def test_no_split_is_named_twice_that_was_named_once():
    rows = join([file(), DOG, listing("train"), listing("test")], split_fractions=THIRDS)[:-1]
    assert [row.stage for row in rows] == [DUPLICATE]
    assert "twice in the" not in rows[0].message
