"""The command line of the pipeline."""

import argparse
from collections.abc import Sequence

from pipeline.config import PipelineConfig
from tfrecords_schema.command_errors import errors_told
from tfrecords_schema.flags import add_flags, command_name, given
from tfrecords_schema.messages import print_messages


def make_parser() -> argparse.ArgumentParser:
    """The flags of beamcap itself; all others are Beam's."""
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
    """The configuration and Beam's flags; it imports neither TensorFlow nor Beam.

    A bad value of a flag ends the process with one line and status 2.
    """
    flags, beam_flags = make_parser().parse_known_args(arguments)
    with errors_told():
        return PipelineConfig(**given(flags, PipelineConfig)), beam_flags


def run(config: PipelineConfig, beam_flags: Sequence[str]) -> None:
    """Writes the dataset; status 2 and one line where the input or the disk is at fault."""
    from absl import logging as absl_logging

    from pipeline.accounting.receipts import complete_shards
    from pipeline.engines.beam_options import make_options
    from pipeline.engines.worker_failures import explain_failure
    from pipeline.engines.worker_threads import core_count, set_up_tensorflow
    from pipeline.run import write_dataset

    print_messages()
    absl_logging.set_verbosity(absl_logging.ERROR)  # TFDS warns of its own deprecated names

    def kept() -> str:
        return f"{complete_shards(config.output)}; the same command goes on"

    with errors_told(kept, explain=explain_failure):
        # The launcher is the worker too where no other process is asked for.
        set_up_tensorflow(config.worker_threads or core_count())
        write_dataset(config, make_options(beam_flags), show_progress=True)


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the command."""
    run(*parse(arguments))
