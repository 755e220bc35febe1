"""The command line of the trainer."""

import argparse
import dataclasses
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any

from absl import logging
from absl.flags import argparse_flags

from tfrecords_schema.disk_failures import DISK_ERRORS, disk_failure
from tfrecords_schema.errors import InputError
from trainer.config import CHOICES, ModelConfig, TrainConfig
from trainer.decoding.beam_search import MAX_WORDS
from trainer.export.export_check import ExportError
from trainer.export.export_run import DEFAULT_FORMATS, export, parse_formats
from trainer.loop import check_inputs, train
from trainer.recipes import PRESETS
from trainer.replicas.distribution import LostWorkerError
from trainer.replicas.launch import launch
from trainer.scores.evaluate import evaluate
from trainer.serving.caption_files import FORMATS, caption_files
from trainer.stop_request import STOPPED_STATUS, StoppedError

PATH_FLAGS = ("data", "run", "initial_run", "word_vectors", "output")
COMPILED = "captions are written by XLA; not of transformer, whose keys grow with the words"
HELP = {
    "data": "dataset directory",
    "run": "directory of the run; an unfinished one goes on",
    "model": "the captioner",
    "strategy": "devices; auto: multiworker with TF_CONFIG, mirrored with several devices",
    "batch_size": "images a step over all replicas, each with all its captions",
    "readers": "of the data, each with shards of its own: with one a worker, each worker reads its "
    "own; decides the order of the data, on any number of devices",
    "epochs": "at most",
    "objective": "what is learned from: the words of captions, or the CIDEr of the model's own",
    "initial_run": "run whose best weights are where this one starts",
    "samples": "self_critical: captions drawn for an image",
    "baseline": "self_critical: a drawn caption is compared with the image's others, or with the "
    "greedy caption as in the paper",
    "schedule": "of the learning rate",
    "learning_rate": "of Adam, at its highest",
    "warmup_steps": "over which the learning rate rises",
    "plateau_patience": "plateau: epochs without a better validation before the rate falls",
    "plateau_factor": "plateau: to this part of what it was",
    "clip_norm": "bound on the norm of the global gradient",
    "label_smoothing": "share of a label that is spread over the vocabulary",
    "doubly_stochastic": "weight of the term that asks attention to see all of the image",
    "word_dropout": "share of words read that are hidden, so that the image must tell",
    "scheduled_sampling": "share of words read that are the model's own, at the end of the run",
    "unfreeze_at": "dataset of images: epochs before the CNN learns too; -1: never",
    "encoder_learning_rate": "of the CNN, at its highest; it follows the schedule",
    "flip": "dataset of images: mirrored at random; captions say left and right",
    "crop": "dataset of images: share of the sides that is cut off at most, at random",
    "color_jitter": "dataset of images: brightness, contrast and saturation change by this share "
    "at most, at random; captions name colors",
    "output_bias": "the output starts from the log frequency of words",
    "word_vectors": "text file of vectors (GloVe, word2vec) that embeddings start from",
    "checkpoint_every": "steps; also after each epoch",
    "average_decay": "of the moving average of the weights, which is what is kept; 0: none",
    "validation_images": "that are captioned after each epoch, at most",
    "patience": "epochs without a better validation CIDEr, or of equal CIDEr a lower validation "
    "loss, before training ends",
    "seed": "of weights, order and dropout",
    "cell": "of recurrent layers",
    "layers": "recurrent ones, or those of the transformer",
    "units": "of a recurrent layer; the width of the transformer",
    "embedding_units": "of a word",
    "annotation_units": "of the image, or a region of it, after its projection",
    "attention_units": "of the attention of attend and attend_after",
    "heads": "of the transformer's attention",
    "feed_forward_units": "of the transformer's feed-forward layers",
    "join": "merge: image and words are added or concatenated",
    "inject": "inject: the image is the first input, the initial state, or part of every input",
    "precision": "of the products of matrices: float16 is faster on GPUs, bfloat16 on CPUs that "
    "have it",
    "jit_compile": f"{COMPILED}; in validation and self_critical",
    "tied_embeddings": "the output layer shares the weights of the embedding",
    "region_dropout": "share of an image's regions that is left out, others at each step; 0 where "
    "captions count things",
    "annotation_dropout": "on the image, or regions of it",
    "embedding_dropout": "on words",
    "layer_dropout": "between recurrent layers; within those of the transformer",
    "recurrent_dropout": "on the weights from state to state (DropConnect)",
    "output_dropout": "before the softmax",
}


def make_parser(preset: str = "") -> argparse.ArgumentParser:
    """One subcommand a job; the flags of `train` are the fields of its configuration."""
    parser = argparse_flags.ArgumentParser(prog="python -m trainer", allow_abbrev=False)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def command(name: str, function: Callable[[argparse.Namespace], None], help: str):
        sub = commands.add_parser(name, help=help, description=help, allow_abbrev=False)
        sub.set_defaults(function=function)
        return sub.add_argument

    presets = PRESETS.get(preset, {})

    def add_training(add: Callable) -> None:
        add(
            "--preset",
            choices=PRESETS,
            help="a captioner by its name: other defaults for the flags",
        )
        for field in [*dataclasses.fields(TrainConfig), *dataclasses.fields(ModelConfig)]:
            if field.name == "model_config":
                continue
            if field.default is dataclasses.MISSING:
                add(f"--{field.name}", required=True, help=HELP[field.name])
                continue
            kind: dict[str, Any] = {"type": field.type, "choices": CHOICES.get(field.name)}
            if field.type is bool:
                kind = {"action": argparse.BooleanOptionalAction}
            default = presets.get(field.name, field.default)
            text = HELP[field.name] + " (default: %(default)s)"
            add(f"--{field.name}", default=default, help=text, **kind)

    add_training(command("train", _train, "Trains a captioner on a dataset."))

    add = command("launch", _launch, "Trains with several worker processes on this machine.")
    add("--workers", type=int, default=2, help="processes (default: %(default)s)")
    add_training(add)

    def add_search(add: Callable) -> None:
        add("--beam_width", type=int, default=5, help="1 is greedy (default: %(default)s)")
        add("--max_words", type=int, default=MAX_WORDS, help="(default: %(default)s)")
        add(
            "--length_penalty",
            type=float,
            default=1.0,
            help="0 compares log probabilities, more prefers longer (default: %(default)s)",
        )

    add = command("evaluate", _evaluate, "Captions a split and scores the captions.")
    add("--run", required=True, help="directory of a trained run")
    add("--data", default="", help="dataset directory, where it has moved since training")
    add("--split", default="test", help="train, validation or test (default: %(default)s)")
    add_search(add)
    add("--jit_compile", action=argparse.BooleanOptionalAction, default=False, help=COMPILED)

    add = command("export", _export, "Writes a SavedModel from image bytes to captions.")
    add("--run", required=True, help="directory of a trained run")
    add("--data", default="", help="dataset directory, where it has moved since training")
    add("--output", required=True, help="directory of versions, as TensorFlow Serving wants it")
    add(
        "--formats",
        default=",".join(DEFAULT_FORMATS).lower(),
        help="images that the export reads; webp too asks for a TensorFlow of its own time "
        "(default: %(default)s, which the oldest one that we promise can run)",
    )
    add_search(add)

    add = command("caption", _caption, "Captions image files with an exported model.")
    add("--model", required=True, help="an exported version, such as EXPORT/1; EXPORT: its latest")
    add(
        "--format",
        choices=FORMATS,
        default="text",
        help="text: file, tab, best caption; jsonl and csv: all beams and their scores "
        "(default: %(default)s)",
    )
    add(
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
    train(_configuration(flags))


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
    if status := launch(flags.workers, to_arguments(config)):
        sys.exit(status)


def to_arguments(config: TrainConfig) -> list[str]:
    """The command line that gives this configuration."""
    values = dataclasses.asdict(config)
    values |= values.pop("model_config")
    arguments = []
    for name, value in values.items():
        if isinstance(value, bool):
            arguments.append(f"--{name}" if value else f"--no-{name}")
        else:
            arguments.append(f"--{name}={value}")
    return arguments


def _configuration(flags: argparse.Namespace) -> TrainConfig:
    values = vars(flags)
    sizes = ModelConfig(**{f.name: values[f.name] for f in dataclasses.fields(ModelConfig)})
    names = {f.name for f in dataclasses.fields(TrainConfig)} & values.keys()
    return TrainConfig(**{name: values[name] for name in names}, model_config=sizes)


def _evaluate(flags: argparse.Namespace) -> None:
    _check_search(flags)
    evaluate(
        flags.run, flags.data, flags.split, flags.beam_width, flags.max_words,
        flags.length_penalty, flags.jit_compile,
    )  # fmt: skip


def _export(flags: argparse.Namespace) -> None:
    _check_search(flags)
    export(
        flags.run, flags.data, flags.output, flags.beam_width, flags.max_words,
        flags.length_penalty, parse_formats(flags.formats),
    )  # fmt: skip


def _caption(flags: argparse.Namespace) -> None:
    if not caption_files(os.path.expanduser(flags.model), flags.images, flags.format):
        sys.exit(1)


def _check_search(flags: argparse.Namespace) -> None:
    for name in ("beam_width", "max_words"):
        if getattr(flags, name) < 1:
            raise InputError(f"--{name}={getattr(flags, name)} must be at least 1")
    if flags.length_penalty < 0:
        raise InputError(f"--length_penalty={flags.length_penalty} must not be negative")
