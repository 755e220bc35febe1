"""Finds the source that the flags name."""

import os

from pipeline.config import PipelineConfig
from pipeline.output_directory import STAGED_DIRECTORY
from pipeline.sources.coco import find_coco
from pipeline.sources.flickr8k import find_flickr8k
from pipeline.sources.flickr30k import find_flickr30k
from pipeline.sources.folder import find_folder
from pipeline.sources.karpathy import find_karpathy
from pipeline.sources.mentions import Source
from pipeline.sources.split_names import make_split_names
from pipeline.sources.table import find_table
from pipeline.sources.table_rows import Columns, TextFormat
from pipeline.sources.tfds_dataset import find_tfds
from pipeline.sources.webdataset import choose_fields, find_webdataset


def find_source(config: PipelineConfig) -> Source:
    """Finds the data set at `--input`, and makes all quick checks.

    Raises:
      InputError: it is missing, or not in the layout of `--source`.
    """
    columns = Columns(
        config.image_column, config.caption_column, config.split_column, config.id_column
    )
    needs_images = config.features != "none"
    staging = os.path.join(config.output, STAGED_DIRECTORY) if needs_images else ""
    if config.split_fractions is not None:
        split_names: dict[str, str] = {}  # the source's own splits are ignored
    else:
        split_names = make_split_names(config.restval, config.split_names)
    match config.source:
        case "flickr8k":
            return find_flickr8k(config.input, split_names, needs_images)
        case "flickr30k":
            return find_flickr30k(config.input, needs_images)
        case "coco":
            return find_coco(config.input, config.image_directory, split_names, needs_images)
        case "karpathy":
            return find_karpathy(config.input, config.image_directory, split_names, needs_images)
        case "table":
            text = TextFormat(config.delimiter, config.quoting, config.columns)
            return find_table(
                config.input, config.image_directory, columns, text, staging, split_names
            )
        case "webdataset":
            fields = choose_fields(
                config.image_field,
                config.caption_field,
                config.caption_column,
                config.text_captions,
            )
            return find_webdataset(config.input, fields, split_names)
        case "folder":
            return find_folder(
                config.input, config.caption_field, config.text_captions, split_names
            )
        case "tfds":
            return find_tfds(config.tfds_name, config.input, columns, staging, split_names)
    raise ValueError(f"no source is named {config.source!r}")  # PipelineConfig checks the name
