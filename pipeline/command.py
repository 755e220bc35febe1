"""The command line of the pipeline."""

import argparse
import os
from collections.abc import Sequence

from absl import logging as absl_logging
from absl.flags import argparse_flags
from apache_beam.options.pipeline_options import (
    PipelineOptions,
    SetupOptions,
    StandardOptions,
)

from pipeline.config import (
    CLEAN,
    ENCODERS,
    FEATURES,
    PRECISIONS,
    QUOTING,
    RESIZE,
    RESTVAL,
    SOURCES,
    TEXT_CAPTIONS,
    PipelineConfig,
)
from pipeline.engines.local_processes import LOCAL_RUNNER
from pipeline.engines.worker_threads import core_count, set_up_tensorflow
from pipeline.failures import complete_shards, told_in_one_line
from pipeline.run import run_pipeline
from tfrecords_schema.errors import InputError
from tfrecords_schema.feature_dtypes import FEATURE_DTYPES

JOB_SERVER_RUNNERS = ("flink", "spark", "portable")  # these ask a job server for its own options
PATH_FLAGS = ("input", "output", "image_directory", "vocabulary", "encoder", "encoder_weights")
SETUP_FILES = ("setup.py", "pyproject.toml")  # names that Beam knows


def make_parser() -> argparse.ArgumentParser:
    """The flags of beamcap itself; all others are Beam's."""
    default = PipelineConfig
    parser = argparse_flags.ArgumentParser(
        prog="python -m pipeline",
        description="Writes captioned images as a dataset of sharded TFRecords.",
        epilog="Every other flag is an option of Apache Beam, such as --runner.",
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("--source", choices=SOURCES, default="flickr8k", help="layout of --input")
    add("--input", required=True, help="where the images and captions are; see the README")
    add("--output", required=True, help="directory for the dataset; an unfinished one goes on")
    add(
        "--image_directory",
        default=default.image_directory,
        help="what image paths are relative to, where not to --input (coco, karpathy, table)",
    )
    add(
        "--restval",
        choices=RESTVAL,
        default=default.restval,
        help="what becomes of images whose split is called restval, as in karpathy",
    )
    add(
        "--split_names",
        type=_mapping,
        default=default.split_names,
        help="splits of the source by other names, such as extra=train,unlabeled=leave_out",
    )
    add("--tfds_name", default=default.tfds_name, help="data set of tfds, such as coco_captions")
    add("--image_column", default=default.image_column, help="of table: a path or image bytes")
    add(
        "--caption_column",
        default=default.caption_column,
        help="of table, webdataset's .json and tfds: one caption or a list of them; of table also "
        "several columns, caption_0,caption_1, or a field of a list of structs, sentences.raw",
    )
    add("--split_column", default=default.split_column, help="of table: train, validation or test")
    add(
        "--id_column", default=default.id_column, help="of table and tfds: unique name of the image"
    )
    add(
        "--columns",
        type=_names,
        default=default.columns,
        help="of a table of text without a header: the names of its columns, such as caption,image",
    )
    add(
        "--delimiter",
        type=lambda text: "\t" if text in ("tab", "\\t") else text,
        default=default.delimiter,
        help="of a table of text: one character or tab, where the suffix .csv or .tsv does not say",
    )
    add(
        "--quoting",
        choices=QUOTING[1:],
        default=default.quoting,
        help="csv: quotes stand around cells, as in .csv; none: quotes are text, as in .tsv",
    )
    add(
        "--image_field",
        default=default.image_field,
        help="of webdataset: what follows the key in the name of the image, such as jpg",
    )
    add(
        "--caption_field",
        default=default.caption_field,
        help="of webdataset and folder: what follows the key in the name of the captions, such as "
        "json; default: txt, else json (webdataset), txt and caption (folder)",
    )
    add(
        "--text_captions",
        choices=TEXT_CAPTIONS,
        default=default.text_captions,
        help="of webdataset and folder: a text file holds a caption a line, or is one as a whole",
    )
    add(
        "--split_fractions",
        type=_fractions,
        default=default.split_fractions,
        help="train,validation,test by a hash of the image id, in place of the source's splits; "
        "0.8,0.1,0.1 where it has none",
    )
    add("--clean", choices=CLEAN, default=default.clean, help="how captions become words")
    add(
        "--vocabulary",
        default=default.vocabulary,
        help="file of one word a line, to use instead of counting words",
    )
    add("--min_count", type=int, default=default.min_count, help="words seen less are <unk>")
    add("--max_size", type=int, default=default.max_size, help="most frequent words; 0: all")
    add(
        "--max_length",
        type=int,
        default=default.max_length,
        help="words of a caption that become ids",
    )
    add(
        "--max_unknown",
        type=float,
        default=default.max_unknown,
        help="fraction of the training words that the vocabulary may lack; the job fails past it",
    )
    add(
        "--encoder",
        default=default.encoder,
        help=f"the CNN: {', '.join(ENCODERS)}, or the path of a Keras model file",
    )
    add(
        "--encoder_weights",
        default=default.encoder_weights,
        help="'imagenet' (downloaded), 'random', or a Keras weights file, with or without the top "
        "layers; tiny and a model file have their own",
    )
    add("--encoder_seed", type=int, default=default.encoder_seed, help="of random weights")
    add(
        "--encoder_layer",
        default=default.encoder_layer,
        help="whose output the features are, such as block5_pool of vgg16; default: the usual one",
    )
    add(
        "--image_size",
        type=int,
        default=default.image_size,
        help="side of the square that images are resized to, pixels; 0: what the encoder was "
        "trained on",
    )
    add(
        "--resize",
        choices=RESIZE,
        default=default.resize,
        help="stretch: to the square; pad: with black to it; crop: its middle",
    )
    add(
        "--allow_truncated",
        action="store_true",
        help="take JPEGs that end early, grey from there on, rather than reject them",
    )
    add(
        "--precision",
        choices=PRECISIONS,
        default=default.precision,
        help="in which the CNN is computed; bfloat16 is faster where the processor has it",
    )
    add(
        "--features",
        choices=FEATURES,
        default=default.features,
        help="grid: one vector a region, for attention; pooled: one vector an image; "
        "image: the image itself as JPEG, to train the CNN too; none: text only, no image is read",
    )
    add("--jpeg_quality", type=int, default=default.jpeg_quality, help="of --features=image")
    add("--feature_dtype", choices=FEATURE_DTYPES, default=default.feature_dtype, help="as stored")
    add("--images_per_shard", type=int, default=default.images_per_shard, help="on average")
    add("--max_pixels", type=int, default=default.max_pixels, help="a larger image is rejected")
    add(
        "--max_rejected",
        type=float,
        default=default.max_rejected,
        help="fraction of the images, and of the captions; the job fails past it",
    )
    add(
        "--retry_rejected",
        action="store_true",
        help="make the shards again that hold rejected images, when their cause is gone",
    )
    add(
        "--worker_threads",
        type=int,
        default=default.worker_threads,
        help="cores that a worker process uses; 0: those of this machine shared out",
    )
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
    for name in PATH_FLAGS:
        setattr(flags, name, os.path.expanduser(getattr(flags, name)))
    with told_in_one_line(lambda: f"{complete_shards(flags.output)}; the same command goes on"):
        config = PipelineConfig(**vars(flags))
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


def _fractions(text: str) -> tuple[float, ...]:
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text!r} must be three numbers with commas, such as 0.8,0.1,0.1"
        ) from None


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(","))


def _mapping(text: str) -> dict[str, str]:
    pairs = [pair.partition("=") for pair in text.split(",")]
    if not all(name.strip() and equals and split.strip() for name, equals, split in pairs):
        raise argparse.ArgumentTypeError(
            f"{text!r} must be name=split with commas, such as restval=train,dev=validation"
        )
    return {name.strip(): split.strip() for name, _, split in pairs}
