"""One shard: its records, and what a bad image costs."""

import hashlib
import io
import os
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import tensorflow as tf
from apache_beam.pvalue import TaggedOutput
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from pipeline.accounting.receipts import read_receipt
from pipeline.accounting.rejects import DECODE, ENCODE, READ
from pipeline.config import CLEAN
from pipeline.images.decode_image import Decoding, decode_image
from pipeline.shards import write_shards
from pipeline.shards.encode_images import BATCH, Machine
from pipeline.shards.write_shards import ShardJob, WriteShard, to_record
from pipeline.sources.files import byte_range
from pipeline.text.join_captions import CaptionedImage
from pipeline.text.tokenize import tokenize
from tfrecords_schema.atomic_file import write_text
from tfrecords_schema.features import record_features
from tfrecords_schema.parse import parse_record
from tfrecords_schema.vocabulary import END, START, UNK, Vocabulary

VOCABULARY = Vocabulary(["dog", "cat", "runs", "a"])
SHARD = "captions-train.tfrecord-00000-of-00001"
POISON = (255, 0, 0)  # the colour that the encoder below cannot take
CAPTIONS = st.lists(
    st.lists(st.sampled_from(["A", "dog", "cat.", "zebra", "1", "..."]), max_size=6).map(" ".join),
    max_size=4,
)


# --- records


def image(name="a.jpg", captions=("A dog .",), location="", split="train"):
    return CaptionedImage(name, f"uri/{name}", location, split, list(captions))


def test_a_record_has_the_ids_of_its_captions_and_counts_its_words():
    captions = ["A dog runs .", "A zebra runs and runs", "A cat"]
    features = np.zeros(3, np.float16)
    record, counts = to_record(image(captions=captions), features, VOCABULARY, "coco", 4)
    assert record.image_features is features
    assert (record.image_id, record.image_uri) == ("a.jpg", "uri/a.jpg")
    assert record.captions == captions  # the text is kept whole
    assert record.caption_ids == [
        [START, 7, 4, 6, END],
        [START, 7, UNK, 6, UNK, END],
        [START, 7, 5, END],
    ]
    assert counts == {
        "words": 9, "unknown_words": 2, "truncated_captions": 1, "known_captions": 2,
    }  # fmt: skip


def test_a_caption_of_just_the_longest_length_is_not_truncated():
    three_words = image(captions=["a dog runs"])
    for max_length, truncated in ((2, 1), (3, 0), (4, 0)):
        record, counts = to_record(three_words, None, VOCABULARY, "coco", max_length)
        assert len(record.caption_ids[0]) == min(max_length, 3) + 2
        assert counts["truncated_captions"] == truncated


def test_an_unknown_word_that_was_cut_off_is_not_counted():
    _, counts = to_record(image(captions=["a dog zebra"]), None, VOCABULARY, "coco", 2)
    assert counts == {
        "words": 2, "unknown_words": 0, "truncated_captions": 1, "known_captions": 1,
    }  # fmt: skip


@given(CAPTIONS, st.sampled_from(CLEAN), st.integers(1, 7))
def test_ids_are_those_of_the_first_words_and_counts_are_of_the_ids(captions, clean, max_length):
    record, counts = to_record(image(captions=captions), None, VOCABULARY, clean, max_length)
    assert record.captions == captions
    words = [tokenize(caption, clean) for caption in captions]
    assert record.caption_ids == [VOCABULARY.ids(some[:max_length]) for some in words]
    inner = [ids[1:-1] for ids in record.caption_ids]
    expected = {
        "words": sum(map(len, inner)),
        "unknown_words": sum(ids.count(UNK) for ids in inner),
        "truncated_captions": sum(len(some) > max_length for some in words),
        "known_captions": sum(UNK not in ids for ids in inner),
    }
    assert {name: counts.get(name, 0) for name in expected} == expected
    assert counts.keys() <= expected.keys()


# --- a whole shard


class MeanColour:
    """An encoder of pictures of one colour: [red, green, blue], and it fails on POISON."""

    def __init__(self, scale=1.0):
        self.scale, self.batches = scale, []

    @tf.function(input_signature=[tf.TensorSpec([], tf.string)], autograph=False)
    def decode_image(self, image_bytes):
        return decode_image(image_bytes, Decoding(side=4, max_pixels=1000))

    def decode_images(self, contents):
        return tf.stack([self.decode_image(content) for content in contents])

    def encode(self, images):
        self.batches.append(len(images))
        colours = tf.round(tf.reduce_mean(images, [1, 2]))
        if tf.reduce_any(tf.reduce_all(colours == tf.constant(POISON, tf.float32), axis=1)):
            raise tf.errors.InvalidArgumentError(None, None, "cannot take this colour")
        return colours * self.scale


def picture(colour):
    file = io.BytesIO()
    Image.new("RGB", (5, 5), colour).save(file, "PNG")
    return file.getvalue()


def job_in(directory, **changes):
    fields = dict(
        directory=str(directory), shard_counts={"train": 1}, feature_shape=(3,),
        feature_dtype="float32", clean="coco", max_length=50, fingerprint="", worker_threads=0,
    )  # fmt: skip
    return ShardJob(**fields | changes)


@pytest.fixture
def directory(tmp_path):
    write_text(str(tmp_path / "vocabulary.txt"), VOCABULARY.to_text())
    (tmp_path / "images").mkdir()
    return tmp_path


@pytest.fixture
def draw(directory):
    """Draws pictures of these colours; the image that has no file for None."""

    def draw_pictures(*colours):
        images = []
        for number, colour in enumerate(colours):
            path = directory / "images" / f"{number}.png"
            if colour is not None:
                path.write_bytes(colour if isinstance(colour, bytes) else picture(colour))
            images.append(image(path.name, ["A dog .", f"Picture {number}"], str(path)))
        return images

    return draw_pictures


@pytest.fixture
def pictures():
    """What the last shard that was written tells of its pictures, in windows."""
    return []


@pytest.fixture
def write(directory, monkeypatch, pictures):
    """Writes the only shard of these images; returns its rejects."""

    def write_shard(images, encoder=None, **changes):
        job = job_in(directory, **changes)
        with ThreadPoolExecutor(2) as cores, ThreadPoolExecutor(2) as readers:
            machine = Machine(
                encoder or MeanColour(), BATCH, cores, 2, readers, threading.Semaphore(2),
                threading.Lock(),
            )  # fmt: skip
            monkeypatch.setattr(write_shards, "start_machine", lambda *_: machine)
            writer = WriteShard(job)
            writer.setup()
            writer.start_bundle()
            element = (("train", 0), [None, *map(tuple, images)])
            found = [*writer.process(element), *writer.finish_bundle()]
            writer.teardown()
            pictures.clear()
            pictures.extend(row.value for row in found if isinstance(row, TaggedOutput))
            rejects = (row for row in found if not isinstance(row, TaggedOutput))
            return [getattr(row, "value", row) for row in rejects]

    return write_shard


def records(directory, shape=(3,)):
    """Image id -> parsed record, in the order of the shard."""
    features = record_features(shape, "float32")
    serialized = tf.data.TFRecordDataset(str(directory / SHARD))
    parsed = [parse_record(features, one) for one in serialized]
    return {record["image_id"].numpy().decode(): record for record in parsed}


def colours_of(directory):
    found = records(directory).items()
    return {name: tuple(record["image_features"].numpy()) for name, record in found}


def file_digest(directory):
    return hashlib.sha256((directory / SHARD).read_bytes()).hexdigest()


GREENS = [(0, n, 0) for n in range(2 * BATCH + 5)]


def test_a_shard_holds_every_image_with_its_own_features(directory, draw, write):
    assert write(draw(*GREENS)) == []
    assert colours_of(directory) == {f"{n}.png": colour for n, colour in enumerate(GREENS)}
    record = records(directory)["3.png"]
    assert record["image_uri"].numpy() == b"uri/3.png"
    assert list(record["captions"].numpy()) == [b"A dog .", b"Picture 3"]
    assert record["caption_ids"].to_list() == [[START, 7, 4, END], [START, UNK, UNK, END]]


def test_the_receipt_says_what_the_shard_holds(directory, draw, write):
    write(draw((1, 1, 1), None, (2, 2, 2)))
    found = read_receipt(str(directory), SHARD)
    size = os.path.getsize(directory / SHARD)
    assert found.shard == dict(
        file=SHARD, images=2, captions=4, bytes=size, sha256=file_digest(directory)
    )
    assert found.text == {
        "words": 8, "unknown_words": 4, "truncated_captions": 0, "known_captions": 2,
        "captions_of_rejected_images": 2,
    }  # fmt: skip
    assert [row[0] for row in found.rejects] == ["1.png"]
    assert found.seconds.keys() == {"read", "decode", "encode", "write"}
    assert all(seconds > 0 for seconds in found.seconds.values())


def test_a_shard_tells_the_digests_of_its_pictures_also_where_it_was_written_before(
    draw, write, pictures
):
    images = draw((1, 1, 1), None, (2, 2, 2), (1, 1, 1))
    expected = {
        f"{n}.png": hashlib.sha256(picture(colour)).hexdigest()[:32]
        for n, colour in ((0, (1, 1, 1)), (2, (2, 2, 2)), (3, (1, 1, 1)))
    }
    for _ in range(2):
        write(images)
        told = [one.value for one in pictures]
        assert {name: digest for digest, (_, name) in told} == expected
        assert {split for _, (split, _) in told} == {"train"}


def test_the_shard_does_not_depend_on_the_order_of_its_images(directory, draw, write):
    images = draw(*GREENS)
    write(images)
    once, stamp = file_digest(directory), os.stat(directory / SHARD).st_mtime_ns
    write(images[::-1])
    assert os.stat(directory / SHARD).st_mtime_ns == stamp  # nothing was to be done
    os.remove(directory / SHARD)
    write(images[::-1])
    assert file_digest(directory) == once


def test_bad_files_cost_only_themselves(directory, draw, write):
    rows = write(draw((1, 1, 1), None, b"", b"not an image", picture((2, 2, 2))[:-20], (3, 3, 3)))
    stages = {row.id: row.stage for row in rows}
    assert stages == {"1.png": READ, "2.png": READ, "3.png": DECODE, "4.png": DECODE}
    assert all(row.message and row.uri == f"uri/{row.id}" for row in rows)
    assert colours_of(directory) == {"0.png": (1, 1, 1), "5.png": (3, 3, 3)}


def test_images_are_read_out_of_containers(directory, write):
    content = picture((7, 8, 9))
    (directory / "some.tar").write_bytes(b"before" + content + b"after")
    location = byte_range(str(directory / "some.tar"), len(b"before"), len(content))
    assert write([image("a.png", location=location)]) == []
    assert colours_of(directory) == {"a.png": (7, 8, 9)}


@pytest.mark.parametrize("bad", [{0}, {BATCH + 3}, {5, 6, 2 * BATCH + 2}, set(range(len(GREENS)))])
def test_an_image_that_the_encoder_fails_on_costs_only_itself(directory, draw, write, bad):
    images = draw(*[POISON if n in bad else colour for n, colour in enumerate(GREENS)])
    rows = write(images)
    assert {row.id for row in rows} == {f"{n}.png" for n in bad}
    assert {(row.split, row.stage, row.exception, row.message) for row in rows} == {
        ("train", ENCODE, "InvalidArgumentError", "cannot take this colour"),
    }  # fmt: skip
    with_bad = file_digest(directory)
    os.remove(directory / SHARD)
    assert write([one for n, one in enumerate(images) if n not in bad]) == []
    assert file_digest(directory) == with_bad


def test_all_batches_have_one_size(draw, write):
    encoder = MeanColour()
    write(draw(*GREENS), encoder)
    assert encoder.batches == [BATCH] * -(-len(GREENS) // BATCH)


@pytest.mark.parametrize(
    "dtype, scale, lost",
    [
        ("float16", 1.0, []),
        ("float16", 1000.0, ["1.png"]),  # past 65,504
        ("float32", 1000.0, []),
        ("float32", float("inf"), ["0.png", "1.png"]),
        ("float32", float("nan"), ["0.png", "1.png"]),
    ],
)
def test_features_that_are_not_finite_are_rejected(draw, write, dtype, scale, lost):
    rows = write(draw((9, 9, 9), (99, 99, 99)), MeanColour(scale), feature_dtype=dtype)
    assert sorted(row.id for row in rows) == lost
    for row in rows:
        assert (row.stage, row.exception) == (ENCODE, "ValueError")
        assert row.message == f"features are not finite in {dtype}"


def test_a_dataset_of_text_reads_no_image(directory, write):
    images = [image(f"{n}.png", ["A dog ."], location="") for n in range(3)]
    assert write(images, feature_shape=None) == []
    found = records(directory, shape=None)
    assert found.keys() == {"0.png", "1.png", "2.png"}
    assert "image_features" not in found["0.png"]
    assert read_receipt(str(directory), SHARD).shard["images"] == 3


def test_captions_are_cleaned_and_cut_as_the_job_says(directory, draw, write):
    [one] = draw((1, 1, 1))
    one = one._replace(captions=["a dog's cat runs"])
    write([one], clean="tutorial", max_length=2)
    assert records(directory)["0.png"]["caption_ids"].to_list() == [[START, UNK, 5, END]]
    text = read_receipt(str(directory), SHARD).text
    assert (text["words"], text["truncated_captions"]) == (2, 1)


def test_a_shard_without_images_is_an_empty_file(directory, write):
    assert write([]) == []
    assert (directory / SHARD).read_bytes() == b""
    found = read_receipt(str(directory), SHARD)
    assert (found.shard["images"], found.shard["bytes"]) == (0, 0)
    assert found.shard["sha256"] == hashlib.sha256(b"").hexdigest()


def test_a_shard_with_a_receipt_is_not_made_again_and_tells_its_rejects_again(draw, write):
    images = draw((1, 1, 1), b"", POISON)
    first = write(images)
    assert len(first) == 2
    encoder = MeanColour()
    assert write(images, encoder) == first
    assert encoder.batches == []


@pytest.mark.parametrize(
    "change",
    [
        dict(fingerprint="of another vocabulary"),
        dict(images=lambda images: images[:1]),
        dict(images=lambda images: [images[0], images[1]._replace(captions=["A cat ."])]),
        dict(images=lambda images: [images[0], images[1]._replace(location=images[0].location)]),
    ],
)
def test_a_shard_of_something_else_is_made_again(draw, write, change):
    images = draw((1, 1, 1), (2, 2, 2))
    write(images)
    change_images = change.pop("images", list)
    encoder = MeanColour()
    write(change_images(images), encoder, **change)
    assert encoder.batches


def test_a_shard_that_fails_leaves_nothing(directory, draw, write):
    class Defect(MeanColour):
        def encode(self, images):
            raise TypeError("a defect, not a bad image")

    with pytest.raises(TypeError):
        write(draw((1, 1, 1)), Defect())
    names = {path.name for path in directory.rglob("*")}
    assert names == {"vocabulary.txt", "images", "0.png"}


@pytest.mark.parametrize("asked, used", [(3, 3), (0, 5)])
def test_a_worker_uses_the_cores_it_is_told(directory, monkeypatch, asked, used):
    given = []
    monkeypatch.setattr(write_shards, "core_count", lambda: 5)
    monkeypatch.setattr(write_shards, "start_machine", lambda *arguments: given.append(arguments))
    WriteShard(job_in(directory, worker_threads=asked, fingerprint="of it")).setup()
    assert given == [(str(directory / "image_encoder"), used, "of it")]
