"""Shards that do not hold what the manifest counts, more or fewer, are named by the first epoch."""

import dataclasses
import json
import os
import re
import shutil

import pytest
import tensorflow as tf
from small_configs import train_config

from tfrecords_schema.dataset import Dataset, open_dataset
from tfrecords_schema.errors import InputError
from tfrecords_schema.manifest import read_manifest, write_manifest
from tfrecords_schema.vocabulary import Vocabulary
from trainer.data import epoch_plan
from trainer.data.batches import train_dataset
from trainer.data.epoch_plan import plan_epoch
from trainer.data.shard_counts import miscounts_named, read_counted_references
from trainer.decoding.search_config import SearchConfig
from trainer.loop import train
from trainer.trained_run import load_run


def changed(manifest, split, **added):
    """The manifest with other counts of the last shard of a split, and that shard."""
    shards = list(manifest.splits[split])
    counts = {name: getattr(shards[-1], name) + number for name, number in added.items()}
    shards[-1] = dataclasses.replace(shards[-1], **counts)
    return dataclasses.replace(manifest, splits={**manifest.splits, split: shards}), shards[-1]


def opened(directory, manifest):
    """The dataset as a manifest tells of it, which may be wrong."""
    return Dataset(directory, manifest, Vocabulary([]))


def read_epoch(data, manifest, readers=1, workers=1, start=0):
    """An epoch as training reads it: the batches of the plan, and then the end."""
    dataset = opened(data, manifest)
    plan = plan_epoch(manifest, 8, readers, seed=0, epoch=0)
    assert plan.readers == readers
    with miscounts_named(dataset):
        for worker in range(workers):
            context = tf.distribute.InputContext(workers, worker, workers)
            batches = iter(train_dataset(dataset, plan, context, start))
            for _ in range(plan.batches - start):
                next(batches)
            assert next(batches, None) is None


@pytest.mark.parametrize(("readers", "workers"), [(1, 1), (2, 2)])
@pytest.mark.parametrize("images", [-9, 1])
def test_more_images_and_fewer_are_told_at_the_end_of_an_epoch(
    dataset, images, readers, workers, monkeypatch
):
    monkeypatch.setattr(epoch_plan, "MOST_PADDING", 0.99)  # so many readers, of so few shards
    right = read_manifest(dataset)
    read_epoch(dataset, right, readers, workers)
    wrong, shard = changed(right, "train", images=images)
    path = re.escape(os.path.join(dataset, shard.file))
    message = (
        rf"--data: shard {path} holds {shard.images - images} images with {shard.captions} "
        rf"captions, the manifest says {shard.images} with {shard.captions}; `python -m pipeline"
    )
    with pytest.raises(InputError, match=message):
        read_epoch(dataset, wrong, readers, workers)


def test_an_epoch_that_goes_on_in_its_last_batch_still_counts(dataset):
    right = read_manifest(dataset)
    wrong, _ = changed(right, "train", images=-1)
    last = plan_epoch(wrong, 8, 1, seed=0, epoch=0).batches - 1
    read_epoch(dataset, right, start=plan_epoch(right, 8, 1, seed=0, epoch=0).batches - 1)
    with pytest.raises(InputError, match="the manifest says"):
        read_epoch(dataset, wrong, start=last)


def test_each_segment_of_an_epoch_is_compared_with_the_manifest(dataset, small_segments):
    wrong, shard = changed(read_manifest(dataset), "train", images=1)
    with pytest.raises(InputError, match=re.escape(shard.file)):
        read_epoch(dataset, wrong)


def test_captions_of_a_shard_are_compared_with_the_manifest(dataset):
    wrong, shard = changed(read_manifest(dataset), "train", captions=-1)
    with pytest.raises(InputError, match=rf"with {shard.captions + 1} captions, the manifest says"):
        read_epoch(dataset, wrong)


def without_captions(dataset, directory, split, ids_alone=False):
    """A copy of a dataset in which the first image of a split has no captions."""
    shutil.copytree(dataset, directory)
    manifest = read_manifest(directory)
    shard = manifest.splits[split][0]
    path = os.path.join(directory, shard.file)
    records = [record.numpy() for record in tf.data.TFRecordDataset(path)]
    example = tf.train.Example.FromString(records[0])
    captions = len(example.features.feature["captions"].bytes_list.value)
    for name in ("captions", "caption_ids/ragged_flat_values", "caption_ids/ragged_row_lengths_0"):
        if name != "captions" or not ids_alone:
            example.features.feature[name].CopyFrom(tf.train.Feature())
    example.features.feature["caption_ids/ragged_flat_values"].int64_list.SetInParent()
    lengths = example.features.feature["caption_ids/ragged_row_lengths_0"].int64_list
    lengths.SetInParent()
    if ids_alone:  # as many captions, none with a word
        lengths.value.extend([0] * captions)
    else:
        example.features.feature["captions"].bytes_list.SetInParent()
    with tf.io.TFRecordWriter(path) as writer:
        for record in [example.SerializeToString(), *records[1:]]:
            writer.write(record)
    counted = shard.captions - (0 if ids_alone else captions)
    new = dataclasses.replace(shard, captions=counted, bytes=os.path.getsize(path))
    shards = [new, *manifest.splits[split][1:]]
    splits = {**manifest.splits, split: shards}
    write_manifest(directory, dataclasses.replace(manifest, splits=splits))
    return path


@pytest.mark.parametrize("ids_alone", [False, True])
def test_an_image_without_captions_is_told_and_not_taken_for_padding(dataset, tmp_path, ids_alone):
    directory = str(tmp_path / "data")
    path = re.escape(without_captions(dataset, directory, "train", ids_alone))
    with pytest.raises(InputError, match=rf"--data: shard {path} .*of which 1 have no caption"):
        read_epoch(directory, read_manifest(directory))


def test_evaluation_reads_what_the_manifest_counts(dataset, tmp_path):
    right = read_manifest(dataset)
    assert len(read_counted_references(opened(dataset, right), "test")) == right.images("test")
    assert len(read_counted_references(opened(dataset, right), "test", 3)) == 3
    shard = right.splits["test"][0]
    for images in (shard.images - 1, shard.images + 1):
        shards = [dataclasses.replace(shard, images=images), *right.splits["test"][1:]]
        wrong = dataclasses.replace(right, splits={**right.splits, "test": shards})
        with pytest.raises(InputError, match=f"{shard.file} holds {shard.images} images"):
            read_counted_references(opened(dataset, wrong), "test")
    directory = str(tmp_path / "data")
    path = re.escape(without_captions(dataset, directory, "test"))
    with pytest.raises(InputError, match=rf"--data: shard {path} .*of which 1 have no caption"):
        read_counted_references(open_dataset(directory), "test")


def test_evaluate_and_train_name_what_is_wrong_with_a_split(dataset, trained_run, tmp_path):
    directory = str(tmp_path / "data")
    path = re.escape(without_captions(dataset, directory, "test", ids_alone=True))
    with pytest.raises(InputError, match=rf"--data: shard {path} .*of which 1 have no caption"):
        load_run(trained_run, directory).evaluate("test", SearchConfig(1, 5, 0.0))

    right = read_manifest(directory)
    manifest, shard = changed(right, "train", images=-4)
    write_manifest(directory, manifest)
    with pytest.raises(InputError, match=re.escape(shard.file)):
        train(train_config(directory, tmp_path / "run", epochs=1))

    manifest, shard = changed(right, "validation", images=2)
    write_manifest(directory, manifest)
    with pytest.raises(InputError, match=re.escape(shard.file)):
        train(train_config(directory, tmp_path / "other"))
    assert not (tmp_path / "other" / "checkpoints").exists()


def test_a_shard_that_the_manifest_calls_empty_is_not_left_out(dataset, tmp_path):
    directory = str(tmp_path / "data")
    shutil.copytree(dataset, directory)
    path = os.path.join(directory, "manifest.json")
    with open(path) as file:
        fields = json.load(file)
    shard = fields["splits"]["train"][1]
    images, shard["images"] = shard["images"], 0
    assert images > 0
    with open(path, "w") as file:
        json.dump(fields, file)
    with pytest.raises(InputError, match=rf"{shard['file']} has \d+ bytes, the manifest says 0 im"):
        train(train_config(directory, tmp_path / "run"))
