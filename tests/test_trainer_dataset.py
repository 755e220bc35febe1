import numpy as np
import pytest
import tensorflow as tf

from tfrecords_schema.manifest import read_manifest
from trainer.dataset import READ_AT_ONCE, evaluation_dataset, read_references, train_dataset


def images_of(batches):
    """A key for each image that has captions, in order."""
    for batch in batches:
        for features, captions in zip(batch["image_features"], batch["caption_ids"], strict=True):
            if (captions > 0).any():
                yield features.tobytes(), captions[captions > 0].tobytes()


def parts_of_batches(dataset, context, batch_size=8, seed=0, epoch=0):
    """This pipeline's part of each batch, a row a replica."""
    manifest = read_manifest(dataset)
    batches = train_dataset(dataset, manifest, batch_size, seed, epoch, context)
    parts = list(batches.as_numpy_iterator())
    assert [part.pop("is_last") for part in parts] == [False] * (len(parts) - 1) + [True]
    return parts


def epoch_batches(dataset, **changes):
    """The global batches."""
    parts = parts_of_batches(dataset, tf.distribute.InputContext(1, 0, 1), **changes)
    return [{name: x[0] for name, x in part.items()} for part in parts]


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
