"""What several tests need: drawn pictures, a dataset and a run, made once for all tests.

Four logical CPUs stand for four devices; they must be set up before TensorFlow touches one.
"""

import collections
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import pytest
import tensorflow as tf

tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 4
)
# Processes run tests side by side: threads of operations that wait for cores take a fifth more.
# What a test starts, such as a run that is killed, has as many threads as a user's.
tf.config.threading.set_intra_op_parallelism_threads(1)

from shared_directory import made_once
from small_configs import pipeline_config, train_config
from small_pipeline import encoders_made_once

import trainer.data.epoch_plan
from pipeline.drawn_pictures import write_pictures
from pipeline.run import write_dataset
from tfrecords_schema.messages import print_messages
from trainer.loop import train

print_messages()  # as the commands do, so that tests can read them


def pytest_collection_modifyitems(items):
    """Files with slow or many tests come first, or one process ends long after the others."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    tests = collections.Counter(item.path for item in items)
    items.sort(key=lambda item: (item.path not in slow, -tests[item.path]))


@pytest.fixture(scope="session")
def pictures(tmp_path_factory):
    """120 drawn pictures, three of them damaged, one in each split."""

    def make(directory):
        write_pictures(directory, count=120, seed=7, damaged=3)

    return made_once(tmp_path_factory, "pictures", make)


@pytest.fixture(scope="session")
def dataset(pictures, tmp_path_factory):
    """The dataset of those pictures, with the tiny encoder."""

    def make(directory):
        write_dataset(pipeline_config(pictures, directory))

    return made_once(tmp_path_factory, "dataset", make)


@pytest.fixture(scope="session")
def trained_run(dataset, tmp_path_factory):
    """A run of two epochs on one device."""

    def make(directory):
        train(train_config(dataset, directory))

    return made_once(tmp_path_factory, "run", make)


@pytest.fixture(scope="module")
def copied_encoders(tmp_path_factory):
    """For tests of what comes before the encoder: see `encoders_made_once`."""
    with encoders_made_once(tmp_path_factory.mktemp("encoders")):
        yield


@pytest.fixture
def small_segments(monkeypatch):
    """Each shard is a segment of its own."""
    for name in ("SEGMENT_SHARDS", "SEGMENT_IMAGES", "SEGMENT_BATCHES"):
        monkeypatch.setattr(trainer.data.epoch_plan, name, 1)
