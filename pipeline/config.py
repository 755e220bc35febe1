"""What one run of the pipeline is asked to do."""

import dataclasses
import hashlib
import os
from collections.abc import Mapping
from typing import Any

from tfrecords_schema.characters import CHARACTERS
from tfrecords_schema.errors import InputError
from tfrecords_schema.feature_dtypes import FEATURE_DTYPES
from tfrecords_schema.shards import SPLITS

SOURCES = (
    "flickr8k", "flickr30k", "coco", "karpathy", "table", "webdataset", "folder", "tfds",
)  # fmt: skip
NETWORKS = (  # of keras.applications; see pipeline.encoder.networks
    "vgg16", "vgg19", "resnet50", "resnet101", "resnet152", "inception_v3", "mobilenet_v2",
    "mobilenet_v3_large", "efficientnet_v2_b0", "efficientnet_v2_s", "efficientnet_v2_m",
    "efficientnet_v2_l", "convnext_tiny", "convnext_small", "convnext_base", "convnext_large",
    "densenet121",
)  # fmt: skip
TINY = "tiny"  # a small fixed network, for drawn pictures
ENCODERS = (*NETWORKS, TINY)
MODEL_FILES = (".keras", ".h5")  # of a user's own encoder
FEATURES = ("grid", "pooled", "image", "none")
LEAVE_OUT = "leave_out"  # in place of a split: such images are counted apart and not written
RESTVAL = ("train", LEAVE_OUT)
CLEAN = ("none", "tutorial", "coco", CHARACTERS)
RESIZE = ("stretch", "pad", "crop")
PRECISIONS = ("float32", "bfloat16")
MAX_PIXELS = 50_000_000  # 150 MB decoded; the largest phone cameras have about this
QUOTING = ("", "csv", "none")
TEXT_CAPTIONS = ("lines", "whole")
SPLIT_FRACTIONS = (0.8, 0.1, 0.1)  # the 80-10-10 of the literature


@dataclasses.dataclass(frozen=True)
class PipelineConfig:
    """The flags of `python -m pipeline`, one field a flag.

    Raises:
      InputError: a value that cannot be used; the message names the flag.
    """

    source: str
    input: str
    output: str
    image_directory: str = ""
    restval: str = "train"
    tfds_name: str = ""
    image_column: str = "image"
    caption_column: str = "caption"
    split_column: str = "split"
    id_column: str = ""
    columns: tuple[str, ...] = ()
    delimiter: str = ""
    quoting: str = ""
    image_field: str = ""
    caption_field: str = ""
    text_captions: str = "lines"
    split_names: Mapping[str, str] | None = None
    split_fractions: tuple[float, ...] | None = None
    clean: str = "coco"
    vocabulary: str = ""
    min_count: int = 5
    max_size: int = 0
    max_length: int = 50
    max_unknown: float = 0.2
    encoder: str = "mobilenet_v2"
    encoder_weights: str = "imagenet"
    encoder_seed: int = 0
    encoder_layer: str = ""
    image_size: int = 0
    resize: str = "stretch"
    allow_truncated: bool = False
    precision: str = "float32"
    features: str = "grid"
    jpeg_quality: int = 95
    feature_dtype: str = "float16"
    images_per_shard: int = 512
    max_pixels: int = MAX_PIXELS
    max_rejected: float = 0.01
    retry_rejected: bool = False
    worker_threads: int = 0

    def __post_init__(self) -> None:
        """Refuses bad values."""
        _one_of("source", self.source, SOURCES)
        if not self.encoder.endswith(MODEL_FILES) and self.encoder not in ENCODERS:
            raise InputError(
                f"--encoder={self.encoder!r} must be the path of a Keras model file (.keras), or "
                f"one of: {', '.join(ENCODERS)}"
            )
        _one_of("resize", self.resize, RESIZE)
        _one_of("precision", self.precision, PRECISIONS)
        _one_of("features", self.features, FEATURES)
        _one_of("clean", self.clean, CLEAN)
        _one_of("restval", self.restval, RESTVAL)
        _one_of("quoting", self.quoting, QUOTING)
        _one_of("text_captions", self.text_captions, TEXT_CAPTIONS)
        _one_of("feature_dtype", self.feature_dtype, FEATURE_DTYPES)
        if not self.input:
            raise InputError("--input is missing: the directory of the images and captions")
        if not self.output:
            raise InputError("--output is missing: the directory to write the dataset to")
        self._check_split_names()
        self._check_table_flags()
        if (self.source == "tfds") != bool(self.tfds_name):
            raise InputError(
                f"--tfds_name={self.tfds_name!r} goes with --source=tfds, and only with it: it is "
                "the name of a prepared TFDS data set, such as coco_captions"
            )
        for name in ("min_count", "max_length", "images_per_shard", "max_pixels"):
            if getattr(self, name) < 1:
                raise InputError(f"--{name}={getattr(self, name)} must be at least 1")
        for name in ("image_size", "max_size", "worker_threads"):
            if getattr(self, name) < 0:
                raise InputError(f"--{name}={getattr(self, name)} must not be negative")
        if self.vocabulary and self.max_size:
            raise InputError(
                f"--max_size={self.max_size} does not go with --vocabulary={self.vocabulary}, "
                "which is used as it is"
            )
        if not 1 <= self.jpeg_quality <= 100:
            raise InputError(f"--jpeg_quality={self.jpeg_quality} must lie in 1 to 100")
        if not 0 <= self.encoder_seed < 2**32:
            raise InputError(f"--encoder_seed={self.encoder_seed} must lie in 0 to 2**32 - 1")
        if self.split_fractions is not None:
            _check_fractions(self.split_fractions)
        for name in ("max_rejected", "max_unknown"):
            if not 0 <= getattr(self, name) <= 1:
                raise InputError(f"--{name}={getattr(self, name)} must lie in 0 to 1")

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
        for name in ("columns", "delimiter", "quoting"):
            if getattr(self, name) and self.source != "table":
                raise InputError(f"--{name} goes with --source=table, not with {self.source}")
        if self.delimiter and (len(self.delimiter) != 1 or self.delimiter in '"\r\n'):
            raise InputError(
                f"--delimiter={self.delimiter!r} must be one character, or the word tab"
            )
        if len(set(self.columns)) != len(self.columns) or not all(self.columns):
            raise InputError(
                f"--columns={','.join(self.columns)} must be names with commas, none of them twice"
            )
        if self.image_field and self.source != "webdataset":
            raise InputError(f"--image_field goes with --source=webdataset, not {self.source}")
        if self.caption_field and self.source not in ("webdataset", "folder"):
            raise InputError(
                f"--caption_field goes with --source=webdataset or folder, not {self.source}"
            )

    def content(self) -> dict[str, Any]:
        """The fields that decide what is in the dataset, as JSON values.

        A file counts by what is in it, not only by its path.
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
                    fields[f"{name}_sha256"] = hashlib.file_digest(file, "sha256").hexdigest()
        return fields


def _one_of(flag: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise InputError(f"--{flag}={value!r} must be one of: {', '.join(allowed)}")


def _check_fractions(fractions: tuple[float, ...]) -> None:
    text = ",".join(map(str, fractions))
    if len(fractions) != 3 or min(fractions) < 0 or not abs(sum(fractions) - 1) <= 1e-6:
        raise InputError(
            f"--split_fractions={text} must be three numbers for train, validation and test "
            "that are not negative and add up to 1"
        )
    if fractions[0] == 0:
        raise InputError(f"--split_fractions={text} must give the train split more than 0")
