"""COCO captions on disk: layouts, what is missing, and every kind of bad entry."""

import json
import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.join_captions import CaptionedImage, JoinRules, join_image
from pipeline.rejects import CAPTION, JOIN, UNASSIGNED, Reject
from pipeline.sources.coco import ANNOTATIONS, IMAGES, CocoPart, find_coco, read_part
from pipeline.sources.mentions import Mention
from tfrecords_schema.errors import InputError

INFO = {"description": "COCO", "year": 2014, "contributor": "COCO Consortium"}
LICENSES = [{"url": "http://creativecommons.org/licenses/by-nc-sa/2.0/", "id": 1, "name": "BY"}]


def write(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return str(path)


def image_entry(number, release="train2014"):
    return {
        "license": 1,
        "file_name": f"COCO_{release}_{number:012}.jpg",
        "coco_url": "http://images.cocodataset.org/a.jpg",
        "height": 480,
        "width": 640,
        "date_captured": "2013-11-14 17:02:52",
        "flickr_url": "http://farm5.staticflickr.com/a_z.jpg",
        "id": number,
    }


def annotation(id, number, text="A man ."):
    return {"image_id": number, "id": id, "caption": text}


def captions(images, annotations, **more):
    """The content of a captions file, its keys in the order of the published ones."""
    lists = {"images": images, "licenses": LICENSES, "annotations": annotations}
    return json.dumps({"info": INFO, **lists, **more})


def write_captions(directory, release, number=391895):
    content = captions([image_entry(number, release)], [annotation(770337, number)])
    return write(directory / f"captions_{release}.json", content)


def write_image(directory, release, number=391895):
    write(directory / image_entry(number, release)["file_name"], b"image")
    return str(directory)


def both_lists(path, split, images):
    return [CocoPart(path, name, split, images) for name in (IMAGES, ANNOTATIONS)]


def read_list(tmp_path, name, entries):
    lists = {IMAGES: [image_entry(1)], ANNOTATIONS: [annotation(1, 1)], name: entries}
    path = write(tmp_path / "captions_train2014.json", captions(lists[IMAGES], lists[ANNOTATIONS]))
    return path, list(read_part(CocoPart(path, name, "train", "/data/train2014")))


@pytest.mark.parametrize("annotations", ["", "annotations"])
@pytest.mark.parametrize("images", ["", "images"])
@pytest.mark.parametrize("year", ["2014", "2017", ""])
def test_the_layout_is_found_with_its_splits(tmp_path, annotations, images, year):
    expected = []
    for release, split in (("test", "test"), ("train", "train"), ("val", "validation")):
        path = write_captions(tmp_path / annotations, release + year)
        folder = write_image(tmp_path / images / (release + year), release + year)
        expected += both_lists(path, split, folder)
    write(tmp_path / annotations / "instances_train2014.json", "{}")
    source = find_coco(str(tmp_path), "")
    assert source.parts == expected
    assert source.has_splits
    assert source.images == str(tmp_path)
    assert all(part.path in source.captions for part in source.parts)


def test_files_in_the_directory_come_before_those_in_annotations(tmp_path):
    path = write_captions(tmp_path, "train2014")
    write_captions(tmp_path / "annotations", "val2014")
    write_image(tmp_path / "train2014", "train2014")
    assert {part.path for part in find_coco(str(tmp_path), "").parts} == {path}


def test_images_may_lie_elsewhere_in_a_folder_a_release(tmp_path):
    path = write_captions(tmp_path / "text", "train2014")
    folder = write_image(tmp_path / "pictures" / "train2014", "train2014")
    write_image(tmp_path / "text" / "train2014", "train2014")
    source = find_coco(str(tmp_path / "text"), str(tmp_path / "pictures"))
    assert source.parts == both_lists(path, "train", folder)
    assert source.images == str(tmp_path / "pictures")


def test_images_may_lie_elsewhere_all_in_one_folder(tmp_path):
    paths = [write_captions(tmp_path / "text", release) for release in ("train2017", "val2017")]
    folder = write_image(tmp_path / "pictures", "train2017")
    source = find_coco(str(tmp_path / "text"), folder)
    train, validation = (
        both_lists(*pair, folder) for pair in zip(paths, ("train", "validation"), strict=True)
    )
    assert source.parts == train + validation


def test_images_are_listed_under_their_number(tmp_path):
    _, found = read_list(tmp_path, IMAGES, [image_entry(391895), image_entry(9)])
    assert found == [
        Mention(number, split="train", uri=f"/data/train2014/{name}", is_listing=True)
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
    assert found == [
        Mention("1", caption_id="30", order=30, text="Café 犬"),
        Mention("1", caption_id="4", order=4, text="A man ."),
        Mention("2", caption_id=str(2**40), order=2**40, text="A man ."),
    ]


def test_lists_are_found_in_any_order_and_beside_others(tmp_path):
    content = {ANNOTATIONS: [annotation(1, 2)], "x": {IMAGES: [3]}, IMAGES: [image_entry(2)]}
    path = write(tmp_path / "captions_train2014.json", json.dumps(content))
    write_image(tmp_path / "train2014", "train2014")
    source = find_coco(str(tmp_path), "")
    found = [mention for part in source.parts for mention in source.read(part)]
    assert [mention.image_id for mention in found] == ["2", "2"]
    assert source.captions == path


def joined(source):
    """What the join makes of the source, and the rejects before it."""
    mentions, rejects = {}, []
    for part in source.parts:
        for found in source.read(part):
            if isinstance(found, Reject):
                rejects.append(found)
            else:
                mentions.setdefault(found.image_id, []).append(found)
    rules = JoinRules(source.captions, source.images, None, True, "coco")
    return [row for id in mentions for row in join_image(id, mentions[id], rules)], rejects


def test_images_and_annotations_join(tmp_path):
    entries = [
        annotation(7, 391895, "Second ."),
        annotation(2, 391895, "First ."),
        annotation(3, 8),
    ]
    write(tmp_path / "captions_val2014.json", captions([image_entry(391895, "val2014")], entries))
    folder = write_image(tmp_path / "val2014", "val2014")
    [image, lost], rejects = joined(find_coco(str(tmp_path), ""))
    path = os.path.join(folder, "COCO_val2014_000000391895.jpg")
    expected = CaptionedImage("391895", path, path, "validation", ["First .", "Second ."])
    assert (image, rejects) == (expected, [])
    assert (lost.id, lost.split, lost.stage) == ("8", UNASSIGNED, JOIN)


def test_an_image_without_a_file_name_is_lost_in_its_split(tmp_path):
    content = captions([{"id": 1}, image_entry(2)], [annotation(1, 1), annotation(2, 2)])
    write(tmp_path / "captions_train2014.json", content)
    write_image(tmp_path / "train2014", "train2014")
    (lost, image), [reject] = joined(find_coco(str(tmp_path), ""))
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
    {"id": "5", "file_name": "a.jpg"},
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
    assert (before.image_id, after.image_id) == ("1", "2")
    reject = found.pop()
    assert reject[:5] == (f"{path}:images[1]", path, UNASSIGNED, CAPTION, "ValueError")
    assert reject.message.startswith("expected a number `id` and a text `file_name`, found ")
    # It counts as an image where it is known which.
    assert found == [Mention("5", split="train", is_listing=True)] * (entry in BAD_IMAGES)


@pytest.mark.parametrize(
    "entry",
    [
        {"id": 5, "image_id": 1},
        {"id": 5, "image_id": 1, "caption": None},
        {"id": 5, "image_id": 1, "caption": 7},
        {"id": 5, "image_id": 1, "caption": ["A man ."]},
        {"id": 5, "caption": "A man ."},
        {"id": 5, "image_id": "1", "caption": "A man ."},
        {"id": 5, "image_id": True, "caption": "A man ."},
        {"image_id": 1, "caption": "A man ."},
        {"id": "5", "image_id": 1, "caption": "A man ."},
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
    assert reject.message.startswith("expected numbers `id` and `image_id` and a text `caption`")


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
    assert all(isinstance(output, Reject) or output.text for output in found)
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
        isinstance(entry, dict) and type(entry.get("id")) is int for entry in entries
    )
    for output in found:
        "".join(map(str, output)).encode("utf-8")


def assert_not_found(directory, image_directory, *named):
    with pytest.raises(InputError) as error:
        find_coco(str(directory), str(image_directory))
    for text in named:
        assert str(text) in str(error.value)


def test_a_missing_directory_is_named(tmp_path):
    assert_not_found(tmp_path / "nowhere", "", "--input", tmp_path / "nowhere", "does not exist")


def test_a_missing_image_directory_is_named(tmp_path):
    write_captions(tmp_path, "train2014")
    assert_not_found(
        tmp_path, tmp_path / "x", "--image_directory", tmp_path / "x", "does not exist"
    )


def test_wildcards_are_refused(tmp_path):
    write_captions(tmp_path / "my[1]", "train2014")
    write_captions(tmp_path / "text", "train2014")
    assert_not_found(tmp_path / "my[1]", "", "--input", "takes as wildcards")
    assert_not_found(
        tmp_path / "text", tmp_path / "my[1]", "--image_directory", "takes as wildcards"
    )


def test_missing_captions_are_named(tmp_path):
    write(tmp_path / "annotations" / "instances_train2014.json", "{}")
    assert_not_found(tmp_path, "", "--input", tmp_path, "annotations", "captions_*.json")


@pytest.mark.parametrize(
    "name", ["captions_minival2014.json", "captions_.json", "captions_Train.json"]
)
def test_a_file_that_names_no_split_is_refused(tmp_path, name):
    write_captions(tmp_path, "train2014")
    write_image(tmp_path / "train2014", "train2014")
    write(tmp_path / name, captions([image_entry(1)], [annotation(1, 1)]))
    assert_not_found(tmp_path, "", "--input", tmp_path / name, "captions_val*.json")


@pytest.mark.parametrize("second", ["train2017", "val2017"])
def test_files_of_two_years_are_refused_for_they_share_images(tmp_path, second):
    for release in ("train2014", second):
        write_captions(tmp_path, release)
        write_image(tmp_path / release, release)
    assert_not_found(tmp_path, "", "--input", "2014 and 2017", f"captions_{second}.json")


def test_missing_images_of_one_file_are_named(tmp_path):
    for release in ("train2014", "val2014"):
        write_captions(tmp_path, release)
    write_image(tmp_path / "train2014", "train2014")
    named = ("--input", tmp_path, "val2014", "images/val2014", "--image_directory")
    assert_not_found(tmp_path, "", *named)


@pytest.mark.parametrize(
    "content",
    [
        '[{"image_id": 1, "caption": "A man ."}]',  # COCO's format of results
        '{"annotations": [{"id": 1}]}',
        '{"images": [], "annotations": []}',
        '{"images": 3}',
        "",
        "captions",
    ],
)
def test_a_file_that_does_not_begin_as_one_of_captions_is_refused_at_once(tmp_path, content):
    path = write(tmp_path / "captions_train2014.json", content)
    write_image(tmp_path / "train2014", "train2014")
    assert_not_found(tmp_path, "", path)


def test_a_file_without_annotations_is_refused_when_it_is_read(tmp_path):
    path = write(tmp_path / "captions_test2014.json", '{"images": [{"id": 1}]}')
    with pytest.raises(InputError, match="list 'annotations' with entries") as error:
        list(read_part(CocoPart(path, ANNOTATIONS, "test", "")))
    assert path in str(error.value)


@pytest.mark.parametrize("name", [IMAGES, ANNOTATIONS])
def test_a_file_that_is_cut_off_is_refused_when_it_is_read(tmp_path, name):
    annotations = [annotation(id, 1) for id in range(5000)]
    content = captions([image_entry(1)], annotations)[:-10]
    path = write(tmp_path / "captions_train2014.json", content)
    write_image(tmp_path / "train2014", "train2014")
    source = find_coco(str(tmp_path), "")
    [part] = [part for part in source.parts if part.name == name]
    with pytest.raises(
        InputError, match=f"no valid JSON: at or before byte {len(content)}"
    ) as error:
        list(source.read(part))
    assert path in str(error.value)
