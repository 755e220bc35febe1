"""WebDataset tars: samples, splits, and tars that are cut off, compressed or no tars."""

import gzip
import io
import json
import pickle
import tarfile
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.join_captions import JoinRules, join_image
from pipeline.rejects import CAPTION, DUPLICATE, UNASSIGNED, Reject
from pipeline.sources.files import read_image_bytes
from pipeline.sources.mentions import Mention
from pipeline.sources.webdataset import find_webdataset, split_of
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


def find(path, caption_column="caption"):
    return pickle.loads(pickle.dumps(find_webdataset(str(path), caption_column)))


def read(path, caption_column="caption"):
    source = find(path, caption_column)
    return [found for part in source.parts for found in source.read(part)]


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
    assert [(row.image_id, row.caption_id, row.order, row.text) for row in found] == [
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
    assert len(whole) == 9 and len({row.image_id for row in whole}) == 6
    assert read(tmp_path / "shards" / "[01].tar") == whole[:6]
    write_tar(tmp_path / "more" / "0.tar", MEMBERS)
    assert {row.image_id.rpartition("/")[0] for row in read(tmp_path / "*" / "0.tar")} == {
        "shards/0", "more/0",
    }  # fmt: skip


@pytest.mark.parametrize(
    "value, texts",
    [("A cat", ["A cat"]), (["A cat", "Two"], ["A cat", "Two"])],
)
def test_the_captions_of_a_json_go_by_the_name_of_the_column(tmp_path, value, texts):
    content = json.dumps({"caption": 7, "en": value}).encode()
    path = write_tar(tmp_path / "a" / "0.tar", [("1.json", content), ("1.jpg", b"i")])
    assert [row.text for row in read(path, "en")] == texts


def test_keys_end_at_the_first_dot_of_the_name_and_hold_the_folder(tmp_path):
    members = [
        ("v1.0/a.image.JPG", b"i"),
        ("v1.0/a.txt", b"A dog"),
        ("v1.0/b.url.txt", b"http://x.org"),
        ("v1.0/b.jpeg", b"j"),
    ]
    found = read(write_tar(tmp_path / "a" / "x.y.tar", members))
    assert [(row.image_id, row.text) for row in found] == [
        ("x.y/v1.0/a", "A dog"), ("x.y/v1.0/b", ""),
    ]  # fmt: skip
    assert [read_image_bytes(row.location) for row in found] == [b"i", b"j"]


def test_members_without_a_key_belong_to_no_sample(tmp_path):
    path = tmp_path / "a" / "0.tar"
    members = [("README", b"x"), ("._0.jpg", b"x"), ("d/.x.txt", b"x"), ("0.jpg", b"i")]
    write_tar(path, [*members, ("0.txt", b"A dog")])
    with tarfile.open(path, "a") as tar:
        folder = tarfile.TarInfo("1.jpg")
        folder.type = tarfile.DIRTYPE
        tar.addfile(folder)
    [found] = read(path)
    assert (found.image_id, found.text) == ("0/0", "A dog")


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
    assert (mention.image_id, mention.text, mention.uri) == ("0/1", "", f"{path}/1.jpg")
    assert [row.text for row in others] == ["A dog", "One dog, a café", "A cat"]


def test_a_sample_without_captions_or_without_an_image_is_left_to_the_join(tmp_path):
    members = [("1.jpg", b"i"), ("1.cls", b"7"), ("2.txt", b"A dog"), ("2.webp", b"j")]
    path = write_tar(tmp_path / "a" / "0.tar", members)
    found = read(path)
    assert [(row.image_id, row.text, row.uri) for row in found] == [
        ("0/1", "", f"{path}/1.jpg"), ("0/2", "A dog", ""),
    ]  # fmt: skip


def test_two_images_of_one_key_are_a_duplicate(tmp_path):
    for members in (
        [("1.jpg", b"i"), ("1.png", b"j"), ("1.txt", b"A dog")],
        [("1.jpg", b"i"), ("1.txt", b"A dog"), ("2.txt", b"x"), ("1.jpg", b"k"), ("1.txt", b"A")],
    ):
        path = write_tar(tmp_path / "a" / "0.tar", members)
        rules = JoinRules(path, path, (1.0, 0.0, 0.0), True, "coco")
        found = [row for row in read(path) if row.image_id == "0/1"]
        *rejects, image = join_image("0/1", found, rules)
        assert DUPLICATE in {row.stage for row in rejects}
        assert image.captions == ["A dog"]
        assert read_image_bytes(image.location) in (b"i", b"k")


def test_a_name_that_is_not_utf8_is_kept_in_a_form_that_can_be_written(tmp_path):
    members = [("caf\udce9.jpg", b"i"), ("caf\udce9.txt", b"A dog")]
    [found] = read(write_tar(tmp_path / "a" / "0.tar", members, tarfile.GNU_FORMAT))
    assert found.image_id == "0/caf\\xe9" and read_image_bytes(found.location) == b"i"
    "".join(map(str, found)).encode("utf-8")


@pytest.mark.parametrize(
    "path, split",
    [
        ("d/train-000001.tar", "train"),
        ("d/mscoco-val-00.tar", "validation"),
        ("d/cc3m_Validation_0.tar", "validation"),
        ("d/flickr.dev.tar", "validation"),
        ("d/test2014_7.tar", "test"),
        ("d/000.tar", ""),
        ("d/contest-latest-0.tar", ""),
        ("gs://b/train/000.tar", "train"),
        ("gs://b/coco/val/000.tar", "validation"),
        ("gs://train/x/000.tar", ""),
        ("home/test-run/000.tar", ""),
        ("test/train-0.tar", "train"),
        ("000.tar", ""),
    ],
)
def test_the_split_is_a_word_in_the_name_of_the_tar_or_of_its_directory(path, split):
    assert split_of(path) == split


def test_splits_of_all_tars_are_those_of_their_images(tmp_path):
    for name in ("train-0", "val-0", "test-0"):
        write_tar(tmp_path / "shards" / f"{name}.tar", MEMBERS)
    source = find(tmp_path / "shards")
    assert source.has_splits
    assert {row.image_id: row.split for part in source.parts for row in source.read(part)} == {
        "test-0/000": "test", "test-0/001": "test", "train-0/000": "train",
        "train-0/001": "train", "val-0/000": "validation", "val-0/001": "validation",
    }  # fmt: skip


def test_tars_without_a_split_have_none(tmp_path):
    write_tar(tmp_path / "shards" / "0.tar", MEMBERS)
    assert not find(tmp_path / "shards").has_splits


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
            st.sampled_from(["jpg", "txt", "json", "cls", "x.png"]),
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
    assert {row.image_id for row in found if isinstance(row, Mention)} == {
        f"0/{key}" for key, _, _ in members
    }
    located = {row.location for row in found if isinstance(row, Mention) and row.location}
    assert sorted(map(read_image_bytes, located)) == sorted(
        content for _, field, content in members if field in ("jpg", "x.png")
    )
