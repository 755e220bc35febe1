"""How many cores each of several worker processes uses."""

import os

import pytest
import tensorflow as tf

from pipeline.engines.beam_options import make_options
from pipeline.engines.worker_threads import set_up_tensorflow, threads_of_a_worker

PROCESSES = "--direct_running_mode=multi_processing"
WORKERS = ["--environment_type=PROCESS", '--environment_config={"command": "beamcap-worker"}']
FLINK = ["--runner=FlinkRunner", "--flink_master=[local]"]


@pytest.fixture(params=[1, 8, None])
def cores(request, monkeypatch):
    """Of the machine; where it does not tell which of them a process may have, its count."""
    if request.param is None:
        monkeypatch.delattr(os, "sched_getaffinity")
        monkeypatch.setattr(os, "cpu_count", lambda: None)
    else:
        monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(request.param)))
    return request.param or 1


@pytest.mark.parametrize(
    "flags",
    [
        [],
        ["--direct_num_workers=4"],
        ["--direct_running_mode=multi_threading", "--direct_num_workers=4"],
        [PROCESSES],
        [PROCESSES, "--direct_num_workers=1"],
    ],
)
def test_a_single_process_has_the_machine_to_itself(cores, flags):
    assert threads_of_a_worker(make_options(flags)) == 0


@pytest.mark.parametrize("workers, of_eight", [(2, 4), (3, 2), (8, 1), (100, 1)])
def test_several_processes_share_the_cores(cores, workers, of_eight):
    threads = threads_of_a_worker(make_options([PROCESSES, f"--direct_num_workers={workers}"]))
    assert threads == (of_eight if cores == 8 else 1)


def test_a_process_a_core_has_one_thread(cores):
    threads = threads_of_a_worker(make_options([PROCESSES, "--direct_num_workers=0"]))
    assert threads == (1 if cores == 8 else 0)  # 0: a single worker, on a single core


@pytest.mark.parametrize(
    "engine",
    [
        FLINK,
        ["--runner=flink"],  # by default it runs here
        ["--runner=SparkRunner", "--spark_master_url=local[2]"],
        ["--runner=apache_beam.runners.portability.spark_runner.SparkRunner"],
    ],
)
@pytest.mark.parametrize("workers, of_eight", [(1, 0), (2, 4), (3, 2), (100, 1), (0, 1)])
def test_processes_of_an_engine_on_this_machine_share_the_cores(cores, engine, workers, of_eight):
    flags = [*engine, *WORKERS, f"--sdk_worker_parallelism={workers}"]
    threads = threads_of_a_worker(make_options(flags))
    expected = of_eight if cores == 8 else int(workers > 1)
    assert threads == expected  # of one core an engine that chooses (0) makes one worker


@pytest.mark.parametrize(
    "flags",
    [
        FLINK,  # the workers are threads of the launcher
        [*FLINK, "--environment_type=LOOPBACK"],
        ["--runner=FlinkRunner", "--flink_master=localhost:8081", *WORKERS],
        ["--runner=SparkRunner", "--spark_master_url=spark://host:7077", *WORKERS],
        ["--runner=PortableRunner", "--job_endpoint=localhost:8099", *WORKERS],
        ["--runner=PrismRunner", *WORKERS],  # it has one worker process
        ["--runner=DataflowRunner"],
    ],
)
def test_a_cluster_and_a_single_process_are_left_alone(cores, flags):
    assert threads_of_a_worker(make_options([*flags, "--sdk_worker_parallelism=4"])) == 0


def test_a_gpu_is_shared(monkeypatch):
    given = []
    for name in ("intra", "inter"):
        monkeypatch.setattr(tf.config.threading, f"set_{name}_op_parallelism_threads", given.append)
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: [f"the {kind}"])
    monkeypatch.setattr(
        tf.config.experimental, "set_memory_growth", lambda *arguments: given.append(arguments)
    )
    set_up_tensorflow(5)
    assert given == [1, 5, ("the GPU", True)]


def test_tensorflow_that_runs_already_is_left_as_it_is():
    tf.constant(1) + 1
    set_up_tensorflow(tf.config.threading.get_inter_op_parallelism_threads() + 1)
