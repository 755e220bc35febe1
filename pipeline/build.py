"""The pipeline, on one page.

Two Beam jobs. The first reads only text: it joins what the source says by image, counts images and
words, and writes the vocabulary and the joined captions, so that whatever is wrong with the source
is known before long work starts, and so that the second knows how many shards there are. The second
groups captioned images by shard and writes the shards. Only names and captions are ever shuffled,
never pixels or features, and as plain tuples, for which Beam has the quickest coder.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import apache_beam as beam

from pipeline.accounting.rejects import CAPTION, SOURCE, UNASSIGNED, Reject, reject, write_rejects
from pipeline.accounting.same_pictures import find_same_pictures, write_same_pictures
from pipeline.config import PipelineConfig
from pipeline.shards.write_shards import PICTURES, ShardJob, WriteShard
from pipeline.sources.files import same_path
from pipeline.sources.mentions import Mention, Source
from pipeline.text import build_vocabulary as counting
from pipeline.text.build_vocabulary import (
    ChooseWords,
    CountText,
    WriteOneFile,
    write_json,
    write_vocabulary,
)
from pipeline.text.join_captions import (
    CaptionedImage,
    JoinRules,
    has_integer_id,
    image_files,
    image_name,
    image_split,
    join_image,
    times_read,
)
from pipeline.text.joined_captions import WriteJoined, read_joined
from pipeline.text.tokenize import unwrap
from tfrecords_schema.errors import InputError
from tfrecords_schema.shards import shard_of
from tfrecords_schema.source_ids import number_of


class SourceCollections(NamedTuple):
    """What the source holds."""

    images: beam.PCollection  # CaptionedImage
    rejects: beam.PCollection  # Reject
    counts: beam.PCollection  # ((what, split, ""), n), to be added up


def read_captions(
    pipeline: beam.Pipeline,
    config: PipelineConfig,
    source: Source,
    rules: JoinRules,
    paths: dict[str, str],
    known: frozenset[str] = frozenset(),
) -> None:
    """The first job.

    Args:
      pipeline: to build in.
      config: of the run.
      source: what to read.
      rules: of joining.
      paths: of the file to write for each of `counts`, `rejects`, `joined_files` and `collision`,
        for `vocabulary` where it is to be counted, and of the directory `joined`.
      known: the words of the vocabulary where it is given.
    """
    images, rejects, joining = read_source(pipeline, source, rules, paths["collision"])
    counts = images | CountText(config.clean, "vocabulary" in paths, known)  # Counted
    all_counts = [
        counts | "NoWords" >> beam.Filter(lambda item: item[0][0] != counting.WORD),
        joining | "SumJoining" >> beam.CombinePerKey(sum),
    ]
    if "vocabulary" in paths:
        words = counts | "ChooseWords" >> ChooseWords(config.min_count, config.max_size)
        words | "WriteVocabulary" >> WriteOneFile(write_vocabulary, paths["vocabulary"])
        all_counts.append(
            words  # (word, count)
            | "KnownWords" >> beam.MapTuple(lambda _, n: ((counting.KNOWN, counting.TRAIN, ""), n))
            | "SumKnownWords" >> beam.CombinePerKey(sum)
        )
    (
        all_counts
        | "AllCounts" >> beam.Flatten()  # ((what, split, value), n)
        | "Row" >> beam.MapTuple(lambda key, n: (*key, n))
        | "WriteCounts" >> WriteOneFile(write_json, paths["counts"])
    )
    rejects | "WriteRejects" >> WriteOneFile(write_rejects, paths["rejects"])
    (
        images
        | "WriteJoined" >> beam.ParDo(WriteJoined(paths["joined"]))  # file name
        | "WriteNames" >> WriteOneFile(write_json, paths["joined_files"])
    )


def write_shards(
    pipeline: beam.Pipeline,
    joined: Sequence[str],
    job: ShardJob,
    rejects_path: str,
    same_pictures_path: str,
) -> None:
    """The second job: the shards, their receipts, and what of their images was rejected.

    Args:
      pipeline: to build in.
      joined: paths of the files that the first job has written.
      job: where the shards go and what made them.
      rejects_path: of the table of these rejects.
      same_pictures_path: of the pictures that are in more than one split.
    """
    images = (
        pipeline
        | "JoinedFiles" >> beam.Create(list(joined))  # it spreads them over the workers
        | "ReadJoined" >> beam.FlatMap(read_joined)  # CaptionedImage
    )
    shards = (
        pipeline
        | "Splits" >> beam.Create(list(job.shard_counts.items()), reshuffle=False)
        # Every shard is named, so that one which no image falls into is written too.
        | "NameShards" >> beam.FlatMap(_name_shards)  # ((split, shard), None)
    )
    by_shard = images | "KeyByShard" >> beam.Map(_key_by_shard, job.shard_counts)
    made = (
        (shards, by_shard)
        | "ShardsAndImages" >> beam.Flatten()  # ((split, shard), image as a tuple, or None)
        | "GroupByShard" >> beam.GroupByKey()  # ((split, shard), images)
        | "WriteShard" >> beam.ParDo(WriteShard(job)).with_outputs(PICTURES, main="rejects")
    )
    made.rejects | "WriteRejects" >> WriteOneFile(write_rejects, rejects_path)
    (
        made[PICTURES]  # (digest, (split, image id))
        | "GroupByPicture" >> beam.GroupByKey()
        | "SamePictures" >> beam.FlatMap(find_same_pictures)  # [(split, image id), ...]
        | "WriteSamePictures" >> WriteOneFile(write_same_pictures, same_pictures_path)
    )


def read_source(
    pipeline: beam.Pipeline, source: Source, rules: JoinRules, collision_path: str
) -> SourceCollections:
    """Reads the parts of a source and joins what they say by image.

    Args:
      pipeline: to build in.
      source: what to read.
      rules: of joining.
      collision_path: of the file to write a name to that several images have, if any has.
    """
    mentions = (
        pipeline
        | "Parts" >> beam.Create(source.parts)  # it spreads them over the workers
        | "ReadPart"
        >> beam.FlatMap(_read_part, source).with_outputs("rejects", "counts", main="mentions")
    )
    said = mentions.mentions  # (key, the rest of the mention as a tuple)
    if source.keys_are_references:
        said = (
            said
            | "GroupByReference" >> beam.GroupByKey()
            | "KeyByPath" >> beam.FlatMap(_key_by_path)
        )
    grouped = said | "GroupByImage" >> beam.GroupByKey()
    collision = []
    if source.names_may_collide:
        shared = (
            grouped
            | "Names" >> beam.MapTuple(lambda key, rest: (_name(key, rest), 1))
            | "CountNames" >> beam.CombinePerKey(sum)
            | "SharedNames" >> beam.Filter(lambda item: item[1] > 1)
            | "OneOfThem" >> beam.combiners.Top.Of(1, key=lambda item: item[0], reverse=True)
            | "SharedName" >> beam.FlatMap(lambda found: [name for name, _ in found])
        )
        shared | "WriteCollision" >> WriteOneFile(write_json, collision_path)
        collision = [beam.pvalue.AsIter(shared)]
    joined = grouped | "JoinImage" >> beam.FlatMap(_join, rules, *collision).with_outputs(
        "rejects", "counts", main="images"
    )
    rejects = (mentions.rejects, joined.rejects) | "SourceRejects" >> beam.Flatten()
    counts = (mentions.counts, joined.counts) | "SourceCounts" >> beam.Flatten()
    return SourceCollections(joined.images, rejects, counts)


def _read_part(part: Any, source: Source) -> Iterator[Any]:
    captions = 0
    try:
        for found in source.read(part):
            if isinstance(found, Reject):
                captions += found.stage == CAPTION
                yield beam.pvalue.TaggedOutput("rejects", found)
            else:
                captions += bool(found.text)
                yield found.key, _said(found)
    except (InputError, OSError) as error:
        # What the part still holds is not known: run.py fails the job with this row.
        row = reject(repr(part), source.captions, UNASSIGNED, SOURCE, error)
        yield beam.pvalue.TaggedOutput("rejects", row)
    yield _counted(counting.CAPTIONS, "", captions)


def _said(mention: Mention) -> tuple[Any, ...]:
    """A mention without its key, and without the fields at its end that say nothing."""
    end = len(mention)
    while end > 1 and not mention[end - 1]:
        end -= 1
    return tuple(mention[1:end])


def _name(key: str, rest: Iterable[Any]) -> str:
    return image_name(key, [Mention(key, *fields) for fields in rest], False)


def _key_by_path(element: tuple[str, Iterable[Any]]) -> Iterator[tuple[str, Any]]:
    """What is said of an image by its file's number, by the path of the image instead."""
    key, rest = element
    mentions = [Mention(key, *fields) for fields in rest]
    files = image_files(mentions)
    # One number of two images is left as it is, for the join to refuse.
    path = f"file {same_path(files[0].uri)}" if len(files) == 1 else f"number {key}"
    for mention in mentions:
        yield path, _said(mention)


def _join(
    element: tuple[str, Iterable[Any]], rules: JoinRules, collision: Iterable[str] = ()
) -> Iterator[Any]:
    key, rest = element
    mentions = [Mention(key, *fields) for fields in rest]
    image_id = image_name(key, mentions, any(True for _ in collision))
    split = image_split(image_id, mentions, rules)
    lost = sum(bool(mention.text) for mention in mentions)
    unwrapped = sum(unwrap(mention.text) is not None for mention in mentions if mention.text)
    for output in join_image(image_id, mentions, rules):
        if isinstance(output, Reject):
            lost -= output.stage == CAPTION
            yield beam.pvalue.TaggedOutput("rejects", output)
        else:
            lost -= len(output.captions)
            yield output
            if has_integer_id(mentions):
                yield _counted(counting.INTEGER_IDS, split, 1)
            elif number_of(image_id) is not None:
                yield _counted(counting.NUMBERED_IDS, split, 1)
    yield _counted(counting.READ, split, times_read(mentions, rules, split))
    for name in {mention.split for mention in mentions} - {""}:
        yield _counted(counting.NAMED, name, 1)
    for what, n in ((counting.LOST, lost), (counting.UNWRAPPED, unwrapped)):
        if n:
            yield _counted(what, split, n)


def _counted(what: str, split: str, n: int) -> beam.pvalue.TaggedOutput:
    return beam.pvalue.TaggedOutput("counts", ((what, split, ""), n))


def _name_shards(element: tuple[str, int]) -> Iterator[tuple[tuple[str, int], None]]:
    split, count = element
    for shard in range(count):
        yield (split, shard), None


def _key_by_shard(
    image: CaptionedImage, shard_counts: dict[str, int]
) -> tuple[tuple[str, int], tuple]:
    return (image.split, shard_of(image.image_id, shard_counts[image.split])), tuple(image)
