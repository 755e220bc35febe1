"""The worker program against an engine that gives it no work."""

import json
import subprocess
import sys
from concurrent import futures

import grpc
import pytest
from apache_beam.portability.api import (
    beam_fn_api_pb2_grpc,
    beam_provision_api_pb2,
    beam_provision_api_pb2_grpc,
    endpoints_pb2,
)

from pipeline.engines.worker_process import main, provision, worker_environment


class Engine(
    beam_provision_api_pb2_grpc.ProvisionServiceServicer,
    beam_fn_api_pb2_grpc.BeamFnControlServicer,
    beam_fn_api_pb2_grpc.BeamFnLoggingServicer,
):
    """Tells a worker where it is, and ends it when it comes."""

    def __init__(self):
        self.calls = []  # (service, id of the worker)
        self.server = grpc.server(futures.ThreadPoolExecutor(8))
        beam_provision_api_pb2_grpc.add_ProvisionServiceServicer_to_server(self, self.server)
        beam_fn_api_pb2_grpc.add_BeamFnControlServicer_to_server(self, self.server)
        beam_fn_api_pb2_grpc.add_BeamFnLoggingServicer_to_server(self, self.server)
        self.address = f"localhost:{self.server.add_insecure_port('localhost:0')}"
        self.server.start()

    def GetProvisionInfo(self, request, context):
        self._note("provision", context)
        service = endpoints_pb2.ApiServiceDescriptor(url=self.address)
        info = beam_provision_api_pb2.ProvisionInfo(
            control_endpoint=service, logging_endpoint=service, runner_capabilities=["one", "two"]
        )
        info.pipeline_options.update({"beam:option:job_name:v1": "caf\u00e9"})
        return beam_provision_api_pb2.GetProvisionInfoResponse(info=info)

    def Control(self, responses, context):
        self._note("control", context)
        return iter(())

    def Logging(self, entries, context):
        self._note("logging", context)
        for _ in entries:
            pass
        return iter(())

    def _note(self, service, context):
        self.calls.append((service, dict(context.invocation_metadata())["worker_id"]))


@pytest.fixture
def engine():
    engine = Engine()
    yield engine
    engine.server.stop(None)


def test_a_worker_asks_reports_under_its_name_and_ends_with_the_engine(engine):
    command = [
        sys.executable, "-m", "pipeline.engines.worker_process", "--id='7-1'",  # as Prism has it
        f"--provision_endpoint={engine.address}", "--semi_persist_dir=/nowhere",
    ]  # fmt: skip
    ended = subprocess.run(command, capture_output=True, timeout=60)
    assert ended.returncode == 0, ended.stderr
    assert sorted(engine.calls) == [("control", "7-1"), ("logging", "7-1"), ("provision", "7-1")]
    assert ended.stdout == b""


def test_the_worker_is_told_options_addresses_and_capabilities(engine):
    environment = worker_environment("9", provision("9", engine.address))
    address = f'url: "{engine.address}"\n'
    options = json.loads(environment.pop("PIPELINE_OPTIONS"))
    assert options == {"beam:option:job_name:v1": "caf\u00e9"}
    assert environment == {
        "WORKER_ID": "9",
        "RUNNER_CAPABILITIES": "one two",
        "CONTROL_API_SERVICE_DESCRIPTOR": address,
        "LOGGING_API_SERVICE_DESCRIPTOR": address,
    }


@pytest.mark.parametrize("missing", ["--id", "--provision_endpoint"])
def test_variables_that_an_engine_must_give_a_worker_are_named(capsys, missing):
    given = {"--id": "1", "--provision_endpoint": "localhost:1"}
    del given[missing]
    with pytest.raises(SystemExit) as stopped:
        main([f"{flag}={value}" for flag, value in given.items()])
    assert stopped.value.code == 2
    assert missing in capsys.readouterr().err
