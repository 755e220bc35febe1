"""Joined captions: whatever was written comes back, from whole files only."""

import os
from unittest import mock

import apache_beam as beam
import pytest
from apache_beam.testing.test_pipeline import TestPipeline as Pipeline
from apache_beam.testing.util import assert_that, equal_to
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.text import joined_captions
from pipeline.text.join_captions import CaptionedImage
from pipeline.text.joined_captions import WriteJoined, read_joined
from tfrecords_schema.errors import InputError
from tfrecords_schema.shards import SPLITS

TEXT = st.text(st.characters(codec="utf-8"), max_size=9)
IMAGES = st.lists(
    st.builds(CaptionedImage, TEXT, TEXT, TEXT, st.sampled_from(SPLITS), st.lists(TEXT, max_size=3))
)


def image(number):
    return CaptionedImage(f"{number}.jpg", f"in/{number}.jpg", "", "train", [f"Café 犬 {number}"])


def write(directory, images):
    """The names of the files that one bundle writes."""
    worker = WriteJoined(str(directory))
    worker.start_bundle()
    names = [name for one in images for name in worker.process(one)]
    return names + [windowed.value for windowed in worker.finish_bundle()]


def read(directory, names):
    return [one for name in names for one in read_joined(os.path.join(directory, name))]


@settings(deadline=None, max_examples=50)
@given(IMAGES, st.integers(1, 4))
def test_images_come_back_in_their_order_and_files_have_a_size(tmp_path_factory, images, size):
    directory = tmp_path_factory.mktemp("joined")
    with mock.patch.object(joined_captions, "IMAGES_A_FILE", size):
        names = write(directory, images)
    assert read(directory, names) == images
    assert len(names) == len(set(names)) == -(-len(images) // size)
    assert sorted(os.listdir(directory)) == sorted(names)


def test_without_an_image_no_file_is_written(tmp_path):
    assert write(tmp_path / "joined", []) == []
    assert not (tmp_path / "joined").exists()


def test_bundles_write_files_of_their_own(tmp_path):
    worker = WriteJoined(str(tmp_path))
    names = []
    for number in range(2):
        worker.start_bundle()
        names += worker.process(image(number))
        names += [windowed.value for windowed in worker.finish_bundle()]
    assert [[one] for one in map(image, range(2))] == [read(tmp_path, [name]) for name in names]


def test_a_bundle_that_is_run_again_leaves_a_file_that_nobody_reads(tmp_path):
    failed = WriteJoined(str(tmp_path))
    failed.start_bundle()
    list(failed.process(image(0)))  # and no finish_bundle
    names = write(tmp_path, [image(0)])
    assert read(tmp_path, names) == [image(0)]


def test_a_job_hands_its_images_on(tmp_path):
    images = list(map(image, range(50)))
    with Pipeline(runner="FnApiRunner") as pipeline:
        names = pipeline | beam.Create(images) | beam.ParDo(WriteJoined(str(tmp_path)))
        back = (
            names | beam.Map(lambda name: os.path.join(tmp_path, name)) | beam.FlatMap(read_joined)
        )
        assert_that(back, equal_to(images))


def test_a_file_that_is_gone_or_damaged_is_named(tmp_path):
    [name] = write(tmp_path, list(map(image, range(3))))
    path = str(tmp_path / name)
    with open(path, "r+b") as file:
        file.seek(20)
        file.write(b"\xff\xff")
    for damaged in (path, str(tmp_path / "no.tfrecord")):
        with pytest.raises(InputError, match=r"^--output: ") as error:
            list(read_joined(damaged))
        assert damaged in str(error.value) and "under one name" in str(error.value)
