"""The environment variable TF_CONFIG, which tells a worker its cluster and its own place in it.

It is TensorFlow's convention, a variable of JSON:

    {"cluster": {"chief": ["host0:2222"], "worker": ["host1:2222", "host2:2222"]},
     "task": {"type": "worker", "index": 0}}

The chief is one more worker. Without a chief, worker 0 takes its role.
"""

import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tfrecords_schema.errors import InputError

VARIABLE = "TF_CONFIG"
JOBS = ("chief", "worker")
EXAMPLE = (
    '{"cluster": {"worker": ["host1:2222", "host2:2222"]}, "task": {"type": "worker", "index": 0}}'
)


def names_cluster() -> bool:
    """Whether TF_CONFIG names a cluster or cannot be parsed."""
    text = os.environ.get(VARIABLE, "").strip()
    try:
        fields = json.loads(text or "{}")
    except ValueError:
        return True
    return bool(fields.get("cluster")) if isinstance(fields, dict) else True


def check_tf_config() -> str:
    """The address of this process among the workers of TF_CONFIG.

    Raises:
      InputError: TF_CONFIG is not set, or TensorFlow could not use it for several workers.
    """
    text = os.environ.get(VARIABLE, "")
    try:
        return _own_address(json.loads(text))
    except ValueError as error:
        raise InputError(
            f"--strategy=multiworker needs the environment variable {VARIABLE}, such as {EXAMPLE}; "
            f"it is {text!r}: {error}"
        ) from error


@contextmanager
def without_tf_config() -> Iterator[None]:
    """Hides TF_CONFIG from TensorFlow within the context."""
    text = os.environ.pop(VARIABLE, None)
    try:
        yield
    finally:
        if text is not None:
            os.environ[VARIABLE] = text


def _own_address(fields: Any) -> str:
    """The result of `check_tf_config`. A ValueError says what is wrong."""
    fields = fields if isinstance(fields, dict) else {}
    cluster, task = fields.get("cluster"), fields.get("task")
    if not isinstance(cluster, dict) or not cluster:
        raise ValueError("it has no cluster")
    for job, addresses in cluster.items():
        if job not in JOBS:
            raise ValueError(f"the cluster has {job!r}, a run is trained by chief and worker alone")
        if not isinstance(addresses, list):
            raise ValueError(f"the addresses of {job} are {addresses!r}, which is no list")
        for address in addresses:
            if not isinstance(address, str) or not _is_address(address):
                raise ValueError(f"the address {address!r} of {job} is not host:port")
    if len(cluster.get("chief", [])) > 1:
        raise ValueError(f"there are {len(cluster['chief'])} chiefs, there may be one")
    addresses = [address for each in cluster.values() for address in each]
    if len(set(addresses)) < len(addresses):
        raise ValueError("two workers have the same address")
    if not isinstance(task, dict):
        raise ValueError("it has no task, which says who of the cluster this process is")
    job, index = task.get("type"), task.get("index")
    if not isinstance(job, str) or not cluster.get(job):
        raise ValueError(f"the task's type is {job!r}, the cluster has {', '.join(cluster)}")
    if not isinstance(index, int) or isinstance(index, bool):
        raise ValueError(f"the task's index is {index!r}, which is no whole number")
    if not 0 <= index < len(cluster[job]):
        raise ValueError(f"the task's index is {index}, of {job} there are {len(cluster[job])}")
    return cluster[job][index]


def _is_address(address: str) -> bool:
    found = re.fullmatch(r"[^\s/]+:(\d{1,5})", address)
    return found is not None and 0 < int(found[1]) < 2**16
