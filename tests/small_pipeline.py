"""The pipeline on pictures that tests draw."""

from small_configs import pipeline_config

from pipeline.command import beam_options
from pipeline.run import run_pipeline


def run(pictures, directory, *beam_flags, **changes):
    """Writes the dataset of small pictures; gives its manifest."""
    config = pipeline_config(str(pictures), str(directory), **changes)
    return run_pipeline(config, beam_options(list(beam_flags)))
