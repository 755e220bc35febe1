"""The command line of the pipeline."""

import argparse
from collections.abc import Sequence

from pipeline.config import PipelineConfig
from tfrecords_schema.command_errors import errors_told
from tfrecords_schema.flags import add_flags, command_name, given
from tfrecords_schema.messages import print_messages


def make_parser() -> argparse.ArgumentParser:
    """Makes a parser of beamcap's own flags; all others are Beam's."""
    parser = argparse.ArgumentParser(
        prog=command_name("pipeline"),
        usage="%(prog)s --input=DIR --output=DATA [flags]",
        description="Writes captioned images as a dataset of sharded TFRecords.",
        epilog="Every other flag is an option of Apache Beam, such as --runner.",
        allow_abbrev=False,
    )
    add_flags(parser, PipelineConfig)
    return parser


def parse(arguments: Sequence[str] | None = None) -> tuple[PipelineConfig, list[str]]:
    """Returns the configuration and Beam's flags; imports neither TensorFlow nor Beam.

    A bad value of a flag ends the process with one line and status 2.
    """
    flags, beam_flags = make_parser().parse_known_args(arguments)
    with errors_told():
        return PipelineConfig(**given(flags, PipelineConfig)), beam_flags


def run(config: PipelineConfig, beam_flags: Sequence[str]) -> None:
    """Writes the dataset; exits with one line and status 2 for errors of the input or a disk."""
    from absl import logging as absl_logging

    from pipeline.accounting.receipts import complete_shards
    from pipeline.engines.beam_options import make_options
    from pipeline.engines.worker_failures import explain_failure
    from pipeline.engines.worker_threads import core_count, set_up_tensorflow
    from pipeline.run import write_dataset

    print_messages()
    absl_logging.set_verbosity(absl_logging.ERROR)  # hides TFDS's warnings of its deprecated names

    def kept() -> str:
        return f"{complete_shards(config.output)}; the same command goes on"

    with errors_told(kept, explain=explain_failure):
        # Unless there are worker processes, the launcher is the worker.
        set_up_tensorflow(config.worker_threads or core_count())
        write_dataset(config, make_options(beam_flags), show_progress=True)


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the command."""
    run(*parse(arguments))
