"""The command line of the pipeline."""

import argparse
import logging
import sys
from collections.abc import Sequence

from absl import logging as absl_logging
from absl.flags import argparse_flags

logging.getLogger().setLevel(logging.ERROR)  # Beam warns of optional packages on import

from apache_beam.options.pipeline_options import PipelineOptions, StandardOptions  # noqa: E402

from pipeline.config import SOURCES, PipelineConfig  # noqa: E402
from pipeline.image_encoder import FEATURES, NETWORKS  # noqa: E402
from pipeline.run import run_pipeline  # noqa: E402
from tfrecords_schema.errors import InputError  # noqa: E402
from tfrecords_schema.features import FEATURE_DTYPES  # noqa: E402

LOCAL_RUNNER = "FnApiRunner"  # DirectRunner would try to download another engine first


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
    add("--input", required=True, help="directory of images and captions")
    add("--output", required=True, help="directory for the dataset; an unfinished one goes on")
    add("--encoder", choices=tuple(NETWORKS), default=default.encoder, help="the CNN")
    add(
        "--encoder_weights",
        default=default.encoder_weights,
        help="'imagenet' (downloaded), 'random', or a Keras weights file; tiny has its own",
    )
    add("--encoder_seed", type=int, default=default.encoder_seed, help="of random weights")
    add(
        "--features",
        choices=FEATURES,
        default=default.features,
        help="grid: one vector a region, for attention; pooled: one vector an image",
    )
    add("--feature_dtype", choices=FEATURE_DTYPES, default=default.feature_dtype, help="as stored")
    add("--min_count", type=int, default=default.min_count, help="words seen less are <unk>")
    add(
        "--split_fractions",
        type=_fractions,
        default=default.split_fractions,
        help="train,validation,test by a hash of the image id, where the source has no splits",
    )
    add("--images_per_shard", type=int, default=default.images_per_shard, help="on average")
    add("--max_pixels", type=int, default=default.max_pixels, help="a larger image is rejected")
    add(
        "--max_rejected",
        type=float,
        default=default.max_rejected,
        help="fraction of the images; the job fails past it",
    )
    return parser


def beam_options(arguments: Sequence[str]) -> PipelineOptions:
    """Beam's options.

    Raises:
      InputError: a flag is neither beamcap's nor Beam's.
    """
    known = argparse.ArgumentParser(
        prog="python -m pipeline", usage="%(prog)s [flags]", add_help=False, allow_abbrev=False
    )
    for options in PipelineOptions.__subclasses__():
        options._add_argparse_args(known)  # type: ignore[arg-type]
    flags, unknown = known.parse_known_args(list(arguments))
    if unknown:
        raise InputError(f"unknown flag {unknown[0]}; --help lists beamcap's flags")
    runner = flags.runner or LOCAL_RUNNER
    names = StandardOptions.KNOWN_RUNNER_NAMES
    known_names = {name.lower() for name in names}
    if "." not in runner and not {runner.lower(), f"{runner.lower()}runner"} & known_names:
        raise InputError(f"--runner={runner!r} must be one of: {', '.join(names)}")
    return PipelineOptions(list(arguments), runner=runner)


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the pipeline; exits with status 2 and one line where the user's input is at fault."""
    flags, rest = make_parser().parse_known_args(arguments)
    absl_logging.set_verbosity(absl_logging.ERROR)  # TFDS warns of its own deprecated names
    try:
        run_pipeline(PipelineConfig(**vars(flags)), beam_options(rest))
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)


def _fractions(text: str) -> tuple[float, ...]:
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text!r} must be three numbers with commas, such as 0.8,0.1,0.1"
        ) from None
