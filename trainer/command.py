"""The command line of the trainer. TensorFlow is imported after the flags are checked."""

import argparse
import dataclasses
import sys
from collections.abc import Callable, Sequence
from typing import NamedTuple

from tfrecords_schema.command_errors import errors_told
from tfrecords_schema.errors import InputError
from tfrecords_schema.flags import add_flags, command_name, given, to_arguments
from tfrecords_schema.start_tensorflow import start_tensorflow
from trainer import recipes
from trainer.command_flags import (
    CaptionFlags,
    ExportFlags,
    RecipeFlag,
    RunFlags,
    SplitFlag,
    WorkersFlag,
)
from trainer.config import ModelConfig, TrainConfig
from trainer.decoding.search_config import SearchConfig
from trainer.errors import ExportError, LostWorkerError
from trainer.stop_request import STOPPED_STATUS, StoppedError

STATUSES = {ExportError: 1, FloatingPointError: 1, LostWorkerError: 1}


def make_parser() -> argparse.ArgumentParser:
    """Makes a parser with one subcommand a job, with the flags of its dataclasses."""
    parser = argparse.ArgumentParser(prog=command_name("trainer"), allow_abbrev=False)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, command in COMMANDS.items():
        sub = commands.add_parser(
            name,
            help=command.help,
            description=command.help,
            usage=f"%(prog)s {command.usage}",
            allow_abbrev=False,
        )
        add_flags(sub, *command.flags)
    commands.choices["caption"].add_argument("images", nargs="+", help=IMAGES_HELP)
    return parser


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs a command.

    An error exits with one line and a status: 2 if the user's input is at fault, 1 if training
    diverged or another worker is gone, 75 if SIGTERM or Ctrl-C stopped a run, 130 if Ctrl-C
    stopped any other command.
    """
    flags = make_parser().parse_args(arguments)
    try:
        with errors_told(statuses=STATUSES):
            COMMANDS[flags.command].run(flags)
    except KeyboardInterrupt:  # only when called from Python: `stop_signals` ends the command
        print("interrupted", file=sys.stderr)
        sys.exit(130)
    except StoppedError as error:
        print(error, file=sys.stderr)
        sys.exit(STOPPED_STATUS)


def _start() -> None:
    """Imports TensorFlow. The functions below import the modules that need it."""
    start_tensorflow()

    from absl import logging

    from tfrecords_schema.messages import print_messages

    logging.set_verbosity(logging.ERROR)  # hides TFDS's warnings of its own deprecated names
    print_messages()


def _train(flags: argparse.Namespace) -> None:
    config = _training(flags)
    _start()

    from trainer.loop import train

    train(config, show_progress=True)


def _launch(flags: argparse.Namespace) -> None:
    workers = WorkersFlag(**given(flags, WorkersFlag)).workers
    config = _training(flags)
    if config.strategy not in ("auto", "multiworker"):
        raise InputError(f"--strategy={config.strategy}: workers have --strategy=multiworker")
    if config.batch_size % workers:
        raise InputError(
            f"--batch_size={config.batch_size} must be a multiple of the {workers} workers"
        )
    config = dataclasses.replace(config, strategy="multiworker")
    _start()

    from trainer.check_inputs import check_inputs
    from trainer.replicas.launch import launch

    # Inputs that every worker would refuse are refused once, before the workers start.
    check_inputs(config)
    if status := launch(workers, to_arguments(config)):
        sys.exit(status)


def _training(flags: argparse.Namespace) -> TrainConfig:
    """The configuration of a training: the recipe's, changed by the given flags."""
    values = given(flags, TrainConfig, ModelConfig)
    recipe = recipes.choose(given(flags, RecipeFlag).get("recipe", ""), values)
    if recipe is recipes.self_critical:
        _start()  # this recipe reads the initial run with TensorFlow
    return recipe(**values)


def _evaluate(flags: argparse.Namespace) -> None:
    where, changes = RunFlags(**given(flags, RunFlags)), given(flags, SearchConfig)
    split = SplitFlag(**given(flags, SplitFlag)).split
    _start()

    from trainer.scores.evaluate import evaluation_text
    from trainer.trained_run import load_run

    run = load_run(where.run, where.data)
    search = recipes.search(run.config, **changes)
    evaluation = run.evaluate(split, search, show_progress=True, save=False)
    try:
        print(evaluation_text(evaluation))
    finally:  # also if standard output cannot be written to
        run.save(evaluation)


def _export(flags: argparse.Namespace) -> None:
    where, changes = RunFlags(**given(flags, RunFlags)), given(flags, SearchConfig)
    target = ExportFlags(**given(flags, ExportFlags))
    _start()

    from trainer.trained_run import load_run

    run = load_run(where.run, where.data)
    run.export(target.output, recipes.search(run.config, **changes), target.formats)


def _caption(flags: argparse.Namespace) -> None:
    asked = CaptionFlags(**given(flags, CaptionFlags))
    _start()

    from trainer.serving.caption_files import caption_files

    if not caption_files(asked.model, flags.images, asked.format):
        sys.exit(1)


class Command(NamedTuple):
    """A subcommand of the trainer."""

    run: Callable[[argparse.Namespace], None]
    flags: tuple[type, ...]
    help: str
    usage: str


COMMANDS = {
    "train": Command(
        _train,
        (RecipeFlag, TrainConfig, ModelConfig),
        "Trains a captioner on a dataset.",
        "--data=DATA --run=RUN [flags]",
    ),
    "launch": Command(
        _launch,
        (RecipeFlag, WorkersFlag, TrainConfig, ModelConfig),
        "Trains with several local worker processes.",
        "--data=DATA --run=RUN [flags]",
    ),
    "evaluate": Command(
        _evaluate,
        (RunFlags, SplitFlag, SearchConfig),
        "Captions a split and scores the captions.",
        "--run=RUN [flags]",
    ),
    "export": Command(
        _export,
        (RunFlags, ExportFlags, SearchConfig),
        "Writes a SavedModel from image bytes to captions.",
        "--run=RUN --output=DIR [flags]",
    ),
    "caption": Command(
        _caption,
        (CaptionFlags,),
        "Captions image files with an exported model.",
        "--model=EXPORT images...",
    ),
}
IMAGES_HELP = "files, folders, patterns such as 'pictures/*.jpg', or - for names on standard input"
