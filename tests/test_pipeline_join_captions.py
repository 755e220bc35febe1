"""One image with its file, its split and its captions, or the reason why not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.join_captions import CaptionedImage, image_split, join_image, mentions
from pipeline.rejects import CAPTION, DUPLICATE, JOIN, SPLIT, UNASSIGNED, Reject
from pipeline.sources import Caption, Flickr8k
from tfrecords_schema.shards import SPLITS

SOURCE = Flickr8k("tokens.txt", {split: f"{split}.txt" for split in SPLITS}, "images")
PATHS = ["images/a.jpg"]


def caption(order, text):
    return Caption("a.jpg", f"a.jpg#{order}", order, text)


def join(paths, splits, captions):
    return list(join_image("a.jpg", paths, splits, captions, SOURCE))


DOG, CAT, COW = caption(0, "A dog ."), caption(1, "A cat ."), caption(2, "A cow .")
PATH_LISTS = st.sampled_from([[], PATHS])
SPLIT_LISTS = st.one_of(
    st.lists(st.sampled_from(SPLITS), max_size=4),
    st.sampled_from(SPLITS).flatmap(lambda split: st.lists(st.just(split), max_size=4)),
)
CAPTION_LISTS = st.lists(
    st.builds(caption, st.integers(0, 3), st.sampled_from(["A dog .", "A cat .", "A cow ."])),
    max_size=6,
)


@pytest.mark.parametrize("split", SPLITS)
def test_an_image_with_everything_is_joined_with_its_captions_in_order(split):
    expected = CaptionedImage("a.jpg", "images/a.jpg", split, [DOG, CAT, COW])
    assert join(PATHS, [split], [COW, DOG, CAT]) == [expected]


@pytest.mark.parametrize(
    "paths, splits, captions, uri, split, stage, message",
    [
        ([], ["test"], [DOG], "images", "test", JOIN, "images has no image of this name"),
        ([], [], [DOG], "images", UNASSIGNED, JOIN, "images has no image of this name"),
        ([], ["test"], [], "images", "test", JOIN, "images has no image of this name"),
        (PATHS, ["train"], [], "images/a.jpg", "train", JOIN, "no usable caption"),
        (PATHS, [], [], "images/a.jpg", UNASSIGNED, JOIN, "no usable caption"),
        (PATHS, [], [DOG], "images/a.jpg", UNASSIGNED, SPLIT, "listed in no split"),
        (
            PATHS, ["train", "test"], [DOG], "images/a.jpg", UNASSIGNED, SPLIT,
            "listed in more than one split: test, train",
        ),
        (
            PATHS, ["test", "train", "test"], [DOG], "images/a.jpg", UNASSIGNED, SPLIT,
            "listed in more than one split: test, train",
        ),
    ],
)  # fmt: skip
def test_what_is_missing_is_the_reason(paths, splits, captions, uri, split, stage, message):
    [reject] = join(paths, splits, captions)
    assert isinstance(reject, Reject)
    assert (reject.id, reject.uri, reject.split, reject.stage) == ("a.jpg", uri, split, stage)
    assert reject.message == message


def test_a_repeated_listing_costs_only_the_mention():
    *duplicates, image = join(PATHS, ["test"] * 3, [DOG])
    assert image == CaptionedImage("a.jpg", "images/a.jpg", "test", [DOG])
    assert len(duplicates) == 2
    for row in duplicates:
        assert (row.id, row.uri, row.split, row.stage) == ("a.jpg", "test.txt", "test", DUPLICATE)
        assert row.message == "listed twice in the test split"


def test_a_repeated_caption_id_costs_only_the_caption():
    second = caption(0, "Another dog .")
    row, image = join(PATHS, ["train"], [CAT, second, DOG])
    assert image.captions == [DOG, CAT]
    assert (row.id, row.uri, row.split, row.stage) == ("a.jpg#0", "tokens.txt", "train", CAPTION)
    assert "'Another dog .'" in row.message


@given(PATH_LISTS, SPLIT_LISTS, CAPTION_LISTS)
def test_exactly_one_image_or_image_level_reject_comes_out_last(paths, splits, captions):
    *costing_no_image, last = join(paths, splits, captions)
    assert all(row.stage in (CAPTION, DUPLICATE) for row in costing_no_image)
    if isinstance(last, CaptionedImage):
        assert paths
        assert captions
        assert {last.split} == set(splits)
        assert last.uri == paths[0]
    else:
        assert last.stage in (JOIN, SPLIT)
    assert (last[0], last.split) == ("a.jpg", image_split(splits))


@given(PATH_LISTS, SPLIT_LISTS, CAPTION_LISTS)
def test_an_image_with_everything_is_never_refused(paths, splits, captions):
    complete = bool(paths) and len(set(splits)) == 1 and bool(captions)
    assert isinstance(join(paths, splits, captions)[-1], CaptionedImage) == complete


@given(SPLIT_LISTS.filter(lambda splits: len(set(splits)) == 1), CAPTION_LISTS.filter(len))
def test_every_caption_of_an_image_is_kept_or_rejected(splits, captions):
    *rows, image = join(PATHS, splits, captions)
    lost = [row.id for row in rows if row.stage == CAPTION]
    kept = [one.caption_id for one in image.captions]
    assert sorted(kept + lost) == sorted(one.caption_id for one in captions)
    assert kept == sorted({one.caption_id for one in captions})


@given(PATH_LISTS, SPLIT_LISTS, CAPTION_LISTS)
def test_mentions_are_what_the_books_need(paths, splits, captions):
    outputs = join(paths, splits, captions)
    of_split = [output for output in outputs if output.split == image_split(splits)]
    written = sum(isinstance(output, CaptionedImage) for output in of_split)
    stages = [output.stage for output in of_split if isinstance(output, Reject)]
    rejected = sum(stage in (JOIN, SPLIT) for stage in stages)
    assert mentions(splits) == written + rejected + stages.count(DUPLICATE)


@given(st.data(), PATH_LISTS, SPLIT_LISTS, CAPTION_LISTS)
def test_the_order_in_which_beam_groups_does_not_matter(data, paths, splits, captions):
    shuffled = data.draw(st.permutations(splits)), data.draw(st.permutations(captions))
    assert join(paths, *shuffled) == join(paths, splits, captions)


def test_a_source_without_split_files_is_joined_by_the_split_given():
    source = Flickr8k("captions.txt", {}, "Images")
    [image] = join_image("a.jpg", ["Images/a.jpg"], ["validation"], [DOG], source)
    assert image == CaptionedImage("a.jpg", "Images/a.jpg", "validation", [DOG])
