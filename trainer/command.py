"""The command line of the trainer."""

import argparse
import dataclasses
import os
import sys
from collections.abc import Callable, Sequence

from absl import logging

from tfrecords_schema.disk_failures import DISK_ERRORS, disk_failure
from tfrecords_schema.errors import InputError
from tfrecords_schema.flags import add_flags, flags_of, given, to_arguments
from tfrecords_schema.image_formats import DEFAULT_FORMATS, parse_formats
from tfrecords_schema.messages import print_messages
from trainer.check_inputs import check_inputs
from trainer.config import ModelConfig, TrainConfig
from trainer.decoding.search_config import SearchConfig
from trainer.export.export_check import ExportError
from trainer.loop import train
from trainer.recipes import PRESETS
from trainer.replicas.distribution import LostWorkerError
from trainer.replicas.launch import launch
from trainer.scores.evaluate import evaluation_text
from trainer.serving.caption_files import caption_files
from trainer.stop_request import STOPPED_STATUS, StoppedError
from trainer.trained_run import load_run

PATH_FLAGS = ("data", "run", "initial_run", "word_vectors", "output")


def make_parser(preset: str = "") -> argparse.ArgumentParser:
    """One subcommand a job; the flags of `train` are the fields of its configuration."""
    parser = argparse.ArgumentParser(prog="python -m trainer", allow_abbrev=False)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    presets = PRESETS.get(preset, {})

    def command(name: str, function: Callable[[argparse.Namespace], None], help: str, usage: str):
        sub = commands.add_parser(
            name, help=help, description=help, usage=f"%(prog)s {usage}", allow_abbrev=False
        )
        sub.set_defaults(function=function)
        return sub

    def add_training(sub: argparse.ArgumentParser) -> None:
        sub.add_argument(
            "--preset",
            choices=PRESETS,
            help="a captioner by its name: other defaults for the flags",
        )
        add_flags(sub, TrainConfig, ModelConfig, defaults=presets)

    usage = "--data=DATA --run=RUN [flags]"
    add_training(command("train", _train, "Trains a captioner on a dataset.", usage))
    sub = command("launch", _launch, "Trains with several local worker processes.", usage)
    sub.add_argument("--workers", type=int, default=2, help="processes (default: %(default)s)")
    add_training(sub)

    sub = command(
        "evaluate", _evaluate, "Captions a split and scores the captions.", "--run=RUN [flags]"
    )
    sub.add_argument("--run", required=True, help="directory of a trained run")
    sub.add_argument(
        "--data", default="", help="dataset directory, where it has moved since training"
    )
    sub.add_argument(
        "--split", default="test", help="train, validation or test (default: %(default)s)"
    )
    add_flags(sub, SearchConfig)

    sub = command(
        "export",
        _export,
        "Writes a SavedModel from image bytes to captions.",
        "--run=RUN --output=DIR [flags]",
    )
    sub.add_argument("--run", required=True, help="directory of a trained run")
    sub.add_argument(
        "--data", default="", help="dataset directory, where it has moved since training"
    )
    sub.add_argument(
        "--output", required=True, help="directory of versions, as TensorFlow Serving wants it"
    )
    sub.add_argument(
        "--formats",
        default=",".join(DEFAULT_FORMATS).lower(),
        help="image formats that the export reads; webp needs TensorFlow 2.20 "
        "(default: %(default)s)",
    )
    add_flags(sub, SearchConfig)

    sub = command(
        "caption",
        _caption,
        "Captions image files with an exported model.",
        "--model=EXPORT images...",
    )
    sub.add_argument(
        "--model", required=True, help="an exported version, such as EXPORT/1; EXPORT: its latest"
    )
    sub.add_argument(
        "--format",
        choices=("text", "jsonl", "csv"),
        default="text",
        help="text: file, tab, best caption; jsonl and csv: all beams and their scores "
        "(default: %(default)s)",
    )
    sub.add_argument(
        "images",
        nargs="+",
        help="files, folders, patterns such as 'pictures/*.jpg', or - for names on standard input",
    )
    return parser


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs a command.

    It exits with one line and a status: 2 where the user's input is at fault, 1 where training
    diverged or another worker is gone, 75 where SIGTERM or Ctrl-C stopped a run, 130 where Ctrl-C
    stopped anything else.
    """
    flags = make_parser().parse_args(arguments)
    if getattr(flags, "preset", None):
        flags = make_parser(flags.preset).parse_args(arguments)  # with its defaults
    for name in PATH_FLAGS:
        if hasattr(flags, name):
            setattr(flags, name, os.path.expanduser(getattr(flags, name)))
    print_messages()
    logging.set_verbosity(logging.ERROR)  # TFDS warns of its own deprecated names
    try:
        flags.function(flags)
    except KeyboardInterrupt:  # not as a command, which ends by `stop_signals`
        print("interrupted", file=sys.stderr)
        sys.exit(130)
    except StoppedError as error:
        print(error, file=sys.stderr)
        sys.exit(STOPPED_STATUS)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except DISK_ERRORS as error:
        if not (failure := disk_failure(error)):
            raise
        print(f"error: {failure}. Put that right and give the command again", file=sys.stderr)
        sys.exit(2)
    except (ExportError, FloatingPointError, LostWorkerError) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)


def _train(flags: argparse.Namespace) -> None:
    train(_configuration(flags), show_progress=True)


def _launch(flags: argparse.Namespace) -> None:
    if flags.workers < 1:
        raise InputError(f"--workers={flags.workers} must be at least 1")
    if flags.strategy not in ("auto", "multiworker"):
        raise InputError(f"--strategy={flags.strategy}: workers have --strategy=multiworker")
    config = dataclasses.replace(_configuration(flags), strategy="multiworker")
    if config.batch_size % flags.workers:
        raise InputError(
            f"--batch_size={config.batch_size} must be a multiple of the {flags.workers} workers"
        )
    # What each worker would refuse is refused once, before they start.
    check_inputs(config)
    if status := launch(flags.workers, to_arguments(config, config.model_config)):
        sys.exit(status)


def _configuration(flags: argparse.Namespace) -> TrainConfig:
    values = PRESETS.get(flags.preset, {}) | given(flags, TrainConfig, ModelConfig)
    names = flags_of(ModelConfig)
    sizes = {name: value for name, value in values.items() if name in names}
    others = {name: value for name, value in values.items() if name not in names}
    return TrainConfig(**others, model_config=ModelConfig(**sizes))


def _evaluate(flags: argparse.Namespace) -> None:
    run, search = load_run(flags.run, flags.data), SearchConfig(**given(flags, SearchConfig))
    evaluation = run.evaluate(flags.split, search, show_progress=True, save=False)
    try:
        print(evaluation_text(evaluation))
    finally:  # also where standard output is what is full
        run.save(evaluation)


def _export(flags: argparse.Namespace) -> None:
    search, formats = SearchConfig(**given(flags, SearchConfig)), parse_formats(flags.formats)
    load_run(flags.run, flags.data).export(flags.output, search, formats)


def _caption(flags: argparse.Namespace) -> None:
    if not caption_files(os.path.expanduser(flags.model), flags.images, flags.format):
        sys.exit(1)
