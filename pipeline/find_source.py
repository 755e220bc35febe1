"""From flags to the source that they name."""

import os

from pipeline.config import PipelineConfig
from pipeline.output_directory import STAGED_DIRECTORY
from pipeline.sources.coco import find_coco
from pipeline.sources.flickr8k import find_flickr8k
from pipeline.sources.flickr30k import find_flickr30k
from pipeline.sources.karpathy import find_karpathy
from pipeline.sources.mentions import Source
from pipeline.sources.table import Columns, find_table
from pipeline.sources.tfds_dataset import find_tfds
from pipeline.sources.webdataset import find_webdataset


def find_source(config: PipelineConfig) -> Source:
    """Finds the data set at `--input` and checks what can be checked at once.

    Raises:
      InputError: it is not there or not in the layout of `--source`.
    """
    columns = Columns(
        config.image_column, config.caption_column, config.split_column, config.id_column
    )
    needs_images = config.features != "none"
    staging = os.path.join(config.output, STAGED_DIRECTORY) if needs_images else ""
    match config.source:
        case "flickr8k":
            return find_flickr8k(config.input)
        case "flickr30k":
            return find_flickr30k(config.input)
        case "coco":
            return find_coco(config.input, config.image_directory)
        case "karpathy":
            return find_karpathy(config.input, config.image_directory, config.restval)
        case "table":
            return find_table(config.input, config.image_directory, columns, staging)
        case "webdataset":
            return find_webdataset(config.input, config.caption_column)
        case "tfds":
            return find_tfds(config.tfds_name, config.input, columns, staging)
    raise ValueError(f"no source is named {config.source!r}")  # the configuration refuses it
