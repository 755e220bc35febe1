"""The same dataset on every engine, with workers in processes of their own, and after a kill.

`make engines` gets the engines; a test whose engine is not there is skipped.
"""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from dataset_files import assert_same, rejected
from engines.flink_cluster import FlinkCluster
from small_configs import pipeline_config

from pipeline.drawn_pictures import write_pictures
from pipeline.run import write_dataset
from tfrecords_schema.manifest import read_manifest

pytestmark = pytest.mark.slow

ENGINES = Path(__file__).resolve().parents[3] / ".engines"
TIMEOUT_S = 300
FLINK = ("--runner=FlinkRunner", "--flink_version=1.19", "--parallelism=2")
KEEP_WORKERS = "--environment_cache_millis=60000"  # from one stage of a job to the next


def engine(name):
    path = ENGINES / name
    if not path.exists():
        pytest.skip(f"{path.name} is not there: `make engines` gets it")
    return path


@pytest.fixture(scope="module")
def numbered(pictures, tmp_path_factory):
    """The drawn pictures in COCO's format, numbered from 0 in each file, and their dataset.

    Such a source goes through every step of the jobs: numbers to paths, and names that collide.
    """
    source = tmp_path_factory.mktemp("numbered") / "in"
    captions = [line.split("\t") for line in (Path(pictures) / "Flickr8k.token.txt").open()]
    for split, of in (("train", "train"), ("val", "dev"), ("test", "test")):
        listed = Path(pictures, f"Flickr_8k.{of}Images.txt").read_text().split()
        number = {name: i for i, name in enumerate(listed)}
        content = {
            "images": [{"id": i, "file_name": name} for name, i in number.items()],
            "annotations": [
                {"id": k, "image_id": number[place.split("#")[0]], "caption": text}
                for k, (place, text) in enumerate(captions)
                if place.split("#")[0] in number
            ],
        }
        (source / split).mkdir(parents=True)
        for name in listed:
            shutil.copy(Path(pictures, "images", name), source / split / name)
        (source / f"captions_{split}.json").write_text(json.dumps(content))
    output = str(source.parent / "data")
    config = pipeline_config(str(source), output, source="coco")
    write_dataset(config)
    return source, output


@contextlib.contextmanager
def launched(pictures, directory, *flags):
    """The pipeline as a process; it writes to `directory/out`, its log to `directory/log`.

    Its workers are processes, each of which adds a line to `directory/workers`.
    """
    temporary, worker = directory / "tmp", directory / "worker"
    temporary.mkdir()
    program = Path(sys.executable).parent / "beamcap-worker"
    worker.write_text(f'#!/bin/sh\necho $$ >> {directory}/workers\nexec {program} "$@"\n')
    worker.chmod(0o755)
    command = [
        sys.executable, "-m", "pipeline", f"--input={pictures}", f"--output={directory}/out",
        "--encoder=tiny", "--min_count=2", "--max_rejected=0.05", "--environment_type=PROCESS",
        f"--environment_config={json.dumps({'command': str(worker)})}",
        f"--job_server_jvm_properties=-Djava.io.tmpdir={temporary}",
        "--job_server_jvm_properties=-XX:TieredStopAtLevel=1",  # it does not live long
        *flags,
    ]  # fmt: skip
    environment = os.environ | {"TMPDIR": str(temporary), "SPARK_LOCAL_IP": "127.0.0.1"}
    with (directory / "log").open("wb") as log:
        process = subprocess.Popen(
            command, stdout=log, stderr=log, env=environment, start_new_session=True
        )
    try:
        yield process
        code = process.wait(TIMEOUT_S)
        assert code == 0, (directory / "log").read_text(errors="replace")[-4000:]
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        shutil.rmtree(temporary)  # engines leave copies of their jars


def assert_same_in_all(output, dataset):
    assert_same(output, dataset)
    assert rejected(output) == rejected(dataset)
    assert read_manifest(str(output)).image_counts == read_manifest(dataset).image_counts
    vocabularies = [Path(directory, "vocabulary.txt") for directory in (output, dataset)]
    assert vocabularies[0].read_bytes() == vocabularies[1].read_bytes()


def workers_started(directory):
    return len((directory / "workers").read_text().split())


def test_prism_writes_the_same_dataset(numbered, tmp_path):
    source, dataset = numbered
    flags = ["--runner=PrismRunner", f"--prism_location={engine('prism')}"]
    with launched(source, tmp_path, "--source=coco", "--images_per_shard=24", *flags):
        pass
    assert workers_started(tmp_path) == 2  # one a job
    assert_same_in_all(tmp_path / "out", dataset)


def test_flink_in_the_launcher_writes_the_same_dataset(numbered, tmp_path):
    source, dataset = numbered
    flags = [
        *FLINK, f"--flink_job_server_jar={engine('flink-job-server.jar')}",
        "--flink_master=[local]", "--sdk_worker_parallelism=2", KEEP_WORKERS,
        "--images_per_shard=24",
    ]  # fmt: skip
    with launched(source, tmp_path, "--source=coco", *flags):
        pass
    assert workers_started(tmp_path) == 4  # two a job
    assert_same_in_all(tmp_path / "out", dataset)


def test_spark_writes_the_same_dataset(numbered, tmp_path):
    source, dataset = numbered
    flags = [
        "--runner=SparkRunner", f"--spark_job_server_jar={engine('spark-job-server.jar')}",
        "--spark_version=3", "--spark_master_url=local[2]", "--sdk_worker_parallelism=2",
        KEEP_WORKERS, "--images_per_shard=24",
    ]  # fmt: skip
    with launched(source, tmp_path, "--source=coco", *flags):
        pass
    assert workers_started(tmp_path) == 4  # two a job
    assert_same_in_all(tmp_path / "out", dataset)


def test_a_flink_cluster_that_loses_a_task_manager_writes_the_same_dataset(tmp_path):
    jar = engine("flink-job-server.jar")
    pictures, output, expected = (tmp_path / name for name in ("pictures", "out", "expected"))
    write_pictures(pictures, count=400, seed=7, damaged=3)
    config = pipeline_config(str(pictures), expected, images_per_shard=4)
    write_dataset(config)
    with FlinkCluster(jar, tmp_path / "flink", task_managers=2, slots=2) as cluster:
        flags = [
            *FLINK, f"--flink_job_server_jar={jar}", f"--flink_master={cluster.address}",
            KEEP_WORKERS, "--images_per_shard=4",
        ]  # fmt: skip
        with launched(pictures, tmp_path, *flags) as process:
            while process.poll() is None and len(receipts(output)) < 3:
                time.sleep(0.005)
            cluster.kill_task_manager(0)
            assert 0 < len(receipts(output)) < len(receipts(expected))
        assert cluster.failures()[0] == 0 < cluster.failures()[1]
    assert_same_in_all(output, str(expected))
    assert not list(output.rglob("*.incomplete-*"))
    subprocess.run([sys.executable, "-m", "pipeline.verify", str(output)], check=True)


def receipts(directory):
    return list(directory.glob("receipts/captions-*.json"))
