"""Runs the local runner in several processes, with `--direct_running_mode=multi_processing`."""

import os
import shlex
import sys

import apache_beam as beam
from apache_beam.options.pipeline_options import DirectOptions, PipelineOptions, StandardOptions
from apache_beam.runners.portability.fn_api_runner.fn_runner import FnApiRunner
from apache_beam.transforms.environments import SubprocessSDKEnvironment

LOCAL_RUNNER = "FnApiRunner"  # DirectRunner would try to download another engine first


def make_pipeline(options: PipelineOptions) -> beam.Pipeline:
    """Makes a pipeline on the runner of `options`, by default the local one.

    Several local processes run `pipeline.engines.local_worker`. Beam's own workers would print 25
    lines of log each, and would outlive a killed launcher; see docs/decisions.
    """
    runner_name = options.view_as(StandardOptions).runner or LOCAL_RUNNER
    mode = options.view_as(DirectOptions).direct_running_mode
    if runner_name != LOCAL_RUNNER or mode != "multi_processing":
        return beam.Pipeline(runner=runner_name, options=options)
    # In this mode the runner would start Beam's own workers. It still reads their number.
    options = PipelineOptions.from_dictionary(
        options.get_all_options(drop_default=True) | {"direct_running_mode": "in_memory"}
    )
    # The terminal sends Ctrl-C to all processes; workers ignore it, and the launcher ends them.
    worker = f"{shlex.quote(sys.executable)} -m pipeline.engines.local_worker {os.getpid()}"
    command = f"trap '' INT TERM; exec {worker}"
    runner = FnApiRunner(SubprocessSDKEnvironment.from_command_string(command))
    return beam.Pipeline(runner=runner, options=options)
