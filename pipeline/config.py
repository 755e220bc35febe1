"""The configuration of a pipeline run, one field a flag."""

import argparse
import dataclasses
import os
from collections.abc import Mapping
from typing import Any

from tfrecords_schema.characters import CHARACTERS
from tfrecords_schema.errors import InputError
from tfrecords_schema.feature_dtypes import FEATURE_DTYPES
from tfrecords_schema.file_digest import sha256_of
from tfrecords_schema.flags import check_flags, check_goes_with, flag
from tfrecords_schema.shards import SPLITS

SOURCES = (
    "flickr8k", "flickr30k", "coco", "karpathy", "table", "webdataset", "folder", "tfds",
)  # fmt: skip
NETWORKS = (  # from keras.applications; see pipeline.encoder.networks
    "vgg16", "vgg19", "resnet50", "resnet101", "resnet152", "inception_v3", "mobilenet_v2",
    "mobilenet_v3_large", "efficientnet_v2_b0", "efficientnet_v2_s", "efficientnet_v2_m",
    "efficientnet_v2_l", "convnext_tiny", "convnext_small", "convnext_base", "convnext_large",
    "densenet121",
)  # fmt: skip
TINY = "tiny"  # a small fixed network, for drawn pictures
ENCODERS = (*NETWORKS, TINY)
MODEL_FILES = (".keras", ".h5")  # suffixes of a user's own encoder
FEATURES = ("grid", "pooled", "image", "none")
LEAVE_OUT = "leave_out"  # instead of a split: such images are counted but not written
RESTVAL = ("train", LEAVE_OUT)
CLEAN = ("none", "tutorial", "coco", CHARACTERS)
RESIZE = ("stretch", "pad", "crop")
PRECISIONS = ("float32", "bfloat16")
MAX_PIXELS = 50_000_000  # 150 MB decoded; about the size of the largest phone cameras' images
QUOTING = ("", "csv", "none")
TEXT_CAPTIONS = ("lines", "whole")
SPLIT_FRACTIONS = (0.8, 0.1, 0.1)  # usual in the literature


_SOURCE, _TEXT, _ENCODER, _IMAGES = "source", "text", "encoder", "images and features"
_OUTPUT, _WORKERS = "output", "workers"
_COLUMNS, _SAMPLES = "columns of a table or TFDS", "fields of WebDataset and folders"


def fractions(text: str) -> tuple[float, ...]:
    """Parses `0.8,0.1,0.1` as numbers.

    Raises:
      argparse.ArgumentTypeError: a part is not a number.
    """
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text!r} must be three numbers with commas, such as 0.8,0.1,0.1"
        ) from None


def names(text: str) -> tuple[str, ...]:
    """Parses `caption,image` as names."""
    return tuple(name.strip() for name in text.split(","))


def mapping(text: str) -> dict[str, str]:
    """Parses `restval=train,dev=validation` as a dict.

    Raises:
      argparse.ArgumentTypeError: a part is not `name=split`.
    """
    pairs = [pair.partition("=") for pair in text.split(",")]
    if not all(name.strip() and equals and split.strip() for name, equals, split in pairs):
        raise argparse.ArgumentTypeError(
            f"{text!r} must be name=split with commas, such as restval=train,dev=validation"
        )
    return {name.strip(): split.strip() for name, _, split in pairs}


def delimiter(text: str) -> str:
    """Parses a delimiter: one character, or `tab`."""
    return "\t" if text in ("tab", "\\t") else text


@dataclasses.dataclass(frozen=True, kw_only=True)
class PipelineConfig:
    """The flags of the pipeline, one field a flag.

    Raises:
      InputError: a value is invalid; the message names the flag.
    """

    source: str = flag("flickr8k", help="layout of --input", group=_SOURCE, choices=SOURCES)
    input: str = flag(help="images and captions; see docs/data.md", group=_SOURCE, path=True)
    output: str = flag(
        help="directory of the dataset; an unfinished dataset continues", group=_OUTPUT, path=True
    )
    image_directory: str = flag(
        "",
        help="what image paths are relative to; default: --input",
        group=_SOURCE,
        path=True,
        of={"source": ("coco", "karpathy", "table")},
    )
    restval: str = flag(
        "train",
        help="what becomes of images whose split is called restval (Karpathy's splits)",
        group=_SOURCE,
        choices=RESTVAL,
    )
    tfds_name: str = flag("", help="TFDS data set, such as coco_captions", group=_COLUMNS)
    image_column: str = flag("image", help="paths, URIs or image bytes", group=_COLUMNS)
    caption_column: str = flag(
        "caption",
        help="a caption or a list of them (also of WebDataset's .json); several columns as "
        "caption_0,caption_1; a field of structs as sentences.raw",
        group=_COLUMNS,
    )
    split_column: str = flag("split", help="train, validation or test", group=_COLUMNS)
    id_column: str = flag("", help="unique names of images", group=_COLUMNS)
    columns: tuple[str, ...] = flag(
        (),
        help="names of the columns of a text table without a header, such as caption,image",
        group=_COLUMNS,
        parse=names,
        of={"source": ("table",)},
    )
    delimiter: str = flag(
        "",
        help="of a text table: one character or tab; default: by the suffix",
        group=_COLUMNS,
        parse=delimiter,
        of={"source": ("table",)},
    )
    quoting: str = flag(
        "",
        help="csv: quotes stand around cells, as in .csv; none: quotes are text, as in .tsv",
        group=_COLUMNS,
        choices=QUOTING,
        of={"source": ("table",)},
    )
    image_field: str = flag(
        "",
        help="suffix of the image in a sample, such as jpg",
        group=_SAMPLES,
        of={"source": ("webdataset",)},
    )
    caption_field: str = flag(
        "",
        help="suffix of the captions in a sample; default: txt, else json (webdataset), txt and "
        "caption (folder)",
        group=_SAMPLES,
        of={"source": ("webdataset", "folder")},
    )
    text_captions: str = flag(
        "lines",
        help="a text file holds a caption a line, or is one caption as a whole",
        group=_SAMPLES,
        choices=TEXT_CAPTIONS,
    )
    split_names: Mapping[str, str] | None = flag(
        None,
        help="splits of the source by other names, such as extra=train,unlabeled=leave_out",
        group=_SOURCE,
        parse=mapping,
    )
    split_fractions: tuple[float, ...] | None = flag(
        None,
        help="train,validation,test by a hash of the image id, in place of the source's splits; "
        "0.8,0.1,0.1 where it has none",
        group=_SOURCE,
        parse=fractions,
    )
    clean: str = flag("coco", help="how captions become words", group=_TEXT, choices=CLEAN)
    vocabulary: str = flag(
        "",
        help="file of one word a line, in place of counted words",
        group=_TEXT,
        path=True,
    )
    min_count: int = flag(5, help="words seen less often are <unk>", group=_TEXT, least=1)
    max_size: int = flag(0, help="keeps the most frequent words; 0: all", group=_TEXT, least=0)
    max_length: int = flag(50, help="words of a caption that become ids", group=_TEXT, least=1)
    max_unknown: float = flag(
        0.2,
        help="share of the training words that the vocabulary may lack; the job fails past it",
        group=_TEXT,
        least=0,
        most=1,
    )
    encoder: str = flag(
        "mobilenet_v2",
        help=f"the CNN: {', '.join(ENCODERS)}, or the path of a Keras model file",
        group=_ENCODER,
        path=True,
    )
    encoder_weights: str = flag(
        "imagenet",
        help="'imagenet' (downloaded), 'random', or a Keras weights file, with or without the top "
        "layers; tiny and a model file have their own",
        group=_ENCODER,
        path=True,
    )
    encoder_seed: int = flag(0, help="of random weights", group=_ENCODER, least=0, most=2**32 - 1)
    encoder_layer: str = flag(
        "",
        help="whose output the features are, such as block5_pool of vgg16",
        group=_ENCODER,
    )
    image_size: int = flag(
        0,
        help="side of the square that images are resized to, pixels; 0: that of the encoder",
        group=_IMAGES,
        least=0,
    )
    resize: str = flag(
        "stretch",
        help="stretch: to the square; pad: with black to it; crop: its middle",
        group=_IMAGES,
        choices=RESIZE,
    )
    allow_truncated: bool = flag(
        False,
        help="takes JPEGs that end early, grey from there on, rather than reject them",
        group=_IMAGES,
    )
    precision: str = flag(
        "float32",
        help="of the CNN; bfloat16 is faster where the processor has it",
        group=_ENCODER,
        choices=PRECISIONS,
    )
    features: str = flag(
        "grid",
        help="grid: one vector a region, for attention; pooled: one vector an image; image: the "
        "image as JPEG, to train the CNN too; none: text only, no image is read",
        group=_IMAGES,
        choices=FEATURES,
    )
    jpeg_quality: int = flag(95, help="of --features=image", group=_IMAGES, least=1, most=100)
    feature_dtype: str = flag(
        "float16", help="of stored features", group=_IMAGES, choices=FEATURE_DTYPES
    )
    images_per_shard: int = flag(512, help="on average", group=_OUTPUT, least=1)
    max_pixels: int = flag(MAX_PIXELS, help="a larger image is rejected", group=_IMAGES, least=1)
    max_rejected: float = flag(
        0.01,
        help="share of the images, and of the captions; the job fails past it",
        group=_OUTPUT,
        least=0,
        most=1,
    )
    retry_rejected: bool = flag(
        False,
        help="makes the shards again that hold rejected images, when the cause is gone",
        group=_OUTPUT,
    )
    worker_threads: int = flag(
        0,
        help="cores that a worker process uses; 0: those of this machine shared out",
        group=_WORKERS,
        least=0,
    )

    def __post_init__(self) -> None:
        """Checks all values."""
        for name, what in (("input", "images and captions"), ("output", "the dataset")):
            if not getattr(self, name):
                raise InputError(f"--{name} is empty, it must be the directory of {what}")
        check_flags(self)
        check_goes_with(self, {"source": self.source})
        if not self.encoder.endswith(MODEL_FILES) and self.encoder not in ENCODERS:
            raise InputError(
                f"--encoder={self.encoder!r} must be the path of a Keras model file (.keras), or "
                f"one of: {', '.join(ENCODERS)}"
            )
        self._check_split_names()
        self._check_table_flags()
        if (self.source == "tfds") != bool(self.tfds_name):
            raise InputError(
                f"--tfds_name={self.tfds_name!r} goes with --source=tfds, and only with it: it is "
                "the name of a prepared TFDS data set, such as coco_captions"
            )
        if self.vocabulary and self.max_size:
            raise InputError(
                f"--max_size={self.max_size} does not go with --vocabulary={self.vocabulary}, "
                "which is used as it is"
            )
        if self.split_fractions is not None:
            _check_fractions(self.split_fractions)

    def _check_split_names(self) -> None:
        given = {"restval": self.restval} if self.restval != "train" else {}
        given |= self.split_names or {}
        if not given:
            return
        flag = "--split_names" if self.split_names else f"--restval={self.restval}"
        if self.source == "flickr30k" or self.split_fractions is not None:
            other = (
                "--split_fractions" if self.split_fractions is not None else "--source=flickr30k"
            )
            raise InputError(f"{flag} is of a source's own splits and does not go with {other}")
        allowed = (*SPLITS, LEAVE_OUT)
        for name, split in given.items():
            if split not in allowed or not name:
                raise InputError(
                    f"--split_names={name}={split}: a name of the source must become one of: "
                    f"{', '.join(allowed)}"
                )

    def _check_table_flags(self) -> None:
        if self.delimiter and (len(self.delimiter) != 1 or self.delimiter in '"\r\n'):
            raise InputError(
                f"--delimiter={self.delimiter!r} must be one character, or the word tab"
            )
        if len(set(self.columns)) != len(self.columns) or not all(self.columns):
            raise InputError(
                f"--columns={','.join(self.columns)} must be names with commas, none of them twice"
            )

    def content(self) -> dict[str, Any]:
        """The fields that affect the contents of the dataset, as JSON values.

        A file has its SHA-256 too, not only its path.
        """
        fields = dataclasses.asdict(self)
        for name in ("output", "max_rejected", "max_unknown", "retry_rejected", "worker_threads"):
            del fields[name]
        fields["columns"] = list(self.columns)
        if self.split_fractions is not None:
            fields["split_fractions"] = list(self.split_fractions)
        for name in ("encoder", "encoder_weights", "vocabulary"):
            if os.path.isfile(fields[name]):
                with open(fields[name], "rb") as file:
                    fields[f"{name}_sha256"], _ = sha256_of(file)
        return fields


def _check_fractions(fractions: tuple[float, ...]) -> None:
    text = ",".join(map(str, fractions))
    if len(fractions) != 3 or min(fractions) < 0 or not abs(sum(fractions) - 1) <= 1e-6:
        raise InputError(
            f"--split_fractions={text} must be three numbers for train, validation and test "
            "that are not negative and add up to 1"
        )
    if fractions[0] == 0:
        raise InputError(f"--split_fractions={text} must give the train split more than 0")
