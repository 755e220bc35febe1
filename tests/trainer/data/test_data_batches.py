import itertools
import os
import shutil

import numpy as np
import pytest
import tensorflow as tf

from tfrecords_schema.dataset import Dataset, open_dataset
from tfrecords_schema.manifest import read_manifest
from tfrecords_schema.vocabulary import Vocabulary
from trainer.data import epoch_plan
from trainer.data.batches import READ_AT_ONCE, evaluation_dataset, train_dataset
from trainer.data.epoch_plan import plan_epoch


def images_of(batches):
    """A key for each image that has captions, in order."""
    for batch in batches:
        for features, captions in zip(batch["image_features"], batch["caption_ids"], strict=True):
            if (captions > 0).any():
                yield features.tobytes(), captions[captions > 0].tobytes()


def plan_of(dataset, batch_size=8, readers=1, seed=0, epoch=0):
    return plan_epoch(read_manifest(dataset), batch_size, readers, seed, epoch)


def parts_of_batches(dataset, plan, context, start=0):
    """This pipeline's part of each batch, a row a replica."""
    batches = train_dataset(
        Dataset(str(dataset), read_manifest(dataset), Vocabulary([])), plan, context, start
    )
    parts = list(batches.as_numpy_iterator())
    assert len(parts) == plan.batches - start
    return parts


def epoch_batches(dataset, plan=None, start=0, **changes):
    """The global batches."""
    plan = plan or plan_of(dataset, **changes)
    parts = parts_of_batches(dataset, plan, tf.distribute.InputContext(1, 0, 1), start)
    return [{name: x[0] for name, x in part.items()} for part in parts]


@pytest.fixture
def padding(monkeypatch):
    """However much of it, for shards that cannot be shared out well."""
    monkeypatch.setattr(epoch_plan, "MOST_PADDING", 0.99)


@pytest.mark.parametrize("readers", [1, 2, 8])
def test_an_epoch_has_every_image_once_in_full_batches(readers, dataset, padding):
    batches = epoch_batches(dataset, readers=readers)
    images = list(images_of(batches))
    assert len(images) == len(set(images)) == read_manifest(dataset).images("train")
    assert {len(batch["caption_ids"]) for batch in batches} == {8}
    if readers == 1:
        assert len(batches) == -(-len(images) // 8)


def test_the_order_is_a_function_of_seed_epoch_and_readers(dataset, padding):
    first = list(images_of(epoch_batches(dataset)))
    assert list(images_of(epoch_batches(dataset))) == first
    for changed in ({"epoch": 1}, {"seed": 1}, {"readers": 2}):
        other = list(images_of(epoch_batches(dataset, **changed)))
        assert other != first and sorted(other) == sorted(first)


@pytest.mark.parametrize("readers", [1, 2])
def test_an_epoch_goes_on_anywhere_without_the_segments_before(
    readers, dataset, tmp_path, small_segments, padding
):
    plan = plan_of(dataset, readers=readers)
    assert len(plan.segments) > 1
    whole = epoch_batches(dataset, plan)
    for start in range(0, len(whole), 3):
        rest = epoch_batches(dataset, plan, start)
        assert list(images_of(rest)) == list(images_of(whole[start:]))

    # What came before is not even opened.
    *before, last = plan.segments
    copy = tmp_path / "copy"
    shutil.copytree(dataset, copy)
    for segment in before:
        for shard in itertools.chain(*segment.shards_by_reader):
            os.remove(copy / shard.file)
    found = list(images_of(epoch_batches(copy, plan, plan.batches - last.batches)))
    shards = itertools.chain(*last.shards_by_reader)
    assert len(set(found)) == len(found) == sum(shard.images for shard in shards)


@pytest.mark.parametrize(
    ("workers", "replicas", "readers"),
    [(1, 2, 1), (2, 2, 1), (2, 4, 1), (8, 8, 1), (1, 4, 2), (2, 4, 2), (4, 4, 2), (2, 2, 4)],
)
def test_replicas_and_workers_share_out_the_same_global_batches(
    dataset, workers, replicas, readers, padding
):
    plan = plan_of(dataset, readers=readers)
    assert plan.readers == readers
    shards = len(read_manifest(dataset).splits["train"])
    assert shards < 8 <= READ_AT_ONCE  # fewer than are read at once, and than workers
    parts = [
        parts_of_batches(dataset, plan, tf.distribute.InputContext(workers, worker, replicas))
        for worker in range(workers)
    ]
    for i, batch in enumerate(epoch_batches(dataset, plan)):
        for name in batch:
            shared = [rows for part in parts for rows in part[i][name]]
            assert len(shared) == replicas
            if name == "caption_ids":  # as long as each worker's own
                assert max(rows.shape[1:] for rows in shared) == batch[name].shape[1:]
                shared = [padded(rows, batch[name].shape[1:]) for rows in shared]
            np.testing.assert_array_equal(np.concatenate(shared), batch[name])


def padded(ids, shape):
    wanted = np.zeros([len(ids), *shape], ids.dtype)
    wanted[:, : ids.shape[1], : ids.shape[2]] = ids
    return wanted


def test_a_worker_opens_the_shards_of_its_readers_alone(dataset, tmp_path, padding):
    plan = plan_of(dataset, readers=2)
    [segment] = plan.segments
    for worker in range(2):
        context = tf.distribute.InputContext(2, worker, 2)
        expected = parts_of_batches(dataset, plan, context)
        copy = tmp_path / f"copy-{worker}"
        shutil.copytree(dataset, copy)
        for shard in segment.shards_by_reader[1 - worker]:
            os.remove(copy / shard.file)
        for part, same in zip(parts_of_batches(copy, plan, context), expected, strict=True):
            np.testing.assert_array_equal(part["image_id"], same["image_id"])


def test_captions_run_from_start_to_end_and_are_padded_with_zeros(dataset):
    for batch in epoch_batches(dataset):
        for ids in batch["caption_ids"].reshape(-1, batch["caption_ids"].shape[-1]):
            words = np.count_nonzero(ids)
            assert (ids[words:] == 0).all()
            assert words == 0 or (ids[0], ids[words - 1]) == (2, 3)


@pytest.mark.parametrize("readers", [1, 2])
def test_a_batch_holds_captions_of_like_length(readers, dataset, padding):
    lengths = [
        sorted((batch["caption_ids"] > 0).sum(-1).max(-1))
        for batch in epoch_batches(dataset, readers=readers)
    ]
    within = np.mean([row[-1] - next(n for n in row if n) for row in lengths])
    longest = np.concatenate(lengths)
    assert within < (longest.max() - longest[longest > 0].min()) / 1.5


def test_evaluation_has_every_image_once_and_pads_the_last_batch(dataset):
    manifest = read_manifest(dataset)
    batches = list(evaluation_dataset(open_dataset(dataset), "test", 8).as_numpy_iterator())
    assert {batch["image_features"].shape[0] for batch in batches} == {8}
    ids = [i for batch in batches for i in batch["image_id"] if i]
    assert len(ids) == len(set(ids)) == manifest.images("test")


def test_the_first_images_of_a_split_are_those_of_its_references(dataset):
    read_manifest(dataset)
    [batch] = evaluation_dataset(open_dataset(dataset), "test", 8, 5).as_numpy_iterator()
    every = list(open_dataset(dataset).references("test"))
    assert [i.decode() for i in batch["image_id"]] == [*every[:5], "", "", ""]
    assert list(open_dataset(dataset).references("test", 5)) == every[:5]


def test_references_are_the_captions_of_the_source(dataset, pictures):
    references = open_dataset(dataset).references("test")
    with open(f"{pictures}/Flickr8k.token.txt") as file:
        lines = [line.rstrip("\n").split("\t") for line in file]
    for image, captions in references.items():
        assert captions == [text for key, text in lines if key.startswith(f"{image}#")]
