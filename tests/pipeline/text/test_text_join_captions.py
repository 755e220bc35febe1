"""One image with its file, its split and its captions, or the reason why not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.accounting.rejects import CAPTION, DUPLICATE, JOIN, SPLIT, UNASSIGNED, Reject
from pipeline.config import CLEAN, LEAVE_OUT
from pipeline.sources.mentions import Mention
from pipeline.text.join_captions import (
    CaptionedImage,
    JoinRules,
    has_integer_id,
    image_files,
    image_name,
    image_split,
    join_image,
    times_read,
)
from pipeline.text.splits import split_by_hash
from pipeline.text.tokenize import has_words
from tfrecords_schema.shards import SPLITS

ID = "a.jpg"
RULES = JoinRules("tokens.txt", "images", split_fractions=None, needs_file=True, clean="coco")
THIRDS = (0.4, 0.3, 0.3)


def file(uri="images/a.jpg", location="", content="", order=0):
    return Mention(ID, uri=uri, location=location, content=content, order=order)


def listing(split, uri=""):
    return Mention(ID, split=split, uri=uri, is_listing=True)


def caption(order, text, caption_id=None):
    return Mention(ID, caption_id=caption_id or f"{ID}#{order}", order=order, text=text)


def join(mentions, **rules):
    return list(join_image(ID, mentions, RULES._replace(**rules)))


DOG, CAT, COW = caption(0, "A dog ."), caption(1, "A cat ."), caption(2, "A cow .")


def mentions_of(splits, uris):
    """Mentions that say anything at all, most often too little or too much."""
    return st.lists(
        st.builds(
            Mention,
            key=st.just(ID),
            split=splits,
            uri=uris,
            location=st.sampled_from(["", "a.tar#bytes=512-600"]),
            caption_id=st.sampled_from([f"{ID}#0", f"{ID}#1", f"{ID}#2"]),
            order=st.integers(0, 2),
            text=st.sampled_from(["", "A dog .", "A cat .", "...", "A 1"]),
            is_listing=st.booleans(),
            image_id=st.sampled_from(["", "a"]),
            full_id=st.sampled_from(["", "b/a"]),
            content=st.just(""),
            problem=st.sampled_from(["", "no file here"]),
        ),
        min_size=1,
        max_size=6,
    )


ONE_FILE = st.sampled_from(["", "images/a.jpg"])
FILES = st.sampled_from(["", "images/a.jpg", "more/a.jpg", "a.tar:a.jpg"])
MENTIONS = st.one_of(
    mentions_of(st.sampled_from(["", LEAVE_OUT, *SPLITS]), FILES),
    mentions_of(st.sampled_from(["", LEAVE_OUT, *SPLITS]), ONE_FILE),
    *(mentions_of(st.sampled_from(["", split]), ONE_FILE) for split in SPLITS),
)
JOIN_RULES = st.builds(
    RULES._replace,
    split_fractions=st.sampled_from([None, THIRDS]),
    needs_file=st.booleans(),
    clean=st.sampled_from(CLEAN),
)


def usable(mentions, rules):
    """The first usable text of every caption id, in the order of the captions."""
    first = {}
    said = [one for one in mentions if one.text and has_words(one.text, rules.clean)]
    for one in sorted(said, key=lambda m: (m.order, m.caption_id, m.text)):
        first.setdefault(one.caption_id, one.text)
    return list(first.values())


def files_of(mentions):
    """How many files the mentions name; these have no content, so a file is its path."""
    return len({one.location or one.uri for one in mentions if one.uri})


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


@given(st.text(), MENTIONS, JOIN_RULES)
def test_the_split_is_that_of_the_source_or_of_the_hash(image_id, mentions, rules):
    split = image_split(image_id, mentions, rules)
    if rules.split_fractions is not None:
        assert split == split_by_hash(image_id, THIRDS)
    elif split == UNASSIGNED:
        assert not {mention.split for mention in mentions} & {*SPLITS}
    else:  # of several it is the first
        assert split in {mention.split for mention in mentions}
        before = SPLITS[: SPLITS.index(split)]
        assert not {mention.split for mention in mentions} & {*before}


@given(MENTIONS, JOIN_RULES)
def test_exactly_one_image_or_image_level_reject_comes_out_last(mentions, rules):
    split = image_split(ID, mentions, rules)
    outputs = list(join_image(ID, mentions, rules))
    count = files_of(mentions)
    if count > 1:
        assert [(row.split, row.exception) for row in outputs] == [(split, "TwoFilesError")] * count
        return
    *costing_no_image, last = outputs
    assert all(row.stage in (CAPTION, DUPLICATE) for row in costing_no_image)
    assert (last[0], last.split) == (ID, split)
    captions = usable(mentions, rules)
    is_one = len({mention.split for mention in mentions} - {""}) == 1
    has_split = rules.split_fractions is not None or (is_one and split != UNASSIGNED)
    complete = has_split and captions and (count or not rules.needs_file)
    assert isinstance(last, CaptionedImage) == bool(complete)
    if complete:
        assert last.captions == captions
        named = {(one.uri, one.location or one.uri) for one in mentions if one.uri} or {("", "")}
        assert (last.uri, last.location) in named
    else:
        assert last.stage in (JOIN, SPLIT)


@given(MENTIONS, JOIN_RULES)
def test_every_caption_is_kept_or_rejected(mentions, rules):
    rows = [row for row in join_image(ID, mentions, rules) if isinstance(row, Reject)]
    lost = [row.id for row in rows if row.stage == CAPTION]
    said = [mention.caption_id for mention in mentions if mention.text]
    if files_of(mentions) > 1:  # they are lost with the images
        assert not lost
    else:
        assert len(lost) + len(usable(mentions, rules)) == len(said)
        assert set(lost) <= set(said)


@given(MENTIONS, JOIN_RULES)
def test_the_counts_hold_what_comes_out(mentions, rules):
    split = image_split(ID, mentions, rules)
    outputs = list(join_image(ID, mentions, rules))
    assert {output.split for output in outputs} == {split}
    written = sum(isinstance(output, CaptionedImage) for output in outputs)
    stages = [output.stage for output in outputs if isinstance(output, Reject)]
    rejected = sum(stage in (JOIN, SPLIT) for stage in stages)
    assert times_read(mentions, rules, split) == written + rejected + stages.count(DUPLICATE)


@given(MENTIONS, JOIN_RULES)
def test_a_listing_beyond_the_first_is_one_duplicate(mentions, rules):
    listings = sum(mention.is_listing for mention in mentions)
    rows = [row for row in join_image(ID, mentions, rules) if isinstance(row, Reject)]
    lost_as_a_whole = files_of(mentions) > 1 or (
        rules.split_fractions is None
        and (
            len({mention.split for mention in mentions} - {""}) > 1
            or image_split(ID, mentions, rules) == UNASSIGNED
        )
    )
    expected = 0 if lost_as_a_whole else max(listings, 1) - 1
    assert sum(row.stage == DUPLICATE for row in rows) == expected


@given(MENTIONS)
def test_every_file_is_found_once(mentions):
    paths = [one.location or one.uri for one in image_files(mentions)]
    assert sorted(paths) == sorted({one.location or one.uri for one in mentions if one.uri})


@given(st.data(), MENTIONS, JOIN_RULES)
def test_the_order_in_which_beam_groups_does_not_matter(data, mentions, rules):
    shuffled = data.draw(st.permutations(mentions))
    joined = list(join_image(ID, mentions, rules))
    assert list(join_image(ID, shuffled, rules)) == joined
    split = image_split(ID, mentions, rules)
    assert image_split(ID, shuffled, rules) == split
    assert times_read(shuffled, rules, split) == times_read(mentions, rules, split)
    assert image_name(ID, shuffled, True) == image_name(ID, mentions, True)
