"""From a configuration to a complete dataset: checks, two Beam jobs, the books, the manifest."""

import collections
import hashlib
import importlib.metadata
import json
import os
import sys
import time
from typing import Any

import apache_beam as beam
import tensorflow as tf
from apache_beam.options.pipeline_options import PipelineOptions

from pipeline import build, sources
from pipeline.books import balance_books, check_rejected, count_rejects
from pipeline.config import PipelineConfig
from pipeline.image_encoder import build_model, describe, write_image_encoder
from pipeline.output_directory import check_output, claim_output, refuse_leftovers
from pipeline.progress import show_progress
from pipeline.rejects import CAPTION
from pipeline.write_shards import RECEIPT_DIRECTORY, Receipt, ShardJob, read_receipt
from tfrecords_schema import manifest as schema
from tfrecords_schema.atomic_file import complete_or_absent, read_text, write_text
from tfrecords_schema.errors import InputError
from tfrecords_schema.shards import SPLITS, shard_name
from tfrecords_schema.tfds_metadata import write_tfds_metadata
from tfrecords_schema.vocabulary import RESERVED, read_vocabulary

REPORT_FILE = "report.json"
REJECTS = "rejected"  # .parquet


def run_pipeline(config: PipelineConfig, options: PipelineOptions) -> schema.Manifest:
    """Writes the dataset, or what is missing of it.

    Returns:
      The manifest of the complete dataset.

    Raises:
      InputError: the source cannot be used, the output holds another dataset, or more images
        than `max_rejected` were rejected.
    """
    started = time.time()
    source = sources.find_flickr8k(config.input)
    check_output(config)
    if tf.io.gfile.exists(os.path.join(config.output, schema.MANIFEST_FILE)):
        print(f"{config.output} is already complete; nothing to do.")
        return schema.read_manifest(config.output)
    print(f"Preparing the image encoder {config.encoder}")
    model = build_model(
        config.encoder, config.features, config.encoder_weights, config.encoder_seed
    )
    claim_output(config)
    if not tf.io.gfile.exists(os.path.join(config.output, schema.ENCODER_DIRECTORY)):
        write_image_encoder(config.output, model, config.max_pixels)
    encoder = describe(model, config.encoder)

    print(f"Reading captions from {source.captions}")
    paths = {
        name: os.path.join(config.output, RECEIPT_DIRECTORY, f"{name}.json")
        for name in ("read", "images", "lengths")
    } | {"vocabulary": os.path.join(config.output, schema.VOCABULARY_FILE)}
    with beam.Pipeline(options=options) as pipeline:
        build.count_source(pipeline, config, source, paths)
    read, images = (dict(json.loads(read_text(paths[name]))) for name in ("read", "images"))
    lengths = json.loads(read_text(paths["lengths"]))
    check_counts(images, source)
    counted = time.time()

    vocabulary = read_vocabulary(paths["vocabulary"])
    fingerprint = json.dumps([config.content(), vocabulary.sha256(), encoder.sha256])
    shard_counts = {split: -(-n // config.images_per_shard) for split, n in images.items()}
    refuse_leftovers(config.output, shard_counts)
    job = ShardJob(
        config.output, shard_counts, encoder.feature_shape, config.feature_dtype, fingerprint
    )
    rejects_prefix = os.path.join(config.output, REJECTS)
    with (
        show_progress(config.output, images, shard_counts),
        beam.Pipeline(options=options) as pipeline,
    ):
        build.write_dataset(pipeline, config, source, job, rejects_prefix)

    receipts = {
        split: [committed(config.output, shard_name(split, i, n)) for i in range(n)]
        for split, n in sorted(shard_counts.items(), key=lambda item: SPLITS.index(item[0]))
    }
    rejected = count_rejects(f"{rejects_prefix}.parquet")
    books = balance_books(read, receipts, rejected)
    check_rejected(books, config.max_rejected, f"{rejects_prefix}.parquet")
    manifest = schema.Manifest(
        splits={
            split: [schema.Shard(**receipt.shard) for receipt in split_receipts]
            for split, split_receipts in receipts.items()
        },
        books=books,
        captions_rejected=sum(n for (_, stage), n in rejected.items() if stage == CAPTION),
        vocabulary_size=len(vocabulary),
        vocabulary_sha256=vocabulary.sha256(),
        encoder=encoder,
        feature_dtype=config.feature_dtype,
        config=config.content(),
        versions={
            name: importlib.metadata.version(name)
            for name in ("beamcap", "apache-beam", "tensorflow", "keras", "nltk")
        },
    )
    write_tfds_metadata(config.output, manifest)
    ended = time.time()
    report = {
        "seconds": {"count": counted - started, "shards": ended - counted},
        "seconds_in_stage": sum_seconds(receipts),
        "images_per_second": images_since(counted, receipts) / (ended - counted),
        "images": images,
        "captions_by_length": lengths,
        "rejected": [[*key, n] for key, n in sorted(rejected.items())],
    }
    write_text(os.path.join(config.output, REPORT_FILE), json.dumps(report, indent=2) + "\n")
    schema.write_manifest(config.output, manifest)
    print_summary(config, manifest, ended - started)
    return manifest


def check_counts(images: dict[str, int], source: sources.Flickr8k) -> None:
    """Raises InputError where there is nothing to train on."""
    if not images.get("train"):
        listed = source.splits.get("train", source.captions)
        raise InputError(
            f"--input: not one training image has a file, a split and a usable caption; "
            f"images were looked for in {source.images}, their names in {listed}"
        )


def committed(directory: str, shard: str) -> Receipt:
    """The receipt of a shard that the job has written."""
    receipt = read_receipt(directory, shard)
    if receipt is not None:
        return receipt
    # A hash can leave a shard without images: it is then an empty file.
    path = os.path.join(directory, shard)
    with complete_or_absent(path) as temporary, tf.io.TFRecordWriter(temporary):
        pass
    digest = hashlib.sha256(b"").hexdigest()
    entry = dict(file=shard, images=0, captions=0, bytes=0, sha256=digest)
    return Receipt("", entry, [], {}, time.time())


def images_since(start: float, receipts: dict[str, list[Receipt]]) -> int:
    """Images written by shards that were finished after `start`, so by this run."""
    return sum(r.shard["images"] for split in receipts.values() for r in split if r.time > start)


def sum_seconds(receipts: dict[str, list[Receipt]]) -> dict[str, float]:
    """Time in each stage, summed over shards (and threads, for reading and decoding)."""
    total: collections.Counter = collections.Counter()
    for split_receipts in receipts.values():
        for receipt in split_receipts:
            total.update(receipt.seconds)
    return dict(total)


def print_summary(config: PipelineConfig, manifest: schema.Manifest, seconds: float) -> None:
    """What was made, what was not, and where it lies."""
    rows: list[tuple[Any, ...]] = [("split", "read", "written", "rejected", "duplicates", "shards")]
    for split, books in manifest.books.items():
        if books.read:
            counts = (books.read, books.written, books.rejected, books.duplicates)
            rows.append((split, *counts, len(manifest.splits.get(split, []))))
    for row in rows:
        print(f"{row[0]:<12}" + "".join(f"{cell:>12}" for cell in row[1:]))
    shape = "x".join(map(str, manifest.encoder.feature_shape))
    print(
        f"{manifest.vocabulary_size - len(RESERVED)} words seen {config.min_count} times or more; "
        f"{manifest.encoder.name} features {shape} {manifest.feature_dtype}; "
        f"{manifest.captions_rejected} captions rejected"
    )
    if any(books.rejected for books in manifest.books.values()) or manifest.captions_rejected:
        print(f"What was rejected, and why: {os.path.join(config.output, REJECTS)}.parquet")
    print(f"Dataset complete in {seconds:.0f} s: {config.output}")
    sys.stdout.flush()
