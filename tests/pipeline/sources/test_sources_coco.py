"""COCO captions on disk: layouts, what is missing, and every kind of bad entry."""

import json
import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.accounting.rejects import CAPTION, JOIN, UNASSIGNED, Reject
from pipeline.config import LEAVE_OUT
from pipeline.sources.coco import ANNOTATIONS, IMAGES, CocoPart, find_coco, read_part
from pipeline.sources.mentions import Mention
from pipeline.sources.split_names import make_split_names
from pipeline.text.join_captions import CaptionedImage, JoinRules, image_name, join_image
from tfrecords_schema.errors import InputError

INFO = {"description": "COCO", "year": 2014, "contributor": "COCO Consortium"}
NAMES = make_split_names("train", None)
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


def both_lists(path, split, images, file=""):
    return [CocoPart(path, name, split, images, file) for name in (IMAGES, ANNOTATIONS)]


def find(path, image_directory="", names=NAMES, needs_images=True):
    return find_coco(str(path), str(image_directory), names, needs_images)


def read(source):
    return [found for part in source.parts for found in source.read(part)]


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
        expected += both_lists(path, split, folder, release + year)
    write(tmp_path / annotations / "instances_train2014.json", "{}")
    source = find(tmp_path)
    assert source.parts == expected
    assert source.has_splits and source.splits == ("test", "train", "validation")
    assert source.names_may_collide and source.keys_are_references
    assert source.images == str(tmp_path)
    assert all(part.path in source.captions for part in source.parts)


def test_files_in_the_directory_come_before_those_in_annotations(tmp_path):
    path = write_captions(tmp_path, "train2014")
    write_captions(tmp_path / "annotations", "val2014")
    write_image(tmp_path / "train2014", "train2014")
    assert {part.path for part in find(tmp_path).parts} == {path}


def test_images_may_lie_elsewhere_in_a_folder_a_release(tmp_path):
    path = write_captions(tmp_path / "text", "train2014")
    folder = write_image(tmp_path / "pictures" / "train2014", "train2014")
    write_image(tmp_path / "text" / "train2014", "train2014")
    source = find(tmp_path / "text", tmp_path / "pictures")
    assert source.parts == both_lists(path, "train", folder)
    assert source.images == str(tmp_path / "pictures")


def test_images_may_lie_elsewhere_all_in_one_folder(tmp_path):
    paths = [write_captions(tmp_path / "text", release) for release in ("train2017", "val2017")]
    folder = write_image(tmp_path / "pictures", "train2017")
    source = find(tmp_path / "text", folder)
    assert source.parts == [
        *both_lists(paths[0], "train", folder, "train2017"),
        *both_lists(paths[1], "validation", folder, "val2017"),
    ]


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


def test_lists_are_found_in_any_order_and_beside_others(tmp_path):
    content = {ANNOTATIONS: [annotation(1, 2)], "x": {IMAGES: [3]}, IMAGES: [image_entry(2)]}
    path = write(tmp_path / "captions_train2014.json", json.dumps(content))
    write_image(tmp_path / "train2014", "train2014")
    source = find(tmp_path)
    assert [mention.key for mention in read(source)] == ["2", "2"]
    assert source.captions == path


def joined(source):
    """What the join makes of the source, and the rejects before it."""
    mentions, rejects = {}, []
    for part in source.parts:
        for found in source.read(part):
            if isinstance(found, Reject):
                rejects.append(found)
            else:
                mentions.setdefault(found.key, []).append(found)
    rules = JoinRules(source.captions, source.images, None, True, "coco")
    names = {key: image_name(key, said, False) for key, said in mentions.items()}
    return [
        row for key in mentions for row in join_image(names[key], mentions[key], rules)
    ], rejects


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


@pytest.mark.parametrize("name", ["train2014/a.jpg", "./train2014/a.jpg", "x/../train2014//a.jpg"])
@pytest.mark.parametrize("images", ["", "images"])
def test_a_file_name_may_hold_its_folder(tmp_path, name, images):
    content = captions([{"id": 1, "file_name": name}], [annotation(1, 1)])
    write(tmp_path / "captions_train2014.json", content)
    path = write(tmp_path / images / "train2014" / "a.jpg", b"image")
    [image], rejects = joined(find(tmp_path))
    assert (image.location, image.split, rejects) == (path, "train", [])


def test_a_folder_of_the_split_may_be_called_as_the_split(tmp_path):
    for folder in ("train", "images/train"):
        root = tmp_path / folder.partition("/")[0]
        write(root / "captions_train2014.json", captions([image_entry(1)], [annotation(1, 1)]))
        write_image(root / folder, "train2014", 1)
        [image], _ = joined(find(root))
        assert image.location.startswith(str(root / folder))


def test_a_directory_of_links_is_followed(tmp_path):
    write_captions(tmp_path / "text", "train2014")
    write_image(tmp_path / "disk" / "pictures", "train2014")
    (tmp_path / "text" / "train2014").symlink_to(tmp_path / "disk" / "pictures")
    [image], rejects = joined(find(tmp_path / "text"))
    assert os.path.isfile(image.location) and not rejects
    os.makedirs(tmp_path / "links" / "train2014")
    write_captions(tmp_path / "links", "train2014")
    for path in (tmp_path / "disk" / "pictures").iterdir():
        (tmp_path / "links" / "train2014" / path.name).symlink_to(path)
    [image], rejects = joined(find(tmp_path / "links"))
    assert os.path.isfile(image.location) and not rejects


def test_the_folder_in_which_the_names_are_found_is_taken(tmp_path):
    names = [f"{n}.jpg" for n in range(30)]
    images = [{"id": n, "file_name": name} for n, name in enumerate(names)]
    write(tmp_path / "captions_train2014.json", captions(images, [annotation(1, 1)]))
    write(tmp_path / "train2014" / "other.txt", b"x")
    write(tmp_path / "images" / "train2014" / names[7], b"image")  # the first are missing
    assert {part.images for part in find(tmp_path).parts} == {
        str(tmp_path / "images" / "train2014")
    }


def test_a_folder_of_images_that_has_none_of_them_is_taken_for_the_missing_to_be_named(tmp_path):
    write_captions(tmp_path, "train2014")
    write(tmp_path / "train2014" / "other.jpg", b"image")
    [image], _ = joined(find(tmp_path))  # opening it will say what is missing
    assert image.location.startswith(str(tmp_path / "train2014"))


@pytest.mark.parametrize(
    "name, split",
    [
        ("train.json", "train"),  # VizWiz
        ("val.json", "validation"),
        ("nocaps_val_4500_captions.json", "validation"),
        ("nocaps_test_image_info.json", "test"),
        ("mine.json", ""),
    ],
)
@pytest.mark.parametrize("folder", ["", "annotations"])
def test_captions_files_may_have_other_names(tmp_path, name, split, folder):
    content = captions([{"id": 1, "file_name": "a.jpg"}], [annotation(1, 1)])
    path = write(tmp_path / folder / name, content)
    write(tmp_path / folder / "instances_train2014.json", captions([image_entry(1)], [{"id": 1}]))
    write(tmp_path / folder / "notes.json", '{"images": 3}')
    write(tmp_path / "a.jpg", b"image")
    for asked in (tmp_path, path, tmp_path / folder / f"*{name[2:]}"):
        source = find(asked)
        assert source.parts == both_lists(path, split, str(tmp_path))
        assert source.splits == (split,) * bool(split)
        assert source.has_splits == bool(split)
        assert not source.keys_are_references and not source.names_may_collide


def test_files_that_are_called_as_cocos_come_before_others(tmp_path):
    path = write_captions(tmp_path / "annotations", "train2014")
    write(tmp_path / "val.json", captions([image_entry(2)], [annotation(2, 2)]))
    write_image(tmp_path / "train2014", "train2014")
    assert {part.path for part in find(tmp_path).parts} == {path}


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


def test_splits_go_by_the_names_that_are_given(tmp_path):
    for name in ("captions_minival.json", "captions_train.json", "captions_test.json"):
        write(tmp_path / name, captions([{"id": 1, "file_name": "a.jpg"}], [annotation(1, 1)]))
    write(tmp_path / "a.jpg", b"image")
    names = make_split_names("train", {"minival": "validation", "test": LEAVE_OUT})
    source = find(tmp_path, names=names)
    assert source.splits == ("train", "validation")
    assert {os.path.basename(part.path) for part in source.parts} == {
        "captions_minival.json", "captions_train.json",
    }  # fmt: skip
    everything = make_split_names("train", dict.fromkeys(("minival", "train", "test"), LEAVE_OUT))
    with pytest.raises(InputError, match="--split_names leaves out every captions file"):
        find(tmp_path, names=everything)


def test_by_hash_no_name_of_a_file_says_a_split(tmp_path):
    for name in ("captions_minival.json", "captions_train.json", "captions_train_val.json"):
        write(tmp_path / name, captions([{"id": 1, "file_name": "a.jpg"}], [annotation(1, 1)]))
    write(tmp_path / "a.jpg", b"image")
    source = find(tmp_path, names={})
    assert {one.split for one in read(source)} == {""}
    assert (source.has_splits, source.splits) == (False, ())


def test_a_data_set_of_text_needs_no_images(tmp_path):
    for name in ("train2014", "val2014"):
        write_captions(tmp_path, name, 1)
    source = find(tmp_path, needs_images=False)
    found = read(source)
    assert len({one.uri for one in found if one.uri}) == 2  # the paths still tell them apart
    assert not any(os.path.exists(one.uri) for one in found if one.uri)


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


def assert_not_found(directory, image_directory, *named):
    with pytest.raises(InputError) as error:
        find(directory, image_directory)
    for text in named:
        assert str(text) in str(error.value)


def test_a_missing_directory_is_named(tmp_path):
    assert_not_found(tmp_path / "nowhere", "", "--input", tmp_path / "nowhere", "does not exist")


def test_a_missing_image_directory_is_named(tmp_path):
    write_captions(tmp_path, "train2014")
    assert_not_found(
        tmp_path, tmp_path / "x", "--image_directory", tmp_path / "x", "does not exist"
    )


def test_wildcards_are_taken_for_a_pattern_of_captions_files_and_refused_for_images(tmp_path):
    path = write_captions(tmp_path / "text", "train2014")
    write_image(tmp_path / "train2014", "train2014")
    write_image(tmp_path / "my[1]", "train2014")
    assert find(tmp_path / "t[e]xt" / "captions_*", tmp_path).captions == path
    assert_not_found(tmp_path / "text" / "no*", "", "--input", "matches no file")
    assert_not_found(
        tmp_path / "text", tmp_path / "my[1]", "--image_directory", "takes as wildcards"
    )


def test_missing_captions_are_named(tmp_path):
    write(tmp_path / "annotations" / "instances_train2014.json", "{}")
    assert_not_found(tmp_path, "", "--input", tmp_path, "annotations", "captions_*.json")


@pytest.mark.parametrize(
    "name", ["captions_minival2014.json", "captions_.json", "captions_trains.json"]
)
def test_a_file_that_names_no_split_where_others_do_is_refused(tmp_path, name):
    write_captions(tmp_path, "train2014")
    write_image(tmp_path / "train2014", "train2014")
    write(tmp_path / name, captions([image_entry(1)], [annotation(1, 1)]))
    assert_not_found(
        tmp_path, "", "--input", tmp_path / name, "names a split and", "--split_fractions"
    )


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


def test_a_split_without_captions_is_refused_with_the_way_to_leave_it_out(tmp_path):
    """As nocaps publishes its test split."""
    write(tmp_path / "train.json", captions([image_entry(1)], [annotation(1, 1)]))
    path = write(tmp_path / "nocaps_test_image_info.json", json.dumps({IMAGES: [image_entry(2)]}))
    write_image(tmp_path / "images", "train2014", 1)
    assert_not_found(tmp_path, "", path, "no `caption`", "--split_names=test=leave_out")
    source = find(tmp_path, names=make_split_names("train", {"test": LEAVE_OUT}))
    assert source.splits == ("train",)


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
    content = captions([image_entry(n) for n in range(30)], annotations)[:-10]
    path = write(tmp_path / "captions_train2014.json", content)
    write_image(tmp_path / "train2014", "train2014")
    source = find(tmp_path)
    [part] = [part for part in source.parts if part.name == name]
    with pytest.raises(
        InputError, match=rf"no valid JSON: line 1, column {len(content)} \(byte {len(content)}\)"
    ) as error:
        list(source.read(part))
    assert path in str(error.value)
