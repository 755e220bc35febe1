"""TF_CONFIG: what several workers are told of each other, and what users write there."""

import json
import os
import socket
import subprocess
import sys

import pytest
from small_configs import train_config

from tfrecords_schema.errors import InputError
from trainer.command import to_arguments
from trainer.replicas.distribution import input_context, is_chief, make_strategy
from trainer.replicas.tf_config import check_tf_config, names_cluster
from trainer.runs.run_log import read_metrics

TWO = ["host1:2222", "host2:2222"]


def config(cluster, kind="worker", index=0):
    return {"cluster": cluster, "task": {"type": kind, "index": index}}


def test_the_address_of_each_task_is_found_in_tf_config(monkeypatch):
    cluster = {"chief": ["[::1]:80"], "worker": TWO}
    for kind, index, address in (
        ("chief", 0, "[::1]:80"),
        ("worker", 0, "host1:2222"),
        ("worker", 1, "host2:2222"),
    ):
        monkeypatch.setenv("TF_CONFIG", json.dumps(config(cluster, kind, index)))
        assert check_tf_config() == address
    monkeypatch.setenv("TF_CONFIG", json.dumps(config({"chief": ["host0:1"]}, "chief")))
    assert check_tf_config() == "host0:1"
    assert names_cluster()


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        (config({"worker": ["host1"]}), "the address 'host1' of worker is not host:port"),
        (config({"worker": ["host1:port"]}), "'host1:port' of worker is not host:port"),
        (config({"worker": ["host1:70000"]}), "'host1:70000' of worker is not host:port"),
        (config({"worker": ["http://host1:1"]}), "is not host:port"),
        (config({"worker": [2222]}), "the address 2222 of worker"),
        (config({"worker": "host1:2222"}), "the addresses of worker are 'host1:2222'"),
        (config({"worker": ["a:1", "a:1"]}), "two workers have the same address"),
        (config({"chief": TWO}, "chief"), "there are 2 chiefs"),
        (config({"worker": TWO, "ps": ["a:1"]}), "the cluster has 'ps'"),
        (config({"worker": TWO}, "evaluator"), "the task's type is 'evaluator'"),
        (config({"worker": TWO}, "chief"), "type is 'chief', the cluster has worker"),
        (config({"worker": []}), "type is 'worker', the cluster has worker"),
        (config({"worker": TWO}, index=2), "the task's index is 2, of worker there are 2"),
        (config({"worker": TWO}, index=-1), "the task's index is -1"),
        (config({"worker": TWO}, index="0"), "the task's index is '0', which is no whole number"),
        (config({"worker": TWO}, index=True), "the task's index is True"),
        ({"cluster": {"worker": TWO}}, "it has no task"),
        ({"cluster": TWO}, "it has no cluster"),
        (["worker"], "it has no cluster"),
    ],
)
def test_a_wrong_tf_config_is_named_with_a_right_one(monkeypatch, fields, expected):
    monkeypatch.setenv("TF_CONFIG", json.dumps(fields))
    with pytest.raises(InputError) as refused:
        make_strategy("multiworker")
    assert expected in str(refused.value)
    assert '"worker": ["host1:2222", "host2:2222"]' in str(refused.value)
    if names_cluster():
        with pytest.raises(InputError, match="TF_CONFIG"):
            make_strategy("auto")


@pytest.mark.parametrize("text", ["", " ", "{}", '{"task": {"type": "worker", "index": 0}}'])
def test_tf_config_without_a_cluster_means_one_machine(text, monkeypatch):
    monkeypatch.setenv("TF_CONFIG", text)
    assert not names_cluster()
    assert make_strategy("auto").num_replicas_in_sync == 4  # tests run on four logical CPUs
    with pytest.raises(InputError, match="needs the environment variable TF_CONFIG"):
        make_strategy("multiworker")


def test_a_run_on_one_machine_does_not_need_the_task_of_tf_config(monkeypatch):
    monkeypatch.setenv("TF_CONFIG", json.dumps(config({"worker": TWO}, index=1)))
    for name, replicas in (("one", 1), ("mirrored", 4)):
        strategy = make_strategy(name)
        assert strategy.num_replicas_in_sync == replicas
        assert is_chief(strategy)
        assert input_context(strategy).num_input_pipelines == 1
    assert "TF_CONFIG" in os.environ


@pytest.mark.slow
def test_a_lone_chief_trains_and_a_port_in_use_is_named(dataset, tmp_path):
    with socket.socket() as taken:
        taken.bind(("", 0))
        taken.listen()
        address = f"localhost:{taken.getsockname()[1]}"
        results = []
        for run in ("refused", "trained"):
            configuration = train_config(dataset, tmp_path / run, epochs=1, strategy="auto")
            environment = os.environ | {
                "TF_CONFIG": json.dumps(config({"chief": [address]}, "chief"))
            }
            command = [sys.executable, "-m", "trainer", "train", *to_arguments(configuration)]
            results.append(subprocess.run(command, env=environment, capture_output=True, text=True))
            taken.close()
    refused, trained = results
    assert refused.returncode == 2
    lines = [line for line in refused.stderr.splitlines() if line.startswith("error: ")]
    assert lines[0].startswith(f"error: TF_CONFIG: this worker cannot listen on {address}")
    assert "Traceback" not in refused.stderr
    assert not (tmp_path / "refused").exists()
    assert trained.returncode == 0, trained.stderr
    assert read_metrics(str(tmp_path / "trained"))[-1]["epoch"] == 1
