"""The command line that checks a dataset."""

import argparse
import os
import sys
from collections.abc import Sequence

from tfrecords_schema.command_errors import errors_told
from tfrecords_schema.flags import command_name
from tfrecords_schema.messages import print_messages


def parse(arguments: Sequence[str] | None = None) -> tuple[str, list[str]]:
    """Returns the dataset's directory and Beam's flags; imports neither TensorFlow nor Beam."""
    parser = argparse.ArgumentParser(
        prog=command_name("pipeline.verify"),
        description="Reads every shard of a dataset and says what is wrong; status 1 if anything.",
        epilog="Every other flag is an option of Apache Beam, such as --runner.",
        allow_abbrev=False,
    )
    parser.add_argument("data", help="directory of the dataset")
    flags, beam_flags = parser.parse_known_args(arguments)
    return os.path.expanduser(flags.data), beam_flags


def run(data: str, beam_flags: Sequence[str]) -> None:
    """Prints the problems and exits with status 1, or prints that there are none."""
    from absl import logging as absl_logging

    from pipeline.engines.worker_failures import explain_failure
    from pipeline.verify.verify_dataset import LOCAL, verify_dataset
    from tfrecords_schema.manifest import read_manifest

    print_messages()
    absl_logging.set_verbosity(absl_logging.ERROR)  # hides TFDS's warnings of its deprecated names

    def kept() -> str:
        return f"{data} is as it was; the same command begins anew"

    with errors_told(kept, explain=explain_failure):
        problems = verify_dataset(data, beam_flags or LOCAL)
        manifest = read_manifest(data)
    for problem in problems:
        print(problem)
    shards = sum(map(len, manifest.splits.values()))
    images = sum(map(manifest.images, manifest.splits))
    if problems:
        print(f"{data}: {len(problems)} problems in {shards} shards")
        sys.exit(1)
    print(f"{data}: {shards} shards with {images} images are as the manifest says")


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the command."""
    run(*parse(arguments))
