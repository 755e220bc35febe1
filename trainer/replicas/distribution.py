"""The devices that a run trains on."""

import re
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import tensorflow as tf

from tfrecords_schema.errors import InputError, one_line
from trainer.errors import LostWorkerError
from trainer.replicas.tf_config import check_tf_config, names_cluster, without_tf_config


def make_strategy(name: str) -> tf.distribute.Strategy:
    """Makes the strategy of a `--strategy` flag.

    Call it before anything else touches a device.

    Args:
      name: `one` is one device. `mirrored` is all devices of this machine (GPUs, or logical CPUs if
        there are several). `multiworker` is the cluster of the environment variable TF_CONFIG.
        `auto` is multiworker if TF_CONFIG names a cluster, mirrored if there are several devices of
        the best kind, else one.

    Raises:
      InputError: the name is multiworker and TF_CONFIG cannot be used.
    """
    if name == "multiworker" or (name == "auto" and names_cluster()):
        address = check_tf_config()
        try:
            return tf.distribute.MultiWorkerMirroredStrategy()
        except tf.errors.UnknownError as error:
            raise InputError(
                f"TF_CONFIG: this worker cannot listen on {address}, where another process may "
                f"listen ({one_line(error)})"
            ) from error
    kind = "GPU" if tf.config.list_physical_devices("GPU") else "CPU"
    for device in tf.config.list_physical_devices("GPU"):
        tf.config.experimental.set_memory_growth(device, True)
    devices = [device.name for device in tf.config.list_logical_devices(kind)]
    if name == "one" or (name == "auto" and len(devices) == 1):
        return tf.distribute.OneDeviceStrategy(devices[0])
    with without_tf_config():  # MirroredStrategy would read it
        return tf.distribute.MirroredStrategy(devices)


def is_chief(strategy: tf.distribute.Strategy) -> bool:
    """Whether this process writes files: the chief does, or worker 0 if there is no chief."""
    if not strategy.extended._in_multi_worker_mode():
        return True
    resolver = strategy.cluster_resolver
    has_chief = "chief" in resolver.cluster_spec().jobs
    return resolver.task_type == "chief" or (not has_chief and resolver.task_id == 0)


def input_context(strategy: tf.distribute.Strategy) -> tf.distribute.InputContext:
    """The part of each global batch that this process reads: the part of its own replicas."""
    resolver, replicas = strategy.cluster_resolver, strategy.num_replicas_in_sync
    if not strategy.extended._in_multi_worker_mode():
        return tf.distribute.InputContext(1, 0, replicas)
    cluster = resolver.cluster_spec()
    chiefs = cluster.num_tasks("chief") if "chief" in cluster.jobs else 0
    workers = chiefs + (cluster.num_tasks("worker") if "worker" in cluster.jobs else 0)
    process = resolver.task_id + (chiefs if resolver.task_type == "worker" else 0)
    return tf.distribute.InputContext(workers, process, replicas)


def to_replicas(strategy: tf.distribute.Strategy, batch: dict[str, tf.Tensor]) -> Any:
    """Gives row r of each tensor to this process's replica r.

    The distributed datasets of strategies do this too, but in TensorFlow 2.21 their end of data
    waits up to a minute an epoch for a sleeping thread.
    """

    def own(context: tf.distribute.ReplicaContext) -> dict[str, tf.Tensor]:
        replica = context.replica_id_in_sync_group
        return {name: x[replica % x.shape[0]] for name, x in batch.items()}

    return strategy.experimental_distribute_values_from_function(own)


def from_chief(strategy: tf.distribute.Strategy, value: float) -> float:
    """Returns the chief's `value` in every worker."""
    return sum_of_workers(strategy, value if is_chief(strategy) else 0.0)


_SUMS: weakref.WeakKeyDictionary[tf.distribute.Strategy, Callable] = weakref.WeakKeyDictionary()


def sum_of_workers(strategy: tf.distribute.Strategy, value: float) -> float:
    """The sum of the values of all workers, in every worker. All workers must call it."""
    if not strategy.extended._in_multi_worker_mode():
        return value
    if strategy not in _SUMS:  # one graph for all calls
        _SUMS[strategy] = _make_sum(strategy)
    per_replica = value / len(strategy.extended.worker_devices)
    return float(_SUMS[strategy](tf.constant(per_replica, tf.float64)))


def _make_sum(strategy: tf.distribute.Strategy) -> Callable[[tf.Tensor], tf.Tensor]:
    @tf.function(autograph=False)
    def reduce(value: tf.Tensor) -> tf.Tensor:
        replicas = strategy.run(tf.identity, args=(value,))
        return strategy.reduce(tf.distribute.ReduceOp.SUM, replicas, axis=None)

    return reduce


@contextmanager
def lost_workers_named() -> Iterator[None]:
    """Turns TensorFlow's error about a lost worker into one line.

    Raises:
      LostWorkerError: a worker is lost; it replaces TensorFlow's error.
    """
    try:
        yield
    except tf.errors.OpError as error:
        lost = re.search(r"/job:(\w+)/replica:\d+/task:(\d+)", error.message)
        if lost is None or "ollective" not in error.message:
            raise
        raise LostWorkerError(
            f"{lost[1]} {lost[2]} is gone ({one_line(error)[:200]}); this one ends too. Start all "
            "workers again: the same command continues the run"
        ) from error
