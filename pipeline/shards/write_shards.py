"""Writes one shard: read, decode, encode, serialize, and commit.

The shard is the unit of work, of retry and of resume. Its file is written under a temporary name
and renamed; then a receipt of its contents is written. A shard with a receipt of the same
fingerprint (configuration, vocabulary, encoder and list of images) is not written again. The
contents and the order of a shard depend on its list of images alone.

Two shards are in progress at once: while the end of one is written, hashed and committed, the cores
work on the next.
"""

import collections
import hashlib
import json
import os
import time
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from typing import Any, NamedTuple

import apache_beam as beam
import tensorflow as tf
from apache_beam.transforms.window import GlobalWindow
from apache_beam.utils.windowed_value import WindowedValue

from pipeline.accounting.receipts import Receipt, read_receipt, write_receipt
from pipeline.accounting.rejects import Reject
from pipeline.engines.worker_threads import core_count
from pipeline.shards.encode_images import Encoded, Features, encode_images, start_machine
from pipeline.text.join_captions import CaptionedImage
from pipeline.text.tokenize import tokenize
from tfrecords_schema import manifest, shards
from tfrecords_schema.atomic_file import complete_or_absent
from tfrecords_schema.features import Record, record_features
from tfrecords_schema.file_digest import sha256_of
from tfrecords_schema.serialize import serialize_record
from tfrecords_schema.vocabulary import UNK, Vocabulary, read_vocabulary

PICTURES = "pictures"  # the output of (digest of a file, (split, image id))
SHARDS_AT_ONCE = 2  # one is encoded while the one before is committed


class ShardJob(NamedTuple):
    """The settings that every worker needs."""

    directory: str  # directory of the dataset
    shard_counts: dict[str, int]  # split -> number of shards
    feature_shape: tuple[int, ...] | None  # None: a dataset of text, no image is read
    feature_dtype: str
    clean: str  # preset of pipeline.text.tokenize
    max_length: int  # words of a caption that become ids
    fingerprint: str  # of configuration, vocabulary and encoder
    worker_threads: int  # cores that a worker process uses; 0: all of its machine


Made = tuple[list[Reject], list[tuple[str, tuple[str, str]]]]  # rejects and pictures of a shard


class WriteShard(beam.DoFn):
    """((split, shard), images) -> Rejects of that shard; writes its file and receipt.

    An image is a CaptionedImage as a plain tuple; None is no image. The output PICTURES has the
    digest and the name of every picture in the shard.
    """

    def __init__(self, job: ShardJob):
        """Loads nothing before `setup`, so that the DoFn is small to serialize."""
        self._job = job

    def setup(self) -> None:
        """Loads the vocabulary, the features and the encoder of the dataset."""
        directory = self._job.directory
        self._vocabulary = read_vocabulary(os.path.join(directory, manifest.VOCABULARY_FILE))
        self._features = record_features(self._job.feature_shape, self._job.feature_dtype)
        if self._job.feature_shape is not None:
            path = os.path.join(directory, manifest.ENCODER_DIRECTORY)
            cores = self._job.worker_threads or core_count()
            self._machine = start_machine(path, cores, self._job.fingerprint)
        self._threads = ThreadPoolExecutor(SHARDS_AT_ONCE, "shard")

    def start_bundle(self) -> None:
        """Starts with an empty queue; shards left over from a failed bundle do no harm."""
        self._under_way: collections.deque[Future[Made]] = collections.deque()

    def process(
        self, element: tuple[tuple[str, int], Iterable[tuple[Any, ...] | None]]
    ) -> Iterator[Any]:
        """Starts the shard; yields the result of an earlier one."""
        self._under_way.append(self._threads.submit(self._make, *element[0], list(element[1])))
        if len(self._under_way) == SHARDS_AT_ONCE:
            rejects, pictures = self._under_way.popleft().result()
            yield from rejects
            for picture in pictures:
                yield beam.pvalue.TaggedOutput(PICTURES, picture)

    def finish_bundle(self) -> Iterator[Any]:
        """Waits for the shards in progress, since a finished bundle is committed."""
        window = GlobalWindow()

        def timed(value: Any) -> WindowedValue:
            return WindowedValue(value, window.max_timestamp(), (window,))

        while self._under_way:
            rejects, pictures = self._under_way.popleft().result()
            yield from map(timed, rejects)
            for picture in pictures:
                yield beam.pvalue.TaggedOutput(PICTURES, timed(picture))

    def teardown(self) -> None:
        """Ends the threads."""
        self._threads.shutdown()

    def _make(self, split: str, shard: int, rows: list[tuple[Any, ...] | None]) -> Made:
        """Writes the shard, unless it is complete already."""
        images = [CaptionedImage(*row) for row in rows if row is not None]
        # Sorting by a hash shuffles the images, which are in the order of the source.
        images.sort(key=lambda im: (shards.stable_hash(im.image_id), im.image_id))
        name = shards.shard_name(split, shard, self._job.shard_counts[split])
        fingerprint = _fingerprint(self._job, images)
        receipt = read_receipt(self._job.directory, name)
        if receipt is None or receipt.fingerprint != fingerprint:
            receipt = self._write(name, fingerprint, images)
            write_receipt(self._job.directory, receipt)
        rejects = [Reject(*fields) for fields in receipt.rejects]
        return rejects, [(digest, (split, image_id)) for digest, image_id in receipt.pictures]

    def _write(self, name: str, fingerprint: str, images: list[CaptionedImage]) -> Receipt:
        path = os.path.join(self._job.directory, name)
        rejects: list[Reject] = []
        seconds: collections.defaultdict[str, float] = collections.defaultdict(float)
        text: collections.Counter = collections.Counter()
        pictures: list[tuple[str, str]] = []
        written = captions = 0
        with complete_or_absent(path) as temporary:
            with (
                tf.io.TFRecordWriter(temporary) as writer,
                closing(self._encoded(images)) as batches,
            ):
                for batch in batches:
                    rejects.extend(batch.rejects)
                    names = [image.image_id for image, _ in batch.images]
                    pictures.extend(zip(batch.digests, names, strict=False))  # none for text
                    for stage, taken in batch.seconds.items():
                        seconds[stage] += taken
                    start = time.perf_counter()
                    for image, features in batch.images:
                        record, counts = to_record(
                            image, features, self._vocabulary, self._job.clean, self._job.max_length
                        )
                        writer.write(serialize_record(self._features, record))
                        text.update(counts)
                        written, captions = written + 1, captions + len(record.captions)
                    seconds["write"] += time.perf_counter() - start
            with tf.io.gfile.GFile(temporary, "rb") as file:
                digest, size = sha256_of(file)
        entry = dict(file=name, images=written, captions=captions, bytes=size, sha256=digest)
        rows = [list(row) for row in rejects]
        all_captions = sum(len(image.captions) for image in images)
        text["captions_of_rejected_images"] = all_captions - captions
        now = time.time()
        return Receipt(fingerprint, entry, dict(text), rows, dict(seconds), now, pictures)

    def _encoded(self, images: list[CaptionedImage]) -> Generator[Encoded, None, None]:
        if self._job.feature_shape is None:
            yield Encoded([(image, None) for image in images], [], {}, [])
        else:
            yield from encode_images(self._machine, images, self._job.feature_dtype)


def to_record(
    image: CaptionedImage,
    features: Features | None,
    vocabulary: Vocabulary,
    clean: str,
    max_length: int,
) -> tuple[Record, dict[str, int]]:
    """Makes the record of an image from its captions and features.

    Args:
      image: an image with at least one caption.
      features: features of the image, or the image itself; None in a dataset of text.
      vocabulary: the vocabulary of the ids.
      clean: preset that splits captions into words.
      max_length: words of a caption that become ids; the text is kept whole.

    Returns:
      The record, and counts of its text: `words`, `unknown_words` (of those that became ids),
      `truncated_captions`, and `known_captions`, those without an unknown word.
    """
    ids: list[list[int]] = []
    counts: collections.Counter = collections.Counter()
    for caption in image.captions:
        words = tokenize(caption, clean)
        ids.append(vocabulary.ids(words[:max_length]))
        unknown = ids[-1].count(UNK)
        counts["words"] += len(ids[-1]) - 2  # without <start> and <end>
        counts["unknown_words"] += unknown
        counts["truncated_captions"] += len(words) > max_length
        counts["known_captions"] += not unknown
    record = Record(
        image_id=image.image_id,
        image_uri=image.uri,
        image_features=None if isinstance(features, bytes) else features,
        image=features if isinstance(features, bytes) else None,
        captions=list(image.captions),
        caption_ids=ids,
    )
    return record, dict(counts)


def _fingerprint(job: ShardJob, images: list[CaptionedImage]) -> str:
    digest = hashlib.sha256(job.fingerprint.encode())
    for image in images:
        digest.update(json.dumps(image).encode("utf-8", "surrogateescape"))
    return digest.hexdigest()
