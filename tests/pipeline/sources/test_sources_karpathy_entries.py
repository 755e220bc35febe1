"""Entries of Karpathy's files: images, splits, sentences, and what each bad entry costs."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from joined_source import joined
from karpathy_files import NAMES, entry_of, sentence, write, write_dataset

from pipeline.accounting.rejects import CAPTION, JOIN, SPLIT, UNASSIGNED
from pipeline.config import LEAVE_OUT
from pipeline.sources.karpathy import KarpathyPart, find_karpathy, read_part
from pipeline.sources.mentions import Mention
from pipeline.sources.split_names import make_split_names
from pipeline.text.join_captions import CaptionedImage
from tfrecords_schema.errors import InputError
from tfrecords_schema.source_ids import number_of

KARPATHYS = {"train": "train", "restval": "train", "val": "validation", "test": "test"}


def read(directory, *entries, names=NAMES):
    part = KarpathyPart(write_dataset(directory, *entries), "/data/images", names)
    return list(read_part(part))


def test_an_image_is_listed_once_and_every_sentence_is_a_caption(tmp_path):
    found = read(tmp_path, entry_of(sentences=[sentence(7, " A  dog \n"), sentence(3, "Café 犬")]))
    image = Mention("/data/images/a.jpg", split="train", image_id="a.jpg", full_id="a.jpg")
    assert found == [
        image._replace(uri="/data/images/a.jpg", is_listing=True),
        image._replace(caption_id="7", order=7, text="A dog"),
        image._replace(caption_id="3", order=3, text="Café 犬"),
    ]


@pytest.mark.parametrize(
    "name, cocoid, expected",
    [
        ("COCO_val2014_000000391895.jpg", 391895, True), ("000000000009.jpg", 9, True),
        ("COCO_val2014_000000391895.jpg", 391896, False), ("a.jpg", 9, False),
        ("COCO_val2014_000000391895.jpg", "391895", False), ("000000000001.jpg", True, False),
        ("391895.jpg", None, False),
    ],
)  # fmt: skip
def test_an_image_has_the_integer_of_coco_where_its_name_ends_in_it(
    tmp_path, name, cocoid, expected
):
    found = read(tmp_path, entry_of(filename=name, imgid=391895, cocoid=cocoid))
    assert {mention.has_integer_id for mention in found} == {expected}
    assert {number_of(mention.full_id) for mention in found} == {number_of(name)}


def test_images_of_one_name_in_two_folders_are_two(tmp_path):
    folders = ("train2014", "val2014", "", "./train2014/")
    found = read(tmp_path, *(entry_of(filepath=folder) for folder in folders))
    assert [(one.key, one.image_id, one.full_id) for one in found[::2]] == [
        ("/data/images/train2014/a.jpg", "a.jpg", "train2014/a.jpg"),
        ("/data/images/val2014/a.jpg", "a.jpg", "val2014/a.jpg"),
        ("/data/images/a.jpg", "a.jpg", "a.jpg"),
        ("/data/images/train2014/a.jpg", "a.jpg", "train2014/a.jpg"),  # that of the first
    ]
    assert [one.key for one in found[1::2]] == [one.key for one in found[::2]]


def test_images_of_coco_lie_in_the_folder_of_their_entry(tmp_path):
    entries = [
        entry_of(f"{n}.jpg", filepath=folder) for n, folder in enumerate(("train2014", "val2014"))
    ]
    uris = [mention.uri for mention in read(tmp_path, *entries) if mention.is_listing]
    assert uris == ["/data/images/train2014/0.jpg", "/data/images/val2014/1.jpg"]


@pytest.mark.parametrize(
    "name, split", [*KARPATHYS.items(), ("dev", "validation"), ("Val", "validation")]
)
def test_the_splits_go_by_our_names(tmp_path, name, split):
    listing, said = read(tmp_path, entry_of(split=name))
    assert listing.split == said.split == split


def test_names_of_splits_can_be_given(tmp_path):
    names = make_split_names(LEAVE_OUT, {"Mine": "test"})
    found = read(tmp_path, entry_of(split="mine"), entry_of("b.jpg", "restval"), names=names)
    assert [one.split for one in found] == ["test", "test", LEAVE_OUT, LEAVE_OUT]


def test_without_names_no_split_is_looked_at(tmp_path):
    found = read(tmp_path, entry_of(split="whatever"), entry_of("b.jpg", 3), names={})
    assert {one.split for one in found} == {""}


def join(source):
    assert len(source.parts) == 1
    return joined(source)


@pytest.mark.parametrize("restval", ["train", "leave_out"])
def test_restval_trains_or_is_left_out_and_said_to_be(tmp_path, restval):
    captions = [sentence(5, "Second ."), sentence(2, "First .")]
    write_dataset(tmp_path, *(entry_of(f"{split}.jpg", split, captions) for split in KARPATHYS))
    images = tmp_path / "images"
    write(images / "train.jpg")
    found, rejects = join(find_karpathy(str(tmp_path), "", make_split_names(restval, None)))
    by_id = {output[0]: output for output in found}
    assert len(found) == 4 and not rejects
    path = str(images / "restval.jpg")
    if restval == "train":
        expected = CaptionedImage("restval.jpg", path, path, "train", ["First .", "Second ."])
        assert by_id["restval.jpg"] == expected
    else:
        reject = by_id["restval.jpg"]
        assert (reject.split, reject.stage) == (UNASSIGNED, SPLIT)
        assert reject.message == "left out by --split_names or --restval"
    others = {id: output.split for id, output in by_id.items() if id != "restval.jpg"}
    assert others == {"train.jpg": "train", "val.jpg": "validation", "test.jpg": "test"}


@pytest.mark.parametrize(
    "bad",
    [
        {"filename": None},
        {"filename": ""},
        {"filename": 7},
        {"filename": ["a.jpg"]},
        {"filepath": 7},
        {"filepath": ["val2014"]},
    ],
)
def test_an_image_without_a_name_is_lost_in_its_split(tmp_path, bad):
    write(tmp_path / "a.jpg")
    path = write_dataset(
        tmp_path,
        entry_of(),
        {**entry_of("b.jpg", "test"), **bad},
        entry_of("c.jpg", "val"),
    )
    (image, lost, after), [reject] = join(find_karpathy(path, "", NAMES))
    assert (image.image_id, after.image_id) == ("a.jpg", "c.jpg")
    place = f"{path}:images[1]"
    assert (lost.id, lost.split, lost.stage) == (place, "test", JOIN)
    assert reject[:5] == (place, path, UNASSIGNED, CAPTION, "ValueError")
    assert reject.message.startswith("expected a text `filename`")


@pytest.mark.parametrize("split", ["minival", "", "train ", None, 3, ["train"]])
def test_an_unknown_split_stops_the_reading_and_is_named(tmp_path, split):
    with pytest.raises(InputError) as error:
        read(tmp_path, entry_of(), entry_of("b.jpg", split))
    named = (
        f"{tmp_path}/dataset_flickr8k.json:images[1]",
        repr(split),
        "train, training, validation, val,",
        "--split_names=NAME=train",
    )
    for text in named:
        assert text in str(error.value)


@pytest.mark.parametrize("bad", [{}, [], None, 3, "a.jpg"])
def test_an_entry_that_is_no_image_stops_the_reading(tmp_path, bad):
    with pytest.raises(InputError, match=r"images\[1\] is of split None"):
        read(tmp_path, entry_of(), bad)


@pytest.mark.parametrize("sentences", [{}, 3, "A dog .", {"raw": "A dog ."}])
def test_sentences_that_are_no_list_are_a_reject(tmp_path, sentences):
    listing, reject = read(tmp_path, entry_of(sentences=sentences))
    assert (listing.image_id, listing.uri) == ("a.jpg", "/data/images/a.jpg")
    assert reject.id == f"{tmp_path}/dataset_flickr8k.json:images[0]"
    assert reject.stage == CAPTION
    assert reject.message.startswith("expected a list `sentences`, found ")


def test_missing_sentences_are_a_reject(tmp_path):
    without = entry_of()
    del without["sentences"]
    _, reject = read(tmp_path, without)
    assert reject.message.startswith("expected a list `sentences`, found ")


def test_an_image_may_have_no_sentence(tmp_path):
    [listing] = read(tmp_path, entry_of(sentences=[]))
    assert listing.is_listing


@pytest.mark.parametrize(
    "bad",
    [
        {"sentid": 5},
        {"sentid": 5, "raw": None},
        {"sentid": 5, "raw": ["A", "dog"]},
        {"raw": "A dog ."},
        {"raw": "A dog .", "sentid": "5"},
        {"raw": "A dog .", "sentid": True},
        {},
        None,
        "A dog .",
    ],
)
def test_a_bad_sentence_costs_only_itself(tmp_path, bad):
    _, before, reject, after = read(tmp_path, entry_of(sentences=[sentence(1), bad, sentence(2)]))
    assert (before.caption_id, after.caption_id) == ("1", "2")
    path = f"{tmp_path}/dataset_flickr8k.json"
    place = f"{path}:images[0].sentences[1]"
    assert reject[:5] == (place, path, UNASSIGNED, CAPTION, "ValueError")
    assert reject.message.startswith("expected a number `sentid` and a text `raw`, found ")


def test_an_empty_sentence_costs_only_itself(tmp_path):
    _, reject, after = read(tmp_path, entry_of(sentences=[sentence(5, " \n"), sentence(6)]))
    assert (reject.id, reject.message, after.caption_id) == ("5", "empty caption", "6")


ANYTHING = st.none() | st.booleans() | st.integers(-9, 9) | st.text(st.characters(codec="utf-8"))
SENTENCES = st.one_of(
    ANYTHING,
    st.fixed_dictionaries({}, optional={"raw": ANYTHING, "sentid": ANYTHING}),
    st.builds(sentence, st.integers(0, 9)),
)
ENTRIES = st.fixed_dictionaries(
    {"split": st.sampled_from(list(KARPATHYS))},
    optional={
        "filename": ANYTHING | st.just("a.jpg"),
        "filepath": ANYTHING,
        "sentences": ANYTHING | st.lists(SENTENCES, max_size=3),
    },
)


@settings(deadline=None, max_examples=200)
@given(st.lists(ENTRIES, min_size=1, max_size=4))
def test_every_image_is_mentioned_once_and_every_sentence_is_a_caption_or_a_reject(
    tmp_path_factory, entries
):
    found = read(tmp_path_factory.getbasetemp(), *entries)
    listings = [output for output in found if isinstance(output, Mention) and output.is_listing]
    assert [one.split for one in listings] == [KARPATHYS[entry["split"]] for entry in entries]
    said = 0
    for entry, listing in zip(entries, listings, strict=True):
        is_whole = bool(listing.uri) and isinstance(entry.get("sentences"), list)
        said += len(entry["sentences"]) if is_whole else 1
    assert len(found) - len(listings) == said
    for output in found:
        "".join(map(str, output)).encode("utf-8")
