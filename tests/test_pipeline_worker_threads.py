"""How many threads TensorFlow may have in each of several worker processes."""

import os

import pytest

from pipeline.command import beam_options
from pipeline.worker_threads import threads_of_a_worker

PROCESSES = "--direct_running_mode=multi_processing"
WORKERS = ["--environment_type=PROCESS", '--environment_config={"command": "beamcap-worker"}']
FLINK = ["--runner=FlinkRunner", "--flink_master=[local]"]


@pytest.fixture(params=[1, 8, None])
def cores(request, monkeypatch):
    monkeypatch.setattr(os, "cpu_count", lambda: request.param)
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
    assert threads_of_a_worker(beam_options(flags)) == 0


@pytest.mark.parametrize("workers, of_eight", [(2, 4), (3, 2), (8, 1), (100, 1)])
def test_several_processes_share_the_cores(cores, workers, of_eight):
    threads = threads_of_a_worker(beam_options([PROCESSES, f"--direct_num_workers={workers}"]))
    assert threads == (of_eight if cores == 8 else 1)


def test_a_process_a_core_has_one_thread(cores):
    threads = threads_of_a_worker(beam_options([PROCESSES, "--direct_num_workers=0"]))
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
    threads = threads_of_a_worker(beam_options(flags))
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
    assert threads_of_a_worker(beam_options([*flags, "--sdk_worker_parallelism=4"])) == 0
