"""What one run of the pipeline is asked to do."""

import dataclasses
import hashlib
import os
from typing import Any

from pipeline.decode_image import MAX_PIXELS
from pipeline.image_encoder import FEATURES, NETWORKS
from tfrecords_schema.errors import InputError
from tfrecords_schema.features import FEATURE_DTYPES

SOURCES = ("flickr8k",)


@dataclasses.dataclass(frozen=True)
class PipelineConfig:
    """The flags of `python -m pipeline`, one field a flag.

    Raises:
      InputError: a value that cannot be used; the message names the flag.
    """

    source: str
    input: str
    output: str
    encoder: str = "mobilenet_v2"
    encoder_weights: str = "imagenet"
    encoder_seed: int = 0
    features: str = "grid"
    feature_dtype: str = "float16"
    min_count: int = 5
    split_fractions: tuple[float, float, float] = (0.8, 0.1, 0.1)
    images_per_shard: int = 512
    max_pixels: int = MAX_PIXELS
    max_rejected: float = 0.01

    def __post_init__(self) -> None:
        """Refuses bad values."""
        _one_of("source", self.source, SOURCES)
        _one_of("encoder", self.encoder, tuple(NETWORKS))
        _one_of("features", self.features, FEATURES)
        _one_of("feature_dtype", self.feature_dtype, FEATURE_DTYPES)
        if not self.input:
            raise InputError("--input is missing: the directory of the images and captions")
        if not self.output:
            raise InputError("--output is missing: the directory to write the dataset to")
        for name in ("min_count", "images_per_shard", "max_pixels"):
            if getattr(self, name) < 1:
                raise InputError(f"--{name}={getattr(self, name)} must be at least 1")
        if not 0 <= self.encoder_seed < 2**32:
            raise InputError(f"--encoder_seed={self.encoder_seed} must lie in 0 to 2**32 - 1")
        fractions = self.split_fractions
        text = ",".join(map(str, fractions))
        if len(fractions) != 3 or min(fractions) < 0 or not abs(sum(fractions) - 1) <= 1e-6:
            raise InputError(
                f"--split_fractions={text} must be three numbers for train, validation and test "
                "that are not negative and add up to 1"
            )
        if fractions[0] == 0:
            raise InputError(f"--split_fractions={text} must give the train split more than 0")
        if not 0 <= self.max_rejected <= 1:
            raise InputError(f"--max_rejected={self.max_rejected} must lie in 0 to 1")

    def content(self) -> dict[str, Any]:
        """The fields that decide what is in the dataset, as JSON values.

        A weights file counts by what is in it, not only by its path.
        """
        fields = dataclasses.asdict(self)
        del fields["output"], fields["max_rejected"]
        fields["split_fractions"] = list(self.split_fractions)
        if os.path.isfile(self.encoder_weights):
            with open(self.encoder_weights, "rb") as file:
                digest = hashlib.file_digest(file, "sha256")
            fields["encoder_weights_sha256"] = digest.hexdigest()
        return fields


def _one_of(flag: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise InputError(f"--{flag}={value!r} must be one of: {', '.join(allowed)}")
