"""How many cores each of several worker processes on one machine uses, and how."""

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
    """The cores that this process may run on."""
    if hasattr(os, "sched_getaffinity"):  # not on macOS
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def set_up_tensorflow(cores: int) -> None:
    """Lets TensorFlow run `cores` operations at once, each on one thread, and share its GPUs.

    It must be called before TensorFlow has run anything in this process; later it does nothing.
    """
    try:
        tf.config.threading.set_intra_op_parallelism_threads(1)
        tf.config.threading.set_inter_op_parallelism_threads(cores)
        for device in tf.config.list_physical_devices("GPU"):
            tf.config.experimental.set_memory_growth(device, True)
    except RuntimeError:
        return  # TensorFlow runs: this was called before, or the process has other plans for it


def threads_of_a_worker(options: PipelineOptions) -> int:
    """The cores of this machine shared out; 0, for as many as there are, to a single worker.

    Left alone, every process uses every core, and N processes get in each other's way. On a
    cluster the launcher does not know the machines: there `--worker_threads` says it.
    """
    cores = core_count()
    workers = _processes_on_this_machine(options, cores)
    return max(1, cores // workers) if workers > 1 else 0


def _processes_on_this_machine(options: PipelineOptions, cores: int) -> int:
    """As far as the options tell; Prism has one whatever they say."""
    direct = options.view_as(DirectOptions)
    if direct.direct_running_mode == "multi_processing":
        return direct.direct_num_workers or cores
    runner = (options.view_as(StandardOptions).runner or "").split(".")[-1].lower()
    is_local = {
        "flink": options.view_as(FlinkRunnerOptions).flink_master in ("[local]", "[auto]"),
        "spark": options.view_as(SparkRunnerOptions).spark_master_url.startswith("local"),
    }
    portable = options.view_as(PortableOptions)
    # By default the workers of a local engine are threads of the launcher.
    has_processes = portable.environment_type not in (None, "LOOPBACK")
    if is_local.get(runner.removesuffix("runner")) and has_processes:
        return int(portable.sdk_worker_parallelism) or max(1, cores - 1)
    return 1
