"""The pipeline on pictures that tests draw."""

import contextlib
import dataclasses
import functools
import os
import shutil
from unittest.mock import patch

from small_configs import pipeline_config

from pipeline.encoder.image_encoder import describe, write_image_encoder
from pipeline.run import write_dataset
from pipeline.shards.encode_images import start_machine


def run(pictures, directory, *beam_flags, **changes):
    """Writes the dataset of small pictures; gives its manifest."""
    config = pipeline_config(str(pictures), str(directory), **changes)
    return write_dataset(config, list(beam_flags)).manifest


@contextlib.contextmanager
def encoders_made_once(directory):
    """Within it each encoder is written and loaded once, and copied for the datasets after.

    Most of the time of a small pipeline goes there. What it writes is the same.
    """
    paths = {}  # of a dataset's encoder, to the one that is copied

    def write(model, config):
        copied = os.path.join(directory, describe(model, config.content()).sha256)
        if not os.path.exists(copied):
            write_image_encoder(model, dataclasses.replace(config, output=copied))
        shutil.copytree(copied, config.output, dirs_exist_ok=True)
        paths[os.path.join(config.output, "image_encoder")] = copied
        return write_image_encoder(model, config)  # which finds its receipt

    @functools.cache
    def machine(copied, cores):
        return start_machine(os.path.join(copied, "image_encoder"), cores, "")

    with (
        patch("pipeline.run.write_image_encoder", write),
        patch(
            "pipeline.shards.write_shards.start_machine",
            lambda path, cores, _: machine(paths[path], cores),
        ),
    ):
        yield
