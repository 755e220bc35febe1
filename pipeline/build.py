"""The pipeline, on one page.

Two Beam jobs. The first reads only text: it counts images and words and writes the vocabulary, so
that whatever is wrong with the source is known before long work starts, and so that the second
knows how many shards there are. The second groups captioned images by shard and writes the
shards. Only names and captions are ever shuffled, never pixels or features, and as plain tuples,
for which Beam has the quickest coder.
"""

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import apache_beam as beam

from pipeline.build_vocabulary import (
    IMAGES,
    LENGTH,
    ChooseWords,
    CountText,
    WriteOneFile,
    write_json,
    write_vocabulary,
)
from pipeline.config import PipelineConfig
from pipeline.join_captions import CaptionedImage, JoinRules, image_split, join_image, times_read
from pipeline.rejects import SOURCE, UNASSIGNED, Reject, reject, write_rejects
from pipeline.sources.mentions import Mention, Source
from pipeline.write_shards import ShardJob, WriteShard
from tfrecords_schema.errors import InputError
from tfrecords_schema.shards import shard_of


class SourceCollections(NamedTuple):
    """What the source holds."""

    read: beam.PCollection  # (split, images read), one an image
    images: beam.PCollection  # CaptionedImage
    rejects: beam.PCollection  # Reject


def count_source(
    pipeline: beam.Pipeline,
    config: PipelineConfig,
    source: Source,
    rules: JoinRules,
    paths: dict[str, str],
) -> None:
    """The first job.

    Args:
      pipeline: to build in.
      config: of the run.
      source: what to read.
      rules: of joining.
      paths: of the file to write for each of `read`, `images`, `lengths` and `unreadable`, and
        for `vocabulary` where it is to be counted.
    """
    read, images, rejects = read_source(pipeline, source, rules)
    counts = images | CountText(config.clean, "vocabulary" in paths)  # ((what, split, value), n)
    if "vocabulary" in paths:
        (
            counts
            | "ChooseWords" >> ChooseWords(config.min_count, config.max_size)  # (word, count)
            | "WriteVocabulary" >> WriteOneFile(write_vocabulary, paths["vocabulary"])
        )
    (
        counts
        | "OfImages" >> beam.Filter(lambda item: item[0][0] == IMAGES)
        | "Images" >> beam.MapTuple(lambda key, n: (key[1], n))  # (split, images)
        | "WriteImages" >> WriteOneFile(write_json, paths["images"])
    )
    (
        counts
        | "OfLengths" >> beam.Filter(lambda item: item[0][0] == LENGTH)
        | "Lengths" >> beam.MapTuple(lambda key, n: (*key[1:], n))  # (split, words, captions)
        | "WriteLengths" >> WriteOneFile(write_json, paths["lengths"])
    )
    (
        read
        | "SumRead" >> beam.CombinePerKey(sum)  # (split, images read)
        | "WriteRead" >> WriteOneFile(write_json, paths["read"])
    )
    (
        rejects
        | "OfSource" >> beam.Filter(lambda row: row.stage == SOURCE)  # Reject, one a file
        | "WriteUnreadable" >> WriteOneFile(write_json, paths["unreadable"])
    )


def write_dataset(
    pipeline: beam.Pipeline, source: Source, rules: JoinRules, job: ShardJob, rejects_path: str
) -> None:
    """The second job: the shards, their receipts, and the table of rejects.

    Args:
      pipeline: to build in.
      source: what to read.
      rules: of joining.
      job: where the shards go and what made them.
      rejects_path: of the rejects table.
    """
    _, images, unusable = read_source(pipeline, source, rules)
    shards = (
        pipeline
        | "Splits" >> beam.Create(list(job.shard_counts.items()), reshuffle=False)
        # Every shard is named, so that one which no image falls into is written too.
        | "NameShards" >> beam.FlatMap(_name_shards)  # ((split, shard), None)
    )
    by_shard = images | "KeyByShard" >> beam.Map(_key_by_shard, job.shard_counts)
    unreadable = (
        (shards, by_shard)
        | "ShardsAndImages" >> beam.Flatten()  # ((split, shard), image as a tuple, or None)
        | "GroupByShard" >> beam.GroupByKey()  # ((split, shard), images)
        | "WriteShard" >> beam.ParDo(WriteShard(job))  # Reject
    )
    rejects = (unusable, unreadable) | "AllRejects" >> beam.Flatten()
    rejects | "WriteRejects" >> WriteOneFile(write_rejects, rejects_path)


def read_source(pipeline: beam.Pipeline, source: Source, rules: JoinRules) -> SourceCollections:
    """Reads the parts of a source and joins what they say by image."""
    mentions = (
        pipeline
        | "Parts" >> beam.Create(source.parts)  # it spreads them over the workers
        | "ReadPart" >> beam.FlatMap(_read_part, source).with_outputs("rejects", main="mentions")
    )
    joined = (
        mentions.mentions  # (image_id, the rest of the mention as a tuple)
        | "GroupByImage" >> beam.GroupByKey()
        | "JoinImage" >> beam.FlatMap(_join, rules).with_outputs("read", "rejects", main="images")
    )
    rejects = (mentions.rejects, joined.rejects) | "SourceRejects" >> beam.Flatten()
    return SourceCollections(joined.read, joined.images, rejects)


def _read_part(part: Any, source: Source) -> Iterator[Any]:
    try:
        for found in source.read(part):
            if isinstance(found, Reject):
                yield beam.pvalue.TaggedOutput("rejects", found)
            else:
                yield found.image_id, tuple(found[1:])
    except (InputError, OSError) as error:
        # What the part still holds is not known: run.py fails the job with this row.
        row = reject(repr(part), source.captions, UNASSIGNED, SOURCE, error)
        yield beam.pvalue.TaggedOutput("rejects", row)


def _join(element: tuple[str, Iterable[Any]], rules: JoinRules) -> Iterator[Any]:
    image_id, rest = element
    mentions = [Mention(image_id, *fields) for fields in rest]
    split = image_split(image_id, mentions, rules)
    yield beam.pvalue.TaggedOutput("read", (split, times_read(mentions, split)))
    for output in join_image(image_id, mentions, rules):
        is_reject = isinstance(output, Reject)
        yield beam.pvalue.TaggedOutput("rejects", output) if is_reject else output


def _name_shards(element: tuple[str, int]) -> Iterator[tuple[tuple[str, int], None]]:
    split, count = element
    for shard in range(count):
        yield (split, shard), None


def _key_by_shard(
    image: CaptionedImage, shard_counts: dict[str, int]
) -> tuple[tuple[str, int], tuple]:
    return (image.split, shard_of(image.image_id, shard_counts[image.split])), tuple(image)
