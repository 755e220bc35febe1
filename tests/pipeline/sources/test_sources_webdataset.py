"""WebDataset tars: samples, splits, and tars that are cut off, compressed or no tars."""

import gzip
import io
import itertools
import json
import pickle
import tarfile
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.accounting.rejects import CAPTION, JOIN, UNASSIGNED, Reject
from pipeline.config import LEAVE_OUT
from pipeline.sources.files import read_image_bytes
from pipeline.sources.mentions import Mention
from pipeline.sources.split_names import make_split_names
from pipeline.sources.webdataset import choose_fields, find_webdataset
from pipeline.text.join_captions import JoinRules, join_image
from tfrecords_schema.errors import InputError

MEMBERS = [
    ("000.jpg", b"first image"),
    ("000.txt", "A dog\n\nOne dog, a café \n".encode()),
    ("000.json", b'{"caption": "not this", "url": "x"}'),
    ("001.json", json.dumps({"caption": "A cat", "width": 7}).encode()),
    ("001.png", b"second image"),
]


def write_tar(path, members, format=tarfile.PAX_FORMAT):
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w", format=format) as tar:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return str(path)


NAMES = make_split_names("train", None)


def find(path, names=NAMES, **flags):
    asked = dict(image_field="", caption_field="", caption_column="caption", text_captions="lines")
    source = find_webdataset(str(path), choose_fields(**asked | flags), names)
    return pickle.loads(pickle.dumps(source))


def read(path, **flags):
    source = find(path, **flags)
    return [found for part in source.parts for found in source.read(part)]


def joined(found):
    """What the join makes of one image."""
    rules = JoinRules("tars", "tars", (1.0, 0.0, 0.0), True, "coco")
    return list(join_image(found[0].key, found, rules))


def assert_refused(path, *named):
    with pytest.raises(InputError) as error:
        read(path)
    assert str(error.value).startswith("--input")
    for text in named:
        assert str(text) in str(error.value)


@pytest.mark.parametrize("format", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT])
def test_samples_are_put_together_from_neighbouring_members(tmp_path, format):
    path = write_tar(tmp_path / "shards" / "00012.tar", MEMBERS, format)
    found = read(path)
    assert [(row.key, row.caption_id, row.order, row.text) for row in found] == [
        ("00012/000", "00012/000#0", 0, "A dog"),
        ("00012/000", "00012/000#1", 1, "One dog, a café"),
        ("00012/001", "00012/001", 1000, "A cat"),
    ]
    assert [row.uri for row in found] == [f"{path}/000.jpg"] * 2 + [f"{path}/001.png"]
    assert [read_image_bytes(row.location) for row in found] == [
        b"first image", b"first image", b"second image",
    ]  # fmt: skip


def test_a_directory_and_a_pattern_are_all_their_tars_with_keys_of_their_own(tmp_path):
    for i in range(3):
        write_tar(tmp_path / "shards" / f"{i}.tar", MEMBERS)
    (tmp_path / "shards" / "notes.txt").write_text("not a tar")
    whole = read(tmp_path / "shards")
    assert len(whole) == 9 and len({row.key for row in whole}) == 6
    assert read(tmp_path / "shards" / "[01].tar") == whole[:6]
    write_tar(tmp_path / "more" / "0.tar", MEMBERS)
    assert {row.key.rpartition("/")[0] for row in read(tmp_path / "*" / "0.tar")} == {
        "shards/0", "more/0",
    }  # fmt: skip


@pytest.mark.parametrize(
    "value, texts",
    [("A cat", ["A cat"]), (["A cat", "Two"], ["A cat", "Two"])],
)
def test_the_captions_of_a_json_go_by_the_name_of_the_column(tmp_path, value, texts):
    content = json.dumps({"caption": 7, "en": value}).encode()
    path = write_tar(tmp_path / "a" / "0.tar", [("1.json", content), ("1.jpg", b"i")])
    assert [row.text for row in read(path, caption_column="en")] == texts


def test_keys_end_at_the_first_dot_of_the_name_and_hold_the_folder(tmp_path):
    members = [
        ("v1.0/a.JPG", b"i"),
        ("v1.0/a.txt", b"A dog"),
        ("v1.0/b.url.txt", b"http://x.org"),
        ("v1.0/b.jpeg", b"j"),
    ]
    found = read(write_tar(tmp_path / "a" / "x.y.tar", members))
    assert [(row.key, row.text) for row in found] == [
        ("x.y/v1.0/a", "A dog"), ("x.y/v1.0/b", ""),
    ]  # fmt: skip
    assert [read_image_bytes(row.location) for row in found] == [b"i", b"j"]


@pytest.mark.parametrize("field", ["jpg", "jpeg", "png", "webp", "gif", "bmp", "JPG", "WebP"])
def test_the_image_is_the_field_that_is_called_as_a_format_is(tmp_path, field):
    others = ["depth.png", "image.jpg", "jpg2", "mask.webp", "pdf"]
    members = [("0.txt", b"A dog"), (f"0.{field}", b"image"), *((f"0.{o}", b"x") for o in others)]
    [found] = read(write_tar(tmp_path / "a" / "0.tar", members))
    assert read_image_bytes(found.location) == b"image"


def test_keys_with_dots_are_refused_with_how_a_key_is_cut_and_what_was_seen(tmp_path):
    members = [("img.0001.jpg", b"i"), ("img.0001.txt", b"A dog"), ("img.0002.jpg", b"j")]
    [found] = read(write_tar(tmp_path / "a" / "0.tar", members))
    assert not found.uri
    for text in (
        "first dot of a name",
        "key img are 0001.jpg, 0001.txt, 0002.jpg",
        "--image_field",
    ):
        assert text in found.problem
    *_, last = joined([found])
    assert (last.stage, last.message) == (JOIN, found.problem)


def test_flags_choose_among_several_images_and_captions(tmp_path):
    members = [
        ("0.jpg", b"thumbnail"),
        ("0.photo.png", b"photograph"),
        ("0.txt", b"a title"),
        ("0.json", b'{"caption": "A dog"}'),
        ("0.en.json", b'{"caption": "One dog"}'),
        ("0.alt", b"Two dogs\nThree dogs"),
    ]
    path = write_tar(tmp_path / "a" / "0.tar", members)
    assert [row.text for row in read(path)] == ["a title"]
    for field, texts in [
        ("json", ["A dog"]), (".JSON", ["A dog"]), ("en.json", ["One dog"]),
        ("alt", ["Two dogs", "Three dogs"]), ("txt", ["a title"]),
    ]:  # fmt: skip
        assert [row.text for row in read(path, caption_field=field)] == texts
    for field in ("photo.png", ".Photo.PNG"):
        [found] = read(path, image_field=field)
        assert read_image_bytes(found.location) == b"photograph"
    [found] = read(path, image_field="webp", caption_field="cap")
    assert "no field webp" in found.problem and not found.uri and not found.text


def test_a_text_may_be_one_caption_with_line_breaks(tmp_path):
    members = [("0.jpg", b"i"), ("0.txt", b"A dog\r\n\n that runs\n"), ("1.jpg", b"j")]
    path = write_tar(tmp_path / "a" / "0.tar", [*members, ("1.txt", b" \n")])
    one, reject, two = read(path, text_captions="whole")
    assert (one.text, one.caption_id) == ("A dog that runs", "0/0")
    assert (reject.id, reject.message) == ("0/1", "empty caption")
    assert (two.key, two.text) == ("0/1", "")


def test_members_without_a_key_belong_to_no_sample(tmp_path):
    path = tmp_path / "a" / "0.tar"
    members = [("README", b"x"), ("._0.jpg", b"x"), ("d/.x.txt", b"x"), ("0.jpg", b"i")]
    write_tar(path, [*members, ("0.txt", b"A dog")])
    with tarfile.open(path, "a") as tar:
        folder = tarfile.TarInfo("1.jpg")
        folder.type = tarfile.DIRTYPE
        tar.addfile(folder)
    [found] = read(path)
    assert (found.key, found.text) == ("0/0", "A dog")


@pytest.mark.parametrize(
    "members, message, id",
    [
        ([("1.txt", b" \n\n")], "empty caption", "0/1"),
        ([("1.txt", b"A caf\xe9")], "not valid UTF-8: A caf\\xe9", "0/1#0"),
        ([("1.json", b"{")], "1.json is not JSON: Expecting", "0/1"),
        ([("1.json", b'{"text": "A dog"}')], "1.json has no 'caption'", "0/1"),
        ([("1.json", b"[]")], "1.json has no 'caption'", "0/1"),
        ([("1.json", b'{"caption": null}')], "empty caption", "0/1"),
        ([("1.json", b'{"caption": 7}')], "the caption is '7'", "0/1"),
        ([("1.json", b'{"caption": "\\ud83d"}')], "not valid UTF-8", "0/1"),
    ],
)
def test_a_bad_caption_costs_only_itself(tmp_path, members, message, id):
    path = write_tar(tmp_path / "a" / "0.tar", [("1.jpg", b"i"), *members, *MEMBERS])
    reject, mention, *others = read(path)
    assert (reject.id, reject.uri) == (id, path)
    assert (reject.split, reject.stage) == (UNASSIGNED, CAPTION)
    assert message in reject.message
    assert (mention.key, mention.text, mention.uri) == ("0/1", "", f"{path}/1.jpg")
    assert [row.text for row in others] == ["A dog", "One dog, a café", "A cat"]


def test_a_sample_without_captions_or_without_an_image_is_left_to_the_join(tmp_path):
    members = [("1.jpg", b"i"), ("1.cls", b"7"), ("2.txt", b"A dog"), ("2.tiff", b"j")]
    path = write_tar(tmp_path / "a" / "0.tar", members)
    found = read(path)
    assert [(row.key, row.text, row.uri) for row in found] == [
        ("0/1", "", f"{path}/1.jpg"), ("0/2", "A dog", ""),
    ]  # fmt: skip
    assert found[0].problem == "no field txt or json; the fields of key 1 are cls, jpg"
    assert found[1].problem.startswith("no field jpg, jpeg, png, ")
    assert "the fields of key 2 are tiff, txt" in found[1].problem
    for row in found:
        *_, last = joined([row])
        assert last.stage == JOIN and row.problem in last.message


def test_two_images_of_one_sample_are_refused_with_the_flag_that_decides(tmp_path):
    members = [("1.png", b"j"), ("1.jpg", b"i"), ("1.txt", b"A dog")]
    [found] = read(write_tar(tmp_path / "a" / "0.tar", members))
    assert found.text == "A dog" and not found.uri
    assert found.problem == (
        "2 images, jpg and png: --image_field=jpg takes one; the fields of key 1 are jpg, png, txt"
    )


def test_two_samples_of_one_key_are_two_images_whose_captions_are_not_merged(tmp_path):
    members = [
        ("1.jpg", b"i"), ("1.txt", b"A dog"), ("2.txt", b"x"), ("1.jpg", b"k"), ("1.txt", b"A"),
    ]  # fmt: skip
    path = write_tar(tmp_path / "a" / "0.tar", members)
    rows = joined([row for row in read(path) if row.key == "0/1"])
    assert [(row.id, row.stage, row.exception) for row in rows] == [
        ("0/1", JOIN, "TwoFilesError")
    ] * 2


def test_a_name_that_is_not_utf8_is_kept_in_a_form_that_can_be_written(tmp_path):
    members = [("caf\udce9.jpg", b"i"), ("caf\udce9.txt", b"A dog")]
    [found] = read(write_tar(tmp_path / "a" / "0.tar", members, tarfile.GNU_FORMAT))
    assert found.key == "0/caf\\xe9" and read_image_bytes(found.location) == b"i"
    "".join(map(str, found)).encode("utf-8")


def test_splits_of_all_tars_are_those_of_their_images(tmp_path):
    for name in ("train-0", "val-0", "test-0"):
        write_tar(tmp_path / "shards" / f"{name}.tar", MEMBERS)
    source = find(tmp_path / "shards")
    assert source.has_splits and source.splits == ("test", "train", "validation")
    assert {row.key: row.split for part in source.parts for row in source.read(part)} == {
        "test-0/000": "test", "test-0/001": "test", "train-0/000": "train",
        "train-0/001": "train", "val-0/000": "validation", "val-0/001": "validation",
    }  # fmt: skip


def test_names_of_splits_can_be_given_or_left_aside(tmp_path):
    for name in ("train-0", "mine-0", "extra-0"):
        write_tar(tmp_path / "shards" / f"{name}.tar", MEMBERS)
    names = make_split_names("train", {"mine": "test", "extra": LEAVE_OUT})
    found = read(tmp_path / "shards", names=names)
    assert {row.split for row in found if row.key.startswith("mine-0/")} == {"test"}
    assert {row.split for row in found if row.key.startswith("extra-0/")} == {LEAVE_OUT}
    source = find(tmp_path / "shards", names={})
    assert not source.has_splits
    assert {row.split for part in source.parts for row in source.read(part)} == {""}


def test_tars_without_a_split_have_none(tmp_path):
    write_tar(tmp_path / "shards" / "0.tar", MEMBERS)
    source = find(tmp_path / "shards")
    assert not source.has_splits and source.splits == ()


def test_tars_of_which_only_some_name_a_split_are_refused(tmp_path):
    one = write_tar(tmp_path / "shards" / "train-0.tar", MEMBERS)
    other = write_tar(tmp_path / "shards" / "0.tar", MEMBERS)
    assert_refused(tmp_path / "shards", one, other)


def test_a_name_with_two_splits_is_refused(tmp_path):
    assert_refused(
        write_tar(tmp_path / "d" / "train-val-0.tar", []), "train-val-0.tar", "train and validation"
    )


@pytest.mark.parametrize("suffix", [".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".tar.zst"])
def test_a_compressed_tar_is_refused(tmp_path, suffix):
    write_tar(tmp_path / "d" / "0.tar", MEMBERS)
    path = tmp_path / "d" / f"1{suffix}"
    path.write_bytes(b"x")
    assert_refused(tmp_path / "d", path, "compressed", "unpack")


def test_a_compressed_tar_by_another_name_is_refused(tmp_path):
    path = write_tar(tmp_path / "d" / "0.tar", MEMBERS)
    with open(path, "rb") as file:
        content = gzip.compress(file.read())
    (tmp_path / "d" / "0.tar").write_bytes(content)
    assert_refused(path, path, "not a whole tar file")


@pytest.mark.parametrize("content", [b"", b"no tar", b"\xff" * 5000])
def test_a_file_that_is_no_tar_is_named(tmp_path, content):
    (tmp_path / "0.tar").write_bytes(content)
    assert_refused(tmp_path / "0.tar", tmp_path / "0.tar", "not a whole tar file")


def test_an_empty_tar_holds_nothing(tmp_path):
    assert read(write_tar(tmp_path / "d" / "0.tar", [])) == []


def test_missing_tars_are_named(tmp_path):
    (tmp_path / "a.jpg").write_bytes(b"x")
    assert_refused(tmp_path, tmp_path, ".tar")


# Each member below is a block of header and one of data; then come the zeros at the end.
@pytest.mark.parametrize(
    "blocks, whole",
    [
        (0.5, "its start"), (1, "its start"), (1.1, "its start"), (2, "0.jpg"), (2.5, "0.jpg"),
        (3, "0.jpg"), (3.7, "0.jpg"), (4, "0.txt"), (4.9, "0.txt"),
    ],
)  # fmt: skip
def test_a_tar_that_is_cut_off_is_named_with_its_last_whole_member(tmp_path, blocks, whole):
    path = write_tar(tmp_path / "d" / "0.tar", [("0.jpg", b"i"), ("0.txt", b"A dog")])
    with open(path, "r+b") as file:
        file.truncate(int(blocks * 512))
    assert_refused(path, path, "not a whole tar file", f"after {whole}")


def test_a_damaged_header_does_not_end_a_tar_in_silence(tmp_path):
    path = write_tar(tmp_path / "d" / "0.tar", [("0.jpg", b"i"), ("0.txt", b"A dog")])
    with open(path, "r+b") as file:
        file.seek(1024)
        file.write(b"\xff" * 100)
    assert_refused(path, path, "no end mark", "after 0.jpg")


def test_images_are_not_read_and_headers_not_kept(tmp_path):
    path = tmp_path / "d" / "0.tar"
    members = [(f"{i:05d}.{kind}", b"A dog") for i in range(3000) for kind in ("jpg", "txt")]
    write_tar(path, [("big.jpg", bytes(20 << 20)), *members])
    source = find(path)
    tracemalloc.start()
    count = sum(1 for part in source.parts for _ in source.read(part))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert count == 3001 and peak < 500_000


@settings(deadline=None, max_examples=100)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["a", "b", "c"]),
            st.sampled_from(["jpg", "png", "txt", "json", "cls", "x.png"]),
            st.binary(max_size=4) | st.just(b'{"caption": "A dog"}'),
        ),
        max_size=8,
    )
)
def test_every_image_and_key_comes_out(tmp_path_factory, members):
    path = tmp_path_factory.getbasetemp() / "odd" / "0.tar"
    write_tar(path, [(f"{key}.{field}", content) for key, field, content in members])
    found = read(path)
    assert {type(row) for row in found} <= {Mention, Reject}
    assert {row.key for row in found if isinstance(row, Mention)} == {
        f"0/{key}" for key, _, _ in members
    }
    # A sample is a run of members of one key; its image is its only field that is one.
    samples = [list(run) for _, run in itertools.groupby(members, lambda member: member[0])]
    images = [[content for _, field, content in run if field in ("jpg", "png")] for run in samples]
    located = {row.location for row in found if isinstance(row, Mention) and row.location}
    assert sorted(map(read_image_bytes, located)) == sorted(
        content for [content] in (one for one in images if len(one) == 1)
    )
    lost = {row.key for row in found if isinstance(row, Mention) and row.problem}
    for run, found_in_it in zip(samples, images, strict=True):
        assert len(found_in_it) == 1 or f"0/{run[0][0]}" in lost
