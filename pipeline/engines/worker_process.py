"""`beamcap-worker` is a Beam Python worker as a process, without Docker, if beamcap is installed.

Flink, Spark and Prism start workers with a command of the user:

    --environment_type=PROCESS --environment_config='{"command": "beamcap-worker"}'

Beam's own program for this exists only in its container images, and downloads the packages that the
launcher has staged. Here beamcap and its dependencies are installed already. So this program only
asks the runner for the pipeline's options and its addresses, and then becomes the worker.
"""

import argparse
import os
from collections.abc import Sequence

import grpc
from apache_beam.portability.api import (
    beam_provision_api_pb2,
    beam_provision_api_pb2_grpc,
    endpoints_pb2,
)
from google.protobuf import json_format, text_format

from tfrecords_schema.keras_settings import choose_backend

TIMEOUT_S = 60


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs a worker until the runner ends it."""
    parser = argparse.ArgumentParser(prog="beamcap-worker", allow_abbrev=False)
    parser.add_argument("--id", required=True, help="name of the worker, from the engine")
    parser.add_argument("--provision_endpoint", required=True, help="host:port of the engine")
    # Runners pass other flags too, such as --semi_persist_dir, the directory for downloads.
    flags, _ = parser.parse_known_args(arguments)
    worker_id = flags.id.strip("'")  # Prism quotes it
    os.dup2(2, 1)  # some runners do not read a worker's standard output
    os.environ.update(worker_environment(worker_id, provision(worker_id, flags.provision_endpoint)))

    from apache_beam.runners.worker import sdk_worker_main  # reads WORKER_ID on import

    sdk_worker_main.main([])


def start() -> None:
    """Runs the console script."""
    choose_backend()
    main()


def provision(worker_id: str, endpoint: str) -> beam_provision_api_pb2.ProvisionInfo:
    """Asks the runner for the settings of this worker."""
    with grpc.insecure_channel(endpoint) as channel:
        service = beam_provision_api_pb2_grpc.ProvisionServiceStub(channel)
        request = beam_provision_api_pb2.GetProvisionInfoRequest()
        metadata = [("worker_id", worker_id)]
        return service.GetProvisionInfo(request, metadata=metadata, timeout=TIMEOUT_S).info


def worker_environment(
    worker_id: str, info: beam_provision_api_pb2.ProvisionInfo
) -> dict[str, str]:
    """The environment variables for Beam's worker."""
    environment = {
        "WORKER_ID": worker_id,
        "PIPELINE_OPTIONS": json_format.MessageToJson(info.pipeline_options),
        "RUNNER_CAPABILITIES": " ".join(info.runner_capabilities),
    }
    for name in ("control", "logging", "status"):
        url = getattr(info, f"{name}_endpoint").url
        if url:
            service = endpoints_pb2.ApiServiceDescriptor(url=url)
            key = f"{name.upper()}_API_SERVICE_DESCRIPTOR"
            environment[key] = text_format.MessageToString(service)
    return environment


if __name__ == "__main__":
    start()
