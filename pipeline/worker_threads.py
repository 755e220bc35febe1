"""How many threads TensorFlow may have in each of several worker processes on one machine."""

import os

from apache_beam.options.pipeline_options import (
    DirectOptions,
    FlinkRunnerOptions,
    PipelineOptions,
    PortableOptions,
    SparkRunnerOptions,
    StandardOptions,
)


def threads_of_a_worker(options: PipelineOptions) -> int:
    """The cores of this machine shared out; 0, for as many as there are, to a single worker.

    Left alone, TensorFlow starts a thread a core in every process, and N processes get in each
    other's way. On a cluster the launcher does not know the machines: there `--worker_threads`
    says it.
    """
    cores = os.cpu_count() or 1
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
