"""Makes Beam's options from a command line or from Python, and checks them before a job."""

import argparse
import json
import os
from collections.abc import Mapping, Sequence
from typing import Any

from apache_beam.options.pipeline_options import (
    PipelineOptions,
    SetupOptions,
    StandardOptions,
)

from pipeline.engines.local_processes import LOCAL_RUNNER
from tfrecords_schema.errors import InputError
from tfrecords_schema.messages import logger

JOB_SERVER_RUNNERS = ("flink", "spark", "portable")  # their job servers have options of their own
SETUP_FILES = ("setup.py", "pyproject.toml")  # names that Beam accepts

BeamOptions = Sequence[str] | Mapping[str, Any] | PipelineOptions


def make_options(given: BeamOptions) -> PipelineOptions:
    """Makes Beam's options, with the local runner by default.

    Flags that only a job server knows, such as Flink's --parallelism, are not checked: the job
    server starts with the first job.

    Args:
      given: flags such as `--runner=FlinkRunner`, or a dict of them such as
        {"runner": "FlinkRunner"}, where True is a flag without a value and a list is one flag for
        each element; or PipelineOptions, which are returned unchanged.

    Raises:
      InputError: neither Beam nor a job server has such a flag, or its value is invalid.
    """
    if isinstance(given, PipelineOptions):
        return given
    arguments = _to_arguments(given) if isinstance(given, Mapping) else list(given)
    known = argparse.ArgumentParser(
        prog="beam", usage="[flags of Apache Beam]", add_help=False, allow_abbrev=False
    )
    for options in PipelineOptions.__subclasses__():
        options._add_argparse_args(known)  # type: ignore[arg-type]
    flags, unknown = known.parse_known_args(arguments)
    runner = flags.runner or LOCAL_RUNNER
    has_job_server = runner.split(".")[-1].lower().removesuffix("runner") in JOB_SERVER_RUNNERS
    if unknown and not (has_job_server and unknown[0].startswith("--")):
        raise InputError(f"unknown flag {unknown[0]}; --help lists beamcap's flags")
    if not str(flags.sdk_worker_parallelism).isdecimal():
        raise InputError(
            f"--sdk_worker_parallelism={flags.sdk_worker_parallelism} must be a whole number"
        )
    names = StandardOptions.KNOWN_RUNNER_NAMES
    known_names = {name.lower() for name in names}
    if "." not in runner and not {runner.lower(), f"{runner.lower()}runner"} & known_names:
        raise InputError(f"--runner={runner!r} must be one of: {', '.join(names)}")
    found = PipelineOptions(arguments, runner=runner)
    _check_staged_files(found.view_as(SetupOptions))
    if unknown:
        logger.info(f"Left to the job server: {' '.join(unknown)}")
    return found


def _to_arguments(table: Mapping[str, Any]) -> list[str]:
    arguments = []
    for name, value in table.items():
        for one in value if isinstance(value, (list, tuple)) else [value]:
            if one is True:
                arguments.append(f"--{name}")
            elif one is not False and one is not None:
                text = json.dumps(one) if isinstance(one, Mapping) else one
                arguments.append(f"--{name}={text}")
    return arguments


def _check_staged_files(options: SetupOptions) -> None:
    """Expands `~` in the paths of files that Beam copies to the workers, and checks them.

    Raises:
      InputError: a file is missing, or has a name that Beam does not accept. Most runners would
        leave it out without a message.
    """
    for flag in ("setup_file", "requirements_file", "extra_packages"):
        given = getattr(options, flag)
        paths = [given] if isinstance(given, str) else given or []
        paths = [os.path.expanduser(path) for path in paths]
        for path in paths:
            if "://" not in path and not os.path.isfile(path):
                raise InputError(f"--{flag}={path}: no such file")
        setattr(options, flag, paths[0] if isinstance(given, str) else given and paths)
    if os.path.basename(options.setup_file or SETUP_FILES[0]) not in SETUP_FILES:
        raise InputError(
            f"--setup_file={options.setup_file} must be called {' or '.join(SETUP_FILES)}"
        )
