"""From a configuration to a complete dataset: checks, two Beam jobs, the books, the manifest."""

import importlib.metadata
import json
import os
import time

import tensorflow as tf
from apache_beam.options.pipeline_options import PipelineOptions

from pipeline import build, report
from pipeline.books import balance_books, check_rejected
from pipeline.config import SPLIT_FRACTIONS, PipelineConfig
from pipeline.encoder_model import build_model
from pipeline.find_source import find_source
from pipeline.image_encoder import write_image_encoder
from pipeline.join_captions import JoinRules
from pipeline.local_processes import make_pipeline
from pipeline.output_directory import (
    STAGED_DIRECTORY,
    check_output,
    claim_output,
    refuse_leftovers,
    remove,
    remove_unfinished,
)
from pipeline.progress import show_progress
from pipeline.receipts import RECEIPT_DIRECTORY, Receipt, forget_rejected, read_receipt
from pipeline.rejects import CAPTION, SOURCE, count_rejects
from pipeline.sources.mentions import Source
from pipeline.worker_threads import threads_of_a_worker
from pipeline.write_shards import ShardJob
from tfrecords_schema import manifest as schema
from tfrecords_schema.atomic_file import read_text, write_text
from tfrecords_schema.errors import InputError
from tfrecords_schema.features import IMAGE_DTYPE
from tfrecords_schema.shards import SPLITS, shard_name
from tfrecords_schema.tfds_metadata import write_tfds_metadata
from tfrecords_schema.vocabulary import Vocabulary, read_vocabulary, read_words

REPORT_FILE = "report.json"
REJECTS_FILE = "rejected.parquet"
SHARD_COUNTS = "shard_counts.json"  # within receipts/


def run_pipeline(config: PipelineConfig, options: PipelineOptions) -> schema.Manifest:
    """Writes the dataset, or what is missing of it.

    Returns:
      The manifest of the complete dataset.

    Raises:
      InputError: the source cannot be used, the output holds another dataset, or more images
        than `max_rejected` were rejected.
    """
    started = time.time()
    source = find_source(config)
    check_output(config)
    manifest_path = os.path.join(config.output, schema.MANIFEST_FILE)
    if tf.io.gfile.exists(manifest_path) and not config.retry_rejected:
        print(f"{config.output} is already complete; nothing to do.")
        return schema.read_manifest(config.output)
    given = read_words(config.vocabulary) if config.vocabulary else None
    claim_output(config)
    encoder = _prepare_encoder(config)

    print(f"Reading captions from {source.captions}")
    fractions = config.split_fractions or (None if source.has_splits else SPLIT_FRACTIONS)
    rules = JoinRules(
        source.captions, source.images, fractions, config.features != "none", config.clean
    )
    counts = _count(config, options, source, rules, given)
    vocabulary = read_vocabulary(os.path.join(config.output, schema.VOCABULARY_FILE))
    counted = time.time()

    remove(manifest_path)  # of a retry: until it has ended the dataset is not whole
    shard_counts = _shard_counts(config, counts["images"])
    feature_dtype = IMAGE_DTYPE if config.features == "image" else config.feature_dtype
    job = ShardJob(
        directory=config.output,
        shard_counts=shard_counts,
        feature_shape=None if encoder is None else encoder.feature_shape,
        feature_dtype=feature_dtype,
        clean=config.clean,
        max_length=config.max_length,
        fingerprint=json.dumps(
            [config.content(), vocabulary.sha256(), None if encoder is None else encoder.sha256]
        ),
        worker_threads=config.worker_threads or threads_of_a_worker(options),
    )
    rejects_path = os.path.join(config.output, REJECTS_FILE)
    with (
        show_progress(config.output, counts["images"], shard_counts),
        make_pipeline(options) as pipeline,
    ):
        build.write_dataset(pipeline, source, rules, job, rejects_path)

    receipts = _receipts(config.output, shard_counts)
    rejected = count_rejects(rejects_path)
    if any(stage == SOURCE for _, stage in rejected):
        raise InputError(f"--input: a part of the source could not be read, see {rejects_path}")
    books = balance_books(counts["read"], receipts, rejected)
    check_rejected(books, config.max_rejected, rejects_path)
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
        feature_dtype=feature_dtype,
        config=config.content(),
        versions={
            name: importlib.metadata.version(name)
            for name in ("beamcap", "apache-beam", "tensorflow", "keras", "nltk")
        },
    )
    write_tfds_metadata(config.output, manifest)
    ended = time.time()
    content = report.make_report(receipts, rejected, counts, started, counted, ended)
    write_text(os.path.join(config.output, REPORT_FILE), json.dumps(content, indent=2) + "\n")
    remove(os.path.join(config.output, STAGED_DIRECTORY))
    remove_unfinished(config.output)
    schema.write_manifest(config.output, manifest)
    report.print_summary(config, manifest, content, rejects_path)
    return manifest


def _prepare_encoder(config: PipelineConfig) -> schema.Encoder | None:
    if config.features == "none":
        return None
    print(f"Preparing the image encoder {config.encoder}")
    return write_image_encoder(build_model(config), config)


def _count(
    config: PipelineConfig,
    options: PipelineOptions,
    source: Source,
    rules: JoinRules,
    given: Vocabulary | None,
) -> dict[str, dict]:
    """Runs the first job.

    Returns:
      `read` and `images`, split -> number of images; `lengths`, (split, words) -> captions.
    """
    paths = {
        name: os.path.join(config.output, RECEIPT_DIRECTORY, f"{name}.json")
        for name in ("read", "images", "lengths", "unreadable")
    }
    for path in paths.values():
        remove(path)
    vocabulary = os.path.join(config.output, schema.VOCABULARY_FILE)
    if given is not None:
        write_text(vocabulary, given.to_text())
    elif not (config.retry_rejected and tf.io.gfile.exists(vocabulary)):
        # A retry keeps the vocabulary: new words would change the ids in every shard.
        remove(vocabulary)
        paths["vocabulary"] = vocabulary
    with make_pipeline(options) as pipeline:
        build.count_source(pipeline, config, source, rules, paths)
    for path in paths.values():
        if not tf.io.gfile.exists(path):
            raise InputError(
                f"--output: the workers have written {path}, but it is not on this machine: "
                "give a directory that this machine and all workers see under one name"
            )
    found = {
        name: json.loads(read_text(path)) for name, path in paths.items() if path != vocabulary
    }
    for row in found["unreadable"]:
        raise InputError(f"--input: {row[-1].removeprefix('--input: ')}")
    images = dict(found["images"])
    if not images.get("train"):
        raise InputError(
            f"--input: not one training image has a file, a split and a usable caption; captions "
            f"were looked for in {source.captions}, images in {source.images}"
        )
    lengths = {(split, words): n for split, words, n in found["lengths"]}
    return {"read": dict(found["read"]), "images": images, "lengths": lengths}


def _shard_counts(config: PipelineConfig, images: dict[str, int]) -> dict[str, int]:
    """Split -> number of shards; in a retry those that are there keep their number."""
    path = os.path.join(config.output, RECEIPT_DIRECTORY, SHARD_COUNTS)
    counts = {split: -(-n // config.images_per_shard) for split, n in images.items()}
    if config.retry_rejected and tf.io.gfile.exists(path):
        counts |= json.loads(read_text(path))
        print(f"Trying again {forget_rejected(config.output)} shards with rejected images")
    refuse_leftovers(config.output, counts)
    write_text(path, json.dumps(counts))
    return counts


def _receipts(directory: str, shard_counts: dict[str, int]) -> dict[str, list[Receipt]]:
    """Split -> the receipts of its shards, which the job has written."""
    receipts: dict[str, list[Receipt]] = {}
    for split in [split for split in SPLITS if split in shard_counts]:
        receipts[split] = []
        for i in range(shard_counts[split]):
            name = shard_name(split, i, shard_counts[split])
            receipt = read_receipt(directory, name)
            if receipt is None:
                raise InputError(
                    f"--output: the job has ended, but {name} is not in {directory}: give a "
                    "directory that this machine and all workers see under one name"
                )
            receipts[split].append(receipt._replace(rejects=[]))  # they are in the table
    return receipts
