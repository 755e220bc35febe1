import itertools
import os
import shutil

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from tfrecords_schema.manifest import read_manifest
from trainer.dataset import (
    EPOCH_START,
    READ_AT_ONCE,
    SEGMENT_BATCHES,
    SEGMENT_IMAGES,
    SEGMENT_SHARDS,
    Position,
    evaluation_dataset,
    read_references,
    segment_ends,
    train_dataset,
)


def images_of(batches):
    """A key for each image that has captions, in order."""
    for batch in batches:
        for features, captions in zip(batch["image_features"], batch["caption_ids"], strict=True):
            if (captions > 0).any():
                yield features.tobytes(), captions[captions > 0].tobytes()


def parts_of_batches(dataset, context, batch_size=8, seed=0, epoch=0, start=EPOCH_START):
    """This pipeline's part of each batch, a row a replica."""
    manifest = read_manifest(dataset)
    batches = train_dataset(dataset, manifest, batch_size, seed, epoch, context, start)
    parts = list(batches.as_numpy_iterator())
    assert [part.pop("is_last") for part in parts] == [False] * (len(parts) - 1) + [True]
    return parts


def epoch_batches(dataset, **changes):
    """The global batches."""
    parts = parts_of_batches(dataset, tf.distribute.InputContext(1, 0, 1), **changes)
    return [{name: x if name == "segment" else x[0] for name, x in part.items()} for part in parts]


def test_an_epoch_has_every_image_once_in_full_batches(dataset):
    batches = epoch_batches(dataset)
    images = list(images_of(batches))
    assert len(images) == len(set(images)) == read_manifest(dataset).images("train")
    assert {len(batch["caption_ids"]) for batch in batches} == {8}


def test_the_order_is_a_function_of_seed_and_epoch(dataset):
    first = list(images_of(epoch_batches(dataset)))
    assert list(images_of(epoch_batches(dataset))) == first
    for changed in ({"epoch": 1}, {"seed": 1}):
        other = list(images_of(epoch_batches(dataset, **changed)))
        assert other != first and sorted(other) == sorted(first)


def test_segments_share_no_batch_and_have_every_image_once(dataset, small_segments):
    shards = [shard.images for shard in read_manifest(dataset).splits["train"] if shard.images]
    batches = epoch_batches(dataset)
    segments = [batch["segment"] for batch in batches]
    assert sorted(segments) == segments and len(shards) > 1
    of_segments = [
        list(images_of(batch for batch in batches if batch["segment"] == segment))
        for segment in range(len(shards))
    ]
    assert sorted(map(len, of_segments)) == sorted(shards)
    everything = list(itertools.chain(*of_segments))
    assert len(everything) == len(set(everything))


def test_an_epoch_goes_on_anywhere_without_the_segments_before(dataset, tmp_path, small_segments):
    shards = [shard for shard in read_manifest(dataset).splits["train"] if shard.images]
    whole = epoch_batches(dataset)
    place = EPOCH_START
    for number, batch in enumerate(whole):
        assert place.segment <= batch["segment"] <= place.segment + 1
        if number % 4 == 0:
            rest = epoch_batches(dataset, start=place)
            assert list(images_of(rest)) == list(images_of(whole[number:]))
        batches = place.batch if batch["segment"] == place.segment else 0
        place = Position(int(batch["segment"]), batches + 1)

    # What came before is not even opened.
    last = Position(len(shards) - 1, 0)
    found = list(images_of(epoch_batches(dataset, start=last)))
    copy = tmp_path / "copy"
    shutil.copytree(dataset, copy)
    still_read = []
    for shard in shards:
        os.rename(copy / shard.file, copy / "away")
        try:
            assert list(images_of(epoch_batches(copy, start=last))) == found
        except tf.errors.NotFoundError:
            still_read.append(shard)
        os.rename(copy / "away", copy / shard.file)
    assert len(still_read) == 1


@given(st.lists(st.integers(1, 40_000), min_size=1), st.integers(1, 2000))
def test_a_segment_is_large_enough_for_shuffling_and_full_batches(images, batch_size):
    ends = segment_ends(images, batch_size)
    assert ends[-1] == len(images)
    for first, end in zip([0, *ends], ends, strict=False):
        is_enough = end - first >= SEGMENT_SHARDS and sum(images[first:end]) >= max(
            SEGMENT_IMAGES, SEGMENT_BATCHES * batch_size
        )
        assert is_enough or len(ends) == 1
    for first, end in zip([0, *ends], ends[:-1], strict=False):
        fewer = images[first : end - 1]
        assert len(fewer) < SEGMENT_SHARDS or sum(fewer) < max(
            SEGMENT_IMAGES, SEGMENT_BATCHES * batch_size
        )


@pytest.mark.parametrize(("workers", "replicas"), [(1, 2), (2, 2), (2, 4), (8, 8)])
def test_replicas_and_workers_share_out_the_same_global_batches(dataset, workers, replicas):
    shards = len(read_manifest(dataset).splits["train"])
    assert shards < 8 <= READ_AT_ONCE  # fewer than are read at once, and than workers
    alone = epoch_batches(dataset)
    parts = [
        parts_of_batches(dataset, tf.distribute.InputContext(workers, worker, replicas))
        for worker in range(workers)
    ]
    for i, batch in enumerate(alone):
        assert {part[i].pop("segment") for part in parts} == {batch.pop("segment")}
        for name in batch:
            shared = [rows for part in parts for rows in part[i][name]]
            assert len(shared) == replicas
            np.testing.assert_array_equal(np.concatenate(shared), batch[name])


def test_captions_run_from_start_to_end_and_are_padded_with_zeros(dataset):
    for batch in epoch_batches(dataset):
        for ids in batch["caption_ids"].reshape(-1, batch["caption_ids"].shape[-1]):
            words = np.count_nonzero(ids)
            assert (ids[words:] == 0).all()
            assert words == 0 or (ids[0], ids[words - 1]) == (2, 3)


def test_a_batch_holds_captions_of_like_length(dataset):
    lengths = [
        sorted((batch["caption_ids"] > 0).sum(-1).max(-1)) for batch in epoch_batches(dataset)
    ]
    within = np.mean([row[-1] - next(n for n in row if n) for row in lengths])
    longest = np.concatenate(lengths)
    assert within < (longest.max() - longest[longest > 0].min()) / 1.5


def test_evaluation_has_every_image_once_and_pads_the_last_batch(dataset):
    manifest = read_manifest(dataset)
    batches = list(evaluation_dataset(dataset, manifest, "test", 8).as_numpy_iterator())
    assert {batch["image_features"].shape[0] for batch in batches} == {8}
    ids = [i for batch in batches for i in batch["image_id"] if i]
    assert len(ids) == len(set(ids)) == manifest.images("test")


def test_references_are_the_captions_of_the_source(dataset, pictures):
    references = read_references(dataset, read_manifest(dataset), "test")
    with open(f"{pictures}/Flickr8k.token.txt") as file:
        lines = [line.rstrip("\n").split("\t") for line in file]
    for image, captions in references.items():
        assert captions == [text for key, text in lines if key.startswith(f"{image}#")]
