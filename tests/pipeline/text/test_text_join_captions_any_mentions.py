"""Whatever is said of an image, every mention of it comes out once, in any order."""

from hypothesis import given
from hypothesis import strategies as st
from image_mentions import ID, RULES, THIRDS

from pipeline.accounting.rejects import CAPTION, DUPLICATE, JOIN, SPLIT, UNASSIGNED, Reject
from pipeline.config import CLEAN, LEAVE_OUT
from pipeline.sources.mentions import Mention
from pipeline.text.join_captions import (
    CaptionedImage,
    image_files,
    image_name,
    image_split,
    join_image,
    times_read,
)
from pipeline.text.splits import split_by_hash
from pipeline.text.tokenize import has_words
from tfrecords_schema.shards import SPLITS


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
