"""Divides the cores of a machine between worker processes, and sets TensorFlow's threads."""

import os

import tensorflow as tf
from apache_beam.options.pipeline_options import (
    DirectOptions,
    FlinkRunnerOptions,
    PipelineOptions,
    PortableOptions,
    SparkRunnerOptions,
    StandardOptions,
)


def core_count() -> int:
    """The number of cores that this process may run on."""
    if hasattr(os, "sched_getaffinity"):  # not on macOS
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def set_up_tensorflow(cores: int) -> None:
    """Lets TensorFlow run `cores` operations at once, each on one thread, and share its GPUs.

    Call it before TensorFlow has run anything in this process; later it does nothing.
    """
    try:
        tf.config.threading.set_intra_op_parallelism_threads(1)
        tf.config.threading.set_inter_op_parallelism_threads(cores)
        for device in tf.config.list_physical_devices("GPU"):
            tf.config.experimental.set_memory_growth(device, True)
    except RuntimeError:
        return  # TensorFlow runs already: after an earlier call, or with other settings


def threads_of_a_worker(options: PipelineOptions) -> int:
    """The cores of this machine for each worker; 0, which means all, for a single worker.

    Without a limit every process would use every core, and N processes would slow each other down.
    On a cluster the launcher does not know the machines; there `--worker_threads` sets the number.
    """
    cores = core_count()
    workers = _processes_on_this_machine(options, cores)
    return max(1, cores // workers) if workers > 1 else 0


def _processes_on_this_machine(options: PipelineOptions, cores: int) -> int:
    """The number of processes according to the options; Prism always has one."""
    direct = options.view_as(DirectOptions)
    if direct.direct_running_mode == "multi_processing":
        return direct.direct_num_workers or cores
    runner = (options.view_as(StandardOptions).runner or "").split(".")[-1].lower()
    is_local = {
        "flink": options.view_as(FlinkRunnerOptions).flink_master in ("[local]", "[auto]"),
        "spark": options.view_as(SparkRunnerOptions).spark_master_url.startswith("local"),
    }
    portable = options.view_as(PortableOptions)
    # By default the workers of a local runner are threads of the launcher.
    has_processes = portable.environment_type not in (None, "LOOPBACK")
    if is_local.get(runner.removesuffix("runner")) and has_processes:
        return int(portable.sdk_worker_parallelism) or max(1, cores - 1)
    return 1
