"""Entries of COCO captions files: ids, file names, and what each bad entry costs."""

import os

import pytest
from coco_files import annotation, captions, find, image_entry, read, write, write_image
from hypothesis import given, settings
from hypothesis import strategies as st
from joined_source import joined

from pipeline.accounting.rejects import CAPTION, JOIN, UNASSIGNED, Reject
from pipeline.sources.coco import ANNOTATIONS, IMAGES, CocoPart, read_part
from pipeline.sources.mentions import Mention
from pipeline.text.join_captions import CaptionedImage


def read_list(tmp_path, name, entries):
    lists = {IMAGES: [image_entry(1)], ANNOTATIONS: [annotation(1, 1)], name: entries}
    path = write(tmp_path / "captions_train2014.json", captions(lists[IMAGES], lists[ANNOTATIONS]))
    return path, list(read_part(CocoPart(path, name, "train", "/data/train2014")))


def test_images_are_listed_under_their_number(tmp_path):
    _, found = read_list(tmp_path, IMAGES, [image_entry(391895), image_entry(9)])
    assert found == [
        Mention(number, "train", f"/data/train2014/{name}", is_listing=True, has_integer_id=True)
        for number, name in (
            ("391895", "COCO_train2014_000000391895.jpg"),
            ("9", "COCO_train2014_000000000009.jpg"),
        )
    ]


def test_annotations_are_captions_in_the_order_of_their_numbers(tmp_path):
    entries = [
        annotation(30, 1, "Café 犬 "),
        annotation(4, 1, " A \n man\t."),
        annotation(2**40, 2),
    ]
    _, found = read_list(tmp_path, ANNOTATIONS, entries)
    image = Mention("1", "train", has_integer_id=True)
    assert found == [
        image._replace(caption_id="30", order=30, text="Café 犬"),
        image._replace(caption_id="4", order=4, text="A man ."),
        image._replace(key="2", caption_id=str(2**40), order=2**40, text="A man ."),
    ]


def test_images_and_annotations_join(tmp_path):
    entries = [
        annotation(7, 391895, "Second ."),
        annotation(2, 391895, "First ."),
        annotation(3, 8),
    ]
    write(tmp_path / "captions_val2014.json", captions([image_entry(391895, "val2014")], entries))
    folder = write_image(tmp_path / "val2014", "val2014")
    [image, lost], rejects = joined(find(tmp_path))
    path = os.path.join(folder, "COCO_val2014_000000391895.jpg")
    expected = CaptionedImage("391895", path, path, "validation", ["First .", "Second ."])
    assert (image, rejects) == (expected, [])
    assert (lost.id, lost.split, lost.stage) == ("8", "validation", JOIN)


def test_an_image_without_a_file_name_is_lost_in_its_split(tmp_path):
    content = captions([{"id": 1}, image_entry(2)], [annotation(1, 1), annotation(2, 2)])
    write(tmp_path / "captions_train2014.json", content)
    write_image(tmp_path / "train2014", "train2014")
    (lost, image), [reject] = joined(find(tmp_path))
    assert (lost.id, lost.split, lost.stage) == ("1", "train", JOIN)
    assert "no image of this name" in lost.message
    assert image.image_id == "2"
    assert reject.stage == CAPTION and "file_name" in reject.message


BAD_IMAGES = [
    {"id": 5},
    {"id": 5, "file_name": ""},
    {"id": 5, "file_name": None},
    {"id": 5, "file_name": 7},
    {"id": 5, "file_name": ["a.jpg"]},
]
NO_IMAGES = [
    {"file_name": "a.jpg"},
    {"id": "", "file_name": "a.jpg"},
    {"id": " ", "file_name": "a.jpg"},
    {"id": ["5"], "file_name": "a.jpg"},
    {"id": 5.0, "file_name": "a.jpg"},
    {"id": True, "file_name": "a.jpg"},
    {"id": None, "file_name": "a.jpg"},
    {},
    [],
    None,
    "a.jpg",
    5,
]


@pytest.mark.parametrize("entry", BAD_IMAGES + NO_IMAGES)
def test_a_bad_image_entry_is_a_reject_that_names_its_place(tmp_path, entry):
    path, (before, *found, after) = read_list(
        tmp_path, IMAGES, [image_entry(1), entry, image_entry(2)]
    )
    assert (before.key, after.key) == ("1", "2")
    reject = found.pop()
    assert reject[:5] == (f"{path}:images[1]", path, UNASSIGNED, CAPTION, "ValueError")
    assert reject.message.startswith(
        "expected an `id`, a number or a text, and a text `file_name`, found "
    )
    # It counts as an image where it is known which.
    image = Mention("5", split="train", is_listing=True, has_integer_id=True)
    assert found == [image] * (entry in BAD_IMAGES)


@pytest.mark.parametrize(
    "entry",
    [
        {"id": 5, "image_id": 1},
        {"id": 5, "image_id": 1, "caption": None},
        {"id": 5, "image_id": 1, "caption": 7},
        {"id": 5, "image_id": 1, "caption": ["A man ."]},
        {"id": 5, "caption": "A man ."},
        {"id": 5, "image_id": "", "caption": "A man ."},
        {"id": 5, "image_id": 1.0, "caption": "A man ."},
        {"id": 5, "image_id": True, "caption": "A man ."},
        {"id": "", "image_id": 1, "caption": "A man ."},
        {"id": 5.5, "image_id": 1, "caption": "A man ."},
        {"id": True, "image_id": 1, "caption": "A man ."},
        {},
        [1],
        None,
        "A man .",
    ],
)
def test_a_bad_annotation_costs_only_itself(tmp_path, entry):
    path, (before, reject, after) = read_list(
        tmp_path, ANNOTATIONS, [annotation(1, 1), entry, annotation(2, 1)]
    )
    assert (before.caption_id, after.caption_id) == ("1", "2")
    assert reject[:5] == (f"{path}:annotations[1]", path, UNASSIGNED, CAPTION, "ValueError")
    assert reject.message.startswith(
        "expected an `id` and `image_id`, each a number or a text, and a text `caption`, found "
    )


def test_ids_may_be_texts(tmp_path):
    entries = [{"id": " rose-1 ", "file_name": "a.jpg"}, {"id": "007", "file_name": "b.jpg"}]
    _, images = read_list(tmp_path, IMAGES, entries)
    assert [one.key for one in images] == ["rose-1", "007"]
    entries = [{"id": "x9", "image_id": "rose-1", "caption": "A rose"}, annotation(3, "007")]
    _, said = read_list(tmp_path, ANNOTATIONS, entries)
    assert [(one.key, one.caption_id, one.order) for one in said] == [
        ("rose-1", "x9", 0), ("007", "3", 3),
    ]  # fmt: skip


def test_captions_without_an_id_go_by_their_place(tmp_path):
    entries = [{"image_id": 1, "caption": "A man ."}, {"image_id": 1, "caption": "A dog ."}]
    path, said = read_list(tmp_path, ANNOTATIONS, entries)
    assert [one.caption_id for one in said] == [f"{path}:annotations[{n}]" for n in range(2)]


def test_numbers_of_any_size_are_ids(tmp_path):
    entries = [annotation(-1, 10**30), annotation(10**30, 10**30, "A dog .")]
    _, said = read_list(tmp_path, ANNOTATIONS, entries)
    assert [(one.key, one.caption_id, one.order) for one in said] == [
        ("1" + "0" * 30, "-1", -1), ("1" + "0" * 30, "1" + "0" * 30, 0),
    ]  # fmt: skip


def test_numbers_count_within_their_file(tmp_path):
    """Both files have an image 1, a caption 1 and a file a.jpg, as where ids start anew."""
    for name, text in (("train", "A dog ."), ("val", "A cat .")):
        content = captions([{"id": 1, "file_name": "a.jpg"}], [annotation(1, 1, text)])
        write(tmp_path / "annotations" / f"{name}.json", content)
        write(tmp_path / name / "a.jpg", b"image")
    source = find(tmp_path)
    found = read(source)
    assert [(one.key, one.image_id, one.full_id, one.split, one.uri) for one in found] == [
        ("train:1", "1", "train/1", "train", str(tmp_path / "train" / "a.jpg")),
        ("train:1", "1", "train/1", "train", ""),
        ("val:1", "1", "val/1", "validation", str(tmp_path / "val" / "a.jpg")),
        ("val:1", "1", "val/1", "validation", ""),
    ]
    assert [one.caption_id for one in found] == ["", "train:1", "", "val:1"]
    dog, cat = joined(source)[0]
    assert (dog.captions, cat.captions) == (["A dog ."], ["A cat ."])
    assert source.names_may_collide and source.keys_are_references


def test_files_of_one_name_in_two_folders_have_ids_of_their_own(tmp_path):
    for folder in ("a", "b"):
        content = captions([{"id": 1, "file_name": f"{folder}.jpg"}], [annotation(1, 1)])
        write(tmp_path / folder / "captions_train.json", content)
        write(tmp_path / folder / f"{folder}.jpg", b"image")
    found = read(find(tmp_path / "*" / "captions_train.json", tmp_path))
    assert len({one.key for one in found}) == 2
    assert {one.full_id for one in found} == {"a/captions_train/1", "b/captions_train/1"}


def test_an_id_of_two_files_costs_both(tmp_path):
    images = [{"id": 1, "file_name": "a.jpg"}, {"id": 1, "file_name": "b.jpg"}]
    write(tmp_path / "captions_train.json", captions(images, [annotation(1, 1)]))
    for name in "ab":
        write(tmp_path / f"{name}.jpg", b"image")
    rows, _ = joined(find(tmp_path))
    assert [(row.id, row.exception) for row in rows] == [("1", "TwoFilesError")] * 2
    assert [row.uri for row in rows] == [str(tmp_path / f"{name}.jpg") for name in "ab"]


@pytest.mark.parametrize("text", ["", " \n "])
def test_an_empty_caption_costs_only_itself(tmp_path, text):
    path, [reject] = read_list(tmp_path, ANNOTATIONS, [annotation(5, 1, text)])
    assert reject == Reject("5", path, UNASSIGNED, CAPTION, "ValueError", "empty caption")


ANYTHING = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-9, 9),
        st.floats(allow_nan=False, allow_infinity=False),
        st.text(st.characters(codec="utf-8"), max_size=4),
    ),
    lambda value: st.lists(value, max_size=2),
    max_leaves=3,
)
ENTRIES = st.one_of(
    ANYTHING,
    st.fixed_dictionaries(
        {}, optional=dict.fromkeys(("id", "image_id", "file_name", "caption"), ANYTHING)
    ),
    st.builds(annotation, st.integers(0, 9), st.integers(0, 9)),
    st.builds(image_entry, st.integers(0, 9)),
)


@settings(deadline=None, max_examples=200)
@given(st.lists(ENTRIES, min_size=1, max_size=6))
def test_every_annotation_is_a_caption_or_a_reject(tmp_path_factory, entries):
    _, found = read_list(tmp_path_factory.getbasetemp(), ANNOTATIONS, entries)
    assert len(found) == len(entries)
    assert all(isinstance(output, Reject) or (output.key and output.text) for output in found)
    for output in found:
        "".join(map(str, output)).encode("utf-8")


@settings(deadline=None, max_examples=200)
@given(st.lists(ENTRIES, min_size=1, max_size=6))
def test_every_image_entry_has_a_file_or_is_a_reject(tmp_path_factory, entries):
    _, found = read_list(tmp_path_factory.getbasetemp(), IMAGES, entries)
    rejects = [output for output in found if isinstance(output, Reject)]
    mentions = [output for output in found if isinstance(output, Mention)]
    assert len(rejects) + sum(bool(mention.uri) for mention in mentions) == len(entries)
    assert all(mention.is_listing and mention.split == "train" for mention in mentions)
    assert len(mentions) == sum(
        isinstance(entry, dict)
        and (type(id := entry.get("id")) is int or (isinstance(id, str) and bool(id.strip())))
        for entry in entries
    )
    for output in found:
        "".join(map(str, output)).encode("utf-8")
