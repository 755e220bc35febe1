"""The command line of the pipeline."""

import argparse
import os
from collections.abc import Sequence

from absl import logging as absl_logging
from apache_beam.options.pipeline_options import (
    PipelineOptions,
    SetupOptions,
    StandardOptions,
)

from pipeline.config import PipelineConfig
from pipeline.engines.local_processes import LOCAL_RUNNER
from pipeline.engines.worker_threads import core_count, set_up_tensorflow
from pipeline.failures import complete_shards, told_in_one_line
from pipeline.run import run_pipeline
from tfrecords_schema.errors import InputError
from tfrecords_schema.flags import add_flags, given

JOB_SERVER_RUNNERS = ("flink", "spark", "portable")  # these ask a job server for its own options
SETUP_FILES = ("setup.py", "pyproject.toml")  # names that Beam knows


def make_parser() -> argparse.ArgumentParser:
    """The flags of beamcap itself; all others are Beam's."""
    parser = argparse.ArgumentParser(
        prog="python -m pipeline",
        usage="%(prog)s --input=DIR --output=DATA [flags]",
        description="Writes captioned images as a dataset of sharded TFRecords.",
        epilog="Every other flag is an option of Apache Beam, such as --runner.",
        allow_abbrev=False,
    )
    add_flags(parser, PipelineConfig)
    return parser


def beam_options(arguments: Sequence[str]) -> PipelineOptions:
    """Beam's options.

    Flags that only a job server knows, such as Flink's --parallelism, are left to it: it starts
    with the first job.

    Raises:
      InputError: a flag is neither beamcap's nor Beam's, nor can it be a job server's.
    """
    known = argparse.ArgumentParser(
        prog="python -m pipeline", usage="%(prog)s [flags]", add_help=False, allow_abbrev=False
    )
    for options in PipelineOptions.__subclasses__():
        options._add_argparse_args(known)  # type: ignore[arg-type]
    flags, unknown = known.parse_known_args(list(arguments))
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
    found = PipelineOptions(list(arguments), runner=runner)
    _check_staged_files(found.view_as(SetupOptions))
    if unknown:
        print(f"Left to the job server: {' '.join(unknown)}")
    return found


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the pipeline; status 2 and one line where the input or the environment is at fault."""
    flags, rest = make_parser().parse_known_args(arguments)
    absl_logging.set_verbosity(absl_logging.ERROR)  # TFDS warns of its own deprecated names
    with told_in_one_line(
        lambda: f"{complete_shards(os.path.expanduser(flags.output))}; the same command goes on"
    ):
        config = PipelineConfig(**given(flags, PipelineConfig))
        # The launcher is the worker too where no other process is asked for.
        set_up_tensorflow(config.worker_threads or core_count())
        run_pipeline(config, beam_options(rest))


def _check_staged_files(options: SetupOptions) -> None:
    """Expands `~` in the paths of what Beam brings to the workers, and refuses what is not there.

    Most engines would drop it without a word.
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
