"""The command line of the trainer."""

import argparse
import dataclasses
import sys
from collections.abc import Callable, Sequence

from absl import logging
from absl.flags import argparse_flags

from tfrecords_schema.errors import InputError
from trainer.caption_files import caption_files
from trainer.config import MODELS, STRATEGIES, ModelConfig, TrainConfig
from trainer.decode import MAX_WORDS
from trainer.evaluate import evaluate
from trainer.export import export
from trainer.loop import train

HELP = {
    "data": "dataset directory",
    "run": "directory of the run; an unfinished one goes on",
    "model": "the captioner",
    "strategy": "devices; auto: multiworker with TF_CONFIG, mirrored with several devices",
    "batch_size": "images a step over all replicas, each with all its captions",
    "epochs": "at most",
    "learning_rate": "of Adam",
    "clip_norm": "bound on the norm of the global gradient",
    "label_smoothing": "share of a label that is spread over the vocabulary",
    "average_decay": "of the moving average of the weights, which is what is kept; 0: none",
    "patience": "epochs without a better validation CIDEr before training ends",
    "seed": "of weights, order and dropout",
    "embedding_units": "of a word",
    "lstm_units": "of the LSTM",
    "attention_units": "of the additive attention",
    "annotation_units": "of a region after its projection",
    "annotation_dropout": "on regions",
    "embedding_dropout": "on words",
    "output_dropout": "before the softmax",
}


def make_parser() -> argparse.ArgumentParser:
    """One subcommand a job; the flags of `train` are the fields of its configuration."""
    parser = argparse_flags.ArgumentParser(prog="python -m trainer", allow_abbrev=False)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def command(name: str, function: Callable[[argparse.Namespace], None], help: str):
        sub = commands.add_parser(name, help=help, description=help, allow_abbrev=False)
        sub.set_defaults(function=function)
        return sub.add_argument

    add = command("train", _train, "Trains a captioner on a dataset.")
    choices = {"model": MODELS, "strategy": STRATEGIES}
    for config in (TrainConfig, ModelConfig):
        for field in dataclasses.fields(config):
            if field.name == "model_config":
                continue
            required = field.default is dataclasses.MISSING
            add(
                f"--{field.name}",
                type=field.type,
                required=required,
                default=None if required else field.default,
                choices=choices.get(field.name),
                help=HELP[field.name] + ("" if required else " (default: %(default)s)"),
            )

    def add_search(add: Callable) -> None:
        add("--beam_width", type=int, default=5, help="1 is greedy (default: %(default)s)")
        add("--max_words", type=int, default=MAX_WORDS, help="(default: %(default)s)")
        add(
            "--length_penalty",
            type=float,
            default=0.0,
            help="0 compares log probabilities, more prefers longer (default: %(default)s)",
        )

    add = command("evaluate", _evaluate, "Captions a split and scores the captions.")
    add("--run", required=True, help="directory of a trained run")
    add("--data", default="", help="dataset directory, where it has moved since training")
    add("--split", default="test", help="train, validation or test (default: %(default)s)")
    add_search(add)

    add = command("export", _export, "Writes a SavedModel from image bytes to captions.")
    add("--run", required=True, help="directory of a trained run")
    add("--data", default="", help="dataset directory, where it has moved since training")
    add("--output", required=True, help="directory of versions, as TensorFlow Serving wants it")
    add_search(add)

    add = command("caption", _caption, "Captions image files with an exported model.")
    add("--model", required=True, help="an exported version, such as EXPORT/1")
    add("images", nargs="+", help="image files")
    return parser


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs a command.

    Where the user's input is at fault it exits with status 2 and one line, where training
    diverged with status 1 and one line.
    """
    flags = make_parser().parse_args(arguments)
    logging.set_verbosity(logging.ERROR)  # TFDS warns of its own deprecated names
    try:
        flags.function(flags)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except FloatingPointError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)


def _train(flags: argparse.Namespace) -> None:
    values = vars(flags)
    sizes = ModelConfig(**{f.name: values[f.name] for f in dataclasses.fields(ModelConfig)})
    names = {f.name for f in dataclasses.fields(TrainConfig)} & values.keys()
    train(TrainConfig(**{name: values[name] for name in names}, model_config=sizes))


def _evaluate(flags: argparse.Namespace) -> None:
    _check_search(flags)
    evaluate(
        flags.run, flags.data, flags.split, flags.beam_width, flags.max_words, flags.length_penalty
    )


def _export(flags: argparse.Namespace) -> None:
    _check_search(flags)
    export(
        flags.run, flags.data, flags.output, flags.beam_width, flags.max_words, flags.length_penalty
    )


def _caption(flags: argparse.Namespace) -> None:
    if not caption_files(flags.model, flags.images):
        sys.exit(1)


def _check_search(flags: argparse.Namespace) -> None:
    for name in ("beam_width", "max_words"):
        if getattr(flags, name) < 1:
            raise InputError(f"--{name}={getattr(flags, name)} must be at least 1")
    if flags.length_penalty < 0:
        raise InputError(f"--length_penalty={flags.length_penalty} must not be negative")
