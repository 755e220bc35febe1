"""What several tests need: drawn pictures, a dataset and a run, made once for all tests.

Four logical CPUs stand for four devices; they must be set up before TensorFlow touches one.
"""

import collections
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np
import pyarrow.parquet as pq
import pytest
import tensorflow as tf

tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 4
)
# Processes run tests side by side: threads of operations that wait for cores take a fifth more.
# What a test starts, such as a run that is killed, has as many threads as a user's.
tf.config.threading.set_intra_op_parallelism_threads(1)

import trainer.data.epoch_plan
from pipeline.command import beam_options
from pipeline.config import PipelineConfig
from pipeline.drawn_pictures import write_pictures
from pipeline.run import run_pipeline
from tfrecords_schema.manifest import read_manifest
from tfrecords_schema.messages import print_messages
from tfrecords_schema.parse import parse_record
from trainer.config import ModelConfig, TrainConfig
from trainer.loop import train

print_messages()  # tests read them by capsys

SMALL = ModelConfig(
    embedding_units=16, units=32, attention_units=8, annotation_units=16,
    annotation_dropout=0.1, embedding_dropout=0.1, output_dropout=0.1,
)  # fmt: skip


def pytest_collection_modifyitems(items):
    """Files with slow or many tests come first, or one process ends long after the others."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    tests = collections.Counter(item.path for item in items)
    items.sort(key=lambda item: (item.path not in slow, -tests[item.path]))


@pytest.fixture(scope="session")
def pictures(tmp_path_factory):
    """120 drawn pictures, three of them damaged, one in each split."""
    directory = tmp_path_factory.mktemp("drawn") / "pictures"
    write_pictures(directory, count=120, seed=7, damaged=3)
    return str(directory)


@pytest.fixture(scope="session")
def dataset(pictures, tmp_path_factory):
    """The dataset of those pictures, with the tiny encoder."""
    directory = str(tmp_path_factory.mktemp("dataset") / "data")
    run_pipeline(pipeline_config(pictures, directory), beam_options([]))
    return directory


@pytest.fixture(scope="session")
def trained_run(dataset, tmp_path_factory):
    """A run of two epochs on one device."""
    directory = str(tmp_path_factory.mktemp("run") / "run")
    train(train_config(dataset, directory))
    return directory


@pytest.fixture
def small_segments(monkeypatch):
    """Each shard is a segment of its own."""
    for name in ("SEGMENT_SHARDS", "SEGMENT_IMAGES", "SEGMENT_BATCHES"):
        monkeypatch.setattr(trainer.data.epoch_plan, name, 1)


def pipeline_config(pictures, directory, **changes):
    """A configuration for drawn pictures."""
    fields = dict(
        source="flickr8k", input=pictures, output=str(directory), encoder="tiny",
        images_per_shard=24, min_count=2, max_rejected=0.05,
    )  # fmt: skip
    return PipelineConfig(**{**fields, **changes})


def train_config(dataset, directory, **changes):
    """A configuration that trains in seconds."""
    fields = dict(
        data=dataset, run=str(directory), strategy="one", batch_size=8, epochs=2,
        learning_rate=3e-3, model_config=SMALL,
    )  # fmt: skip
    return TrainConfig(**{**fields, **changes})


def rejected(directory):
    """The rows of the rejects table, by id."""
    rows = pq.read_table(os.path.join(directory, "rejected.parquet")).to_pylist()
    return {row["id"]: row for row in rows}


def assert_same(directory, other):
    """Same files, records, order, captions and ids; features equal to float16 rounding.

    Sums in the CNN are taken in an order that depends on the threads of a process.
    """
    manifest = read_manifest(directory)
    shards = {split: [s.file for s in shards] for split, shards in manifest.splits.items()}
    other_splits = read_manifest(other).splits
    assert shards == {split: [s.file for s in shards] for split, shards in other_splits.items()}
    for name in [name for names in shards.values() for name in names]:
        pairs = zip(
            tf.data.TFRecordDataset(os.path.join(directory, name)),
            tf.data.TFRecordDataset(os.path.join(other, name)),
            strict=True,
        )
        for pair in pairs:
            one, two = (parse_record(manifest.features(), serialized) for serialized in pair)
            for key in ("image_id", "image_uri", "captions"):
                np.testing.assert_array_equal(one[key], two[key])
            assert one["caption_ids"].to_list() == two["caption_ids"].to_list()
            features = (x["image_features"].numpy().astype(np.float32) for x in (one, two))
            np.testing.assert_allclose(*features, rtol=2**-9, atol=1e-4)


def complaint(main, capsys, *arguments):
    """What the command `main` prints for arguments that it refuses, with status 2 and no trace."""
    with pytest.raises(SystemExit) as stopped:
        main(list(arguments))
    assert stopped.value.code == 2
    error = capsys.readouterr().err
    assert "Traceback" not in error
    return error
