"""The two Beam jobs of the pipeline, on one page.

The first job reads only text. It joins the mentions of the source by image, counts images and
words, and writes the vocabulary and the joined captions. So faults of the source are known before
long work starts, and the second job knows the number of shards. The second job groups captioned
images by shard and writes the shards. Only names and captions are shuffled, never pixels or
features, as plain tuples, for which Beam has the fastest coder.
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
    """The images, rejects and counts of the source."""

    images: beam.PCollection  # CaptionedImage
    rejects: beam.PCollection  # Reject
    counts: beam.PCollection  # ((what, split, ""), n), to be summed


def read_captions(
    pipeline: beam.Pipeline,
    config: PipelineConfig,
    source: Source,
    rules: JoinRules,
    paths: dict[str, str],
    known: frozenset[str] = frozenset(),
) -> None:
    """Builds the first job.

    Args:
      pipeline: the pipeline to add to.
      config: the configuration of the run.
      source: the source to read.
      rules: the rules for joining mentions.
      paths: paths of the files to write: `counts`, `rejects`, `joined_files`, `collision`, and
        `vocabulary` if it is to be counted; and of the directory `joined`.
      known: the words of the vocabulary if it is given.
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
    """Builds the second job: it writes the shards, their receipts, and the rejects among them.

    Args:
      pipeline: the pipeline to add to.
      joined: paths of the files from the first job.
      job: the settings of the shards.
      rejects_path: path of the table of these rejects.
      same_pictures_path: path of the list of pictures that are in more than one split.
    """
    images = (
        pipeline
        | "JoinedFiles" >> beam.Create(list(joined))  # distributes them to the workers
        | "ReadJoined" >> beam.FlatMap(read_joined)  # CaptionedImage
    )
    shards = (
        pipeline
        | "Splits" >> beam.Create(list(job.shard_counts.items()), reshuffle=False)
        # Every shard is named, so that one without images is written too.
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
    """Reads the parts of a source and joins their mentions by image.

    Args:
      pipeline: the pipeline to add to.
      source: the source to read.
      rules: the rules for joining mentions.
      collision_path: path of the file with a name that several images share, if there is one.
    """
    mentions = (
        pipeline
        | "Parts" >> beam.Create(source.parts)  # distributes them to the workers
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
        # The rest of the part is unknown: run.py fails the job because of this row.
        row = reject(repr(part), source.captions, UNASSIGNED, SOURCE, error)
        yield beam.pvalue.TaggedOutput("rejects", row)
    yield _counted(counting.CAPTIONS, "", captions)


def _said(mention: Mention) -> tuple[Any, ...]:
    """A mention without its key, and without empty fields at its end."""
    end = len(mention)
    while end > 1 and not mention[end - 1]:
        end -= 1
    return tuple(mention[1:end])


def _name(key: str, rest: Iterable[Any]) -> str:
    return image_name(key, [Mention(key, *fields) for fields in rest], False)


def _key_by_path(element: tuple[str, Iterable[Any]]) -> Iterator[tuple[str, Any]]:
    """Replaces the number that an image has in its file by the path of the image, as the key."""
    key, rest = element
    mentions = [Mention(key, *fields) for fields in rest]
    files = image_files(mentions)
    # A number with several images keeps its key, so that the join rejects it.
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
