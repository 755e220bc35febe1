"""The pipeline, on one page.

Two Beam jobs. The first reads only text: it counts images and words and writes the vocabulary, so
that whatever is wrong with the source is known before long work starts, and so that the second
knows how many shards there are. The second groups captioned images by shard and writes the
shards. Only names and captions are ever shuffled, never pixels or features.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import apache_beam as beam

from pipeline import sources
from pipeline.build_vocabulary import (
    CountTokens,
    WriteList,
    caption_lengths,
    write_json,
    write_vocabulary,
)
from pipeline.config import PipelineConfig
from pipeline.join_captions import CaptionedImage, image_split, join_image, mentions
from pipeline.rejects import REJECT_SCHEMA, Reject
from pipeline.splits import split_by_hash
from pipeline.write_shards import ShardJob, WriteShard
from tfrecords_schema.shards import shard_of


class SourceCollections(NamedTuple):
    """What the source holds."""

    read: beam.PCollection  # (split, images read), one an image
    images: beam.PCollection  # CaptionedImage
    rejects: beam.PCollection  # Reject


def count_source(
    pipeline: beam.Pipeline, config: PipelineConfig, source: sources.Flickr8k, paths: dict[str, str]
) -> None:
    """The first job.

    Args:
      pipeline: to build in.
      config: of the run.
      source: what to read.
      paths: of the file to write for each of `vocabulary`, `read`, `images` and `lengths`.
    """
    read, images, _ = read_source(pipeline, config, source)
    (
        images
        | "CountTokens" >> CountTokens()  # (token, count)
        | "Frequent" >> beam.Filter(lambda pair, least: pair[1] >= least, config.min_count)
        | "WriteVocabulary" >> WriteList(write_vocabulary, paths["vocabulary"])
    )
    (
        read
        | "SumRead" >> beam.CombinePerKey(sum)  # (split, images read)
        | "WriteRead" >> WriteList(write_json, paths["read"])
    )
    (
        images
        | "Split" >> beam.Map(lambda image: image.split)  # str
        | "CountImages" >> beam.combiners.Count.PerElement()  # (split, images)
        | "WriteImages" >> WriteList(write_json, paths["images"])
    )
    (
        images
        | "Lengths" >> beam.FlatMap(caption_lengths)  # (split, words)
        | "CountLengths" >> beam.combiners.Count.PerElement()  # ((split, words), captions)
        | "WriteLengths" >> WriteList(write_json, paths["lengths"])
    )


def write_dataset(
    pipeline: beam.Pipeline,
    config: PipelineConfig,
    source: sources.Flickr8k,
    job: ShardJob,
    rejects_prefix: str,
) -> None:
    """The second job: the shards, their receipts, and the table of rejects.

    Args:
      pipeline: to build in.
      config: of the run.
      source: what to read.
      job: where the shards go and what made them.
      rejects_prefix: path of the rejects table without its `.parquet`.
    """
    _, images, unusable = read_source(pipeline, config, source)
    unreadable = (
        images
        | "KeyByShard" >> beam.Map(_key_by_shard, job.shard_counts)  # ((split, shard), image)
        | "GroupByShard" >> beam.GroupByKey()  # ((split, shard), images)
        | "WriteShard" >> beam.ParDo(WriteShard(job))  # Reject
    )
    (
        (unusable, unreadable)
        | "AllRejects" >> beam.Flatten()  # Reject
        | "ToRow" >> beam.Map(lambda row: row._asdict())  # dict
        | "WriteRejects"
        >> beam.io.WriteToParquet(
            rejects_prefix,
            REJECT_SCHEMA,
            file_name_suffix=".parquet",
            num_shards=1,
            shard_name_template="",
        )
    )


def read_source(
    pipeline: beam.Pipeline, config: PipelineConfig, source: sources.Flickr8k
) -> SourceCollections:
    """Reads captions, splits and image names, and joins them by image."""
    captions = (
        pipeline
        | "CaptionFile" >> beam.Create([source.captions])  # path
        | "ReadCaptions" >> _separate(sources.read_captions)  # Caption; rejects
    )
    listed = (
        pipeline
        | "SplitFiles" >> beam.Create(list(source.splits.items()))  # (split, path)
        | "ReadSplits" >> beam.FlatMap(_read_split)  # (image_id, split)
    )
    paths = (
        pipeline
        | "ImageDirectory" >> beam.Create([source.images])  # path
        | "ListImages" >> beam.FlatMap(sources.list_images)  # (image_id, path)
    )
    grouped = (
        {
            "captions": captions.main
            | "KeyByImage" >> beam.Map(lambda caption: (caption.image_id, caption)),
            "splits": listed,
            "paths": paths,
        }
        | "GroupByImage" >> beam.CoGroupByKey()  # (image_id, {captions, splits, paths})
        | "SplitByHash" >> beam.Map(_with_split, config, source)  # the same
    )
    joined = grouped | "JoinImage" >> _separate(_join, source)  # CaptionedImage; rejects
    rejects = (captions.rejects, joined.rejects) | "SourceRejects" >> beam.Flatten()
    read = grouped | "Mentions" >> beam.Map(_mentions)
    return SourceCollections(read, joined.main, rejects)


def _separate(function: Callable[..., Iterable[Any]], *args: Any) -> beam.PTransform:
    """FlatMap whose Rejects come out under `rejects`, everything else under `main`."""

    def tagged(element: Any, *args: Any) -> Iterator[Any]:
        for output in function(element, *args):
            is_reject = isinstance(output, Reject)
            yield beam.pvalue.TaggedOutput("rejects", output) if is_reject else output

    return beam.FlatMap(tagged, *args).with_outputs("rejects", main="main")


def _read_split(element: tuple[str, str]) -> Iterator[tuple[str, str]]:
    split, path = element
    for name in sources.read_image_names(path):
        yield name, split


def _with_split(
    element: tuple[str, dict], config: PipelineConfig, source: sources.Flickr8k
) -> tuple[str, dict]:
    image_id, lists = element
    if source.splits:
        return element
    return image_id, {**lists, "splits": [split_by_hash(image_id, config.split_fractions)]}


def _join(element: tuple[str, dict], source: sources.Flickr8k) -> Iterator[CaptionedImage | Reject]:
    image_id, lists = element
    yield from join_image(image_id, lists["paths"], lists["splits"], lists["captions"], source)


def _mentions(element: tuple[str, dict]) -> tuple[str, int]:
    splits = element[1]["splits"]
    return image_split(splits), mentions(splits)


def _key_by_shard(
    image: CaptionedImage, shard_counts: dict[str, int]
) -> tuple[tuple[str, int], CaptionedImage]:
    return (image.split, shard_of(image.image_id, shard_counts[image.split])), image
