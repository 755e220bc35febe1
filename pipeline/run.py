"""Runs the pipeline: checks, two Beam jobs, accounting, the manifest."""

import importlib.metadata
import itertools
import json
import os
import time
from contextlib import nullcontext
from typing import Any

import tensorflow as tf
from apache_beam.options.pipeline_options import PipelineOptions

from pipeline import build
from pipeline.accounting import report
from pipeline.accounting.image_counts import (
    check_captions,
    check_rejected,
    count_images,
    images_lost,
)
from pipeline.accounting.progress import progress_bar
from pipeline.accounting.reasons import frequent_reason
from pipeline.accounting.receipts import RECEIPT_DIRECTORY, Receipt, forget_rejected, read_receipt
from pipeline.accounting.rejects import CAPTION, SOURCE, count_rejects, read_rejects, write_rejects
from pipeline.accounting.same_pictures import read_same_pictures
from pipeline.accounting.source_counts import (
    SourceCounts,
    check_splits,
    check_vocabulary,
    read_counts,
)
from pipeline.config import SPLIT_FRACTIONS, PipelineConfig
from pipeline.encoder.encoder_model import build_model
from pipeline.encoder.image_encoder import write_image_encoder
from pipeline.engines.beam_options import BeamOptions, make_options
from pipeline.engines.local_processes import make_pipeline
from pipeline.engines.worker_threads import threads_of_a_worker
from pipeline.output_directory import (
    STAGED_DIRECTORY,
    check_output,
    claim_output,
    hold_output,
    refuse_leftovers,
    remove,
    remove_unfinished,
)
from pipeline.shards.write_shards import ShardJob
from pipeline.sources.find_source import find_source
from pipeline.sources.mentions import Source
from pipeline.text.join_captions import JoinRules, TwoFilesError
from tfrecords_schema import manifest as schema
from tfrecords_schema.atomic_file import read_text, write_text
from tfrecords_schema.dataset import Dataset, open_dataset
from tfrecords_schema.errors import InputError
from tfrecords_schema.feature_dtypes import IMAGE_DTYPE
from tfrecords_schema.messages import logger
from tfrecords_schema.shards import SPLITS, shard_name
from tfrecords_schema.tfds_metadata import write_tfds_metadata
from tfrecords_schema.vocabulary import RESERVED, Vocabulary, read_vocabulary, read_words

REPORT_FILE = "report.json"
REJECTS_FILE = "rejected.parquet"
SHARD_COUNTS = "shard_counts.json"  # within receipts/
JOINED_DIRECTORY = "joined"  # within receipts/


def write_dataset(
    config: PipelineConfig, beam_options: BeamOptions = (), show_progress: bool = False
) -> Dataset:
    """Writes the dataset, or its missing parts.

    Args:
      config: the configuration of the dataset.
      beam_options: options of the runner, see `make_options`; by default one local process.
      show_progress: whether to show a progress bar on standard error.

    Returns:
      The complete dataset.

    Raises:
      InputError: the source or an option cannot be used, the output holds another dataset, or a
        larger share of images than `max_rejected` was rejected.
    """
    started = time.time()
    options = make_options(beam_options)
    source = find_source(config)
    check_output(config)
    manifest_path = os.path.join(config.output, schema.MANIFEST_FILE)
    if tf.io.gfile.exists(manifest_path) and not config.retry_rejected:
        logger.info(f"{config.output} is already complete; nothing to do.")
        return open_dataset(config.output, "output")
    given = read_words(config.vocabulary) if config.vocabulary else None
    with hold_output(config.output):
        check_output(config)  # again, since another job may have written here until now
        _write_dataset(config, options, source, given, started, show_progress)
    return open_dataset(config.output, "output")


def _write_dataset(
    config: PipelineConfig,
    options: PipelineOptions,
    source: Source,
    given: Vocabulary | None,
    started: float,
    show_progress: bool,
) -> None:
    """Runs the two jobs and writes the manifest, in an output directory that this process owns."""
    claim_output(config)
    encoder = _prepare_encoder(config)

    fractions = config.split_fractions or (None if source.has_splits else SPLIT_FRACTIONS)
    whence = source.splits_by if fractions is None else f"hash, {'/'.join(map(str, fractions))}"
    logger.info(f"Reading captions from {source.captions}; splits by {whence}")
    rules = JoinRules(
        source.captions, source.images, fractions, config.features != "none", config.clean
    )
    paths = _receipt_paths(config.output)
    counts, vocabulary = _read_captions(config, options, source, rules, given, paths)
    counted = time.time()

    # In a retry the dataset is incomplete until the end.
    remove(os.path.join(config.output, schema.MANIFEST_FILE))
    shard_counts = _shard_counts(config, counts.images)
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
    joined = [os.path.join(paths["joined"], name) for name in _read_json(paths["joined_files"])]
    bar = progress_bar(config.output, counts.images, shard_counts)
    with bar if show_progress else nullcontext(), make_pipeline(options) as pipeline:
        build.write_shards(pipeline, joined, job, paths["shard_rejects"], paths["same_pictures"])

    receipts = _receipts(config.output, shard_counts)
    rejects_path = os.path.join(config.output, REJECTS_FILE)
    both = (read_rejects(paths[name]) for name in ("rejects", "shard_rejects"))
    write_rejects(itertools.chain.from_iterable(both), rejects_path)
    image_counts = _account(config, counts, receipts, rejects_path, fractions is None)
    rejected = count_rejects(rejects_path)
    manifest = schema.Manifest(
        splits={
            split: [schema.Shard(**receipt.shard) for receipt in split_receipts]
            for split, split_receipts in receipts.items()
        },
        image_counts=image_counts,
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
        integer_ids=counts.has_integer_ids(),
    )
    write_tfds_metadata(config.output, manifest)
    ended = time.time()
    content = report.make_report(receipts, rejected, counts, started, counted, ended)
    content["splits_by"] = whence
    content["same_pictures"] = read_same_pictures(paths["same_pictures"])
    write_text(os.path.join(config.output, REPORT_FILE), json.dumps(content, indent=2) + "\n")
    for path in (os.path.join(config.output, STAGED_DIRECTORY), *paths.values()):
        remove(path)
    remove_unfinished(config.output)
    schema.write_manifest(config.output, manifest)
    for line in report.summarize(config, manifest, content, rejects_path):
        logger.info(line)


def _account(
    config: PipelineConfig,
    counts: SourceCounts,
    receipts: dict[str, list[Receipt]],
    rejects_path: str,
    own_splits: bool,
) -> dict[str, schema.ImageCounts]:
    """Counts the images of each split.

    Raises:
      InputError: too many images or captions were rejected, or a split of the source is empty.
    """
    rejected = count_rejects(rejects_path)
    captions = sum(n for (_, stage), n in rejected.items() if stage == CAPTION)
    shards = [receipt for split in receipts.values() for receipt in split]
    lost = sum(receipt.text["captions_of_rejected_images"] for receipt in shards)
    written = sum(receipt.shard["captions"] for receipt in shards)
    check_captions(counts.captions, written, captions, lost + counts.lost)
    images = count_images(counts.read, receipts, rejected)
    read, refused = (sum(getattr(images[s], f) for s in SPLITS) for f in ("read", "rejected"))
    limit = config.max_rejected
    check_rejected(refused, read, "images", limit, rejects_path)
    check_rejected(captions, counts.captions, "captions", limit, rejects_path)
    for split in receipts if own_splits else ():
        if not images[split].written:
            raise InputError(
                f"--input: the {split} split ends empty. {frequent_reason(rejects_path, split)}"
            )
    return images


def _prepare_encoder(config: PipelineConfig) -> schema.Encoder | None:
    if config.features == "none":
        return None
    logger.info(f"Preparing the image encoder {config.encoder}")
    return write_image_encoder(build_model(config), config)


def _receipt_paths(directory: str) -> dict[str, str]:
    """The paths of the first job's results, for the launcher and the second job."""
    files = {
        "counts": "counts.json",
        "collision": "collision.json",
        "rejects": "source_rejects.parquet",
        "joined_files": "joined_files.json",
        "shard_rejects": "shard_rejects.parquet",
        "same_pictures": "same_pictures.json",
        "joined": JOINED_DIRECTORY,
    }
    return {name: os.path.join(directory, RECEIPT_DIRECTORY, f) for name, f in files.items()}


def _read_captions(
    config: PipelineConfig,
    options: PipelineOptions,
    source: Source,
    rules: JoinRules,
    given: Vocabulary | None,
    paths: dict[str, str],
) -> tuple[SourceCounts, Vocabulary]:
    """Runs the first job and checks its results.

    Raises:
      InputError: the source cannot be used; a table of rejects then has the reasons.
    """
    for path in paths.values():
        remove(path)
    expected = [paths["counts"], paths["rejects"], paths["joined_files"]]
    vocabulary_path = os.path.join(config.output, schema.VOCABULARY_FILE)
    if given is not None:
        write_text(vocabulary_path, given.to_text())
    elif config.retry_rejected and tf.io.gfile.exists(vocabulary_path):
        # A retry keeps the vocabulary, since new words would change the ids in every shard.
        given = read_vocabulary(vocabulary_path)
    if given is None:
        remove(vocabulary_path)
        paths = paths | {"vocabulary": vocabulary_path}
        expected.append(vocabulary_path)
    known = frozenset() if given is None else frozenset(given.tokens[len(RESERVED) :])
    with make_pipeline(options) as pipeline:
        build.read_captions(pipeline, config, source, rules, paths, known)
    for path in expected:
        if not tf.io.gfile.exists(path):
            raise InputError(
                f"--output: the workers have written {path}, but it is not on this machine: "
                "give a directory that this machine and all workers see under one name"
            )
    counts, vocabulary = read_counts(paths["counts"]), read_vocabulary(vocabulary_path)
    table = paths["rejects"]
    if not tf.io.gfile.exists(os.path.join(config.output, schema.MANIFEST_FILE)):
        # In a retry the dataset's own table stays until the new one is complete.
        table = os.path.join(config.output, REJECTS_FILE)
        tf.io.gfile.copy(paths["rejects"], table, overwrite=True)
    for row in read_rejects(table):
        if row.stage == SOURCE:
            raise InputError(f"--input: {row.message.removeprefix('--input: ')}")
        if row.exception == TwoFilesError.__name__ and config.id_column:
            raise InputError(f"--id_column={config.id_column}: {row.message}")
    check_splits(counts, source, config, table)
    rejected = count_rejects(table)
    read = sum(counts.read.get(split, 0) for split in SPLITS)
    check_rejected(images_lost(rejected), read, "images", config.max_rejected, table)
    captions = sum(n for (_, stage), n in rejected.items() if stage == CAPTION)
    check_rejected(captions, counts.captions, "captions", config.max_rejected, table)
    check_vocabulary(counts, vocabulary, config)
    if tf.io.gfile.exists(paths["collision"]) and (names := _read_json(paths["collision"])):
        logger.info(f"Image ids hold folder or file: several images are called {names[0]}")
    if counts.unwrapped:
        logger.info(
            f"{counts.unwrapped} captions had markers around them, such as startseq: taken off"
        )
    return counts, vocabulary


def _read_json(path: str) -> Any:
    return json.loads(read_text(path))


def _shard_counts(config: PipelineConfig, images: dict[str, int]) -> dict[str, int]:
    """Maps splits to their number of shards; a retry keeps the numbers of existing splits."""
    path = os.path.join(config.output, RECEIPT_DIRECTORY, SHARD_COUNTS)
    counts = {split: -(-n // config.images_per_shard) for split, n in images.items()}
    if config.retry_rejected and tf.io.gfile.exists(path):
        counts |= json.loads(read_text(path))
        retried = forget_rejected(config.output)
        logger.info(f"Trying again {retried} shards with rejected images")
    refuse_leftovers(config.output, counts)
    write_text(path, json.dumps(counts))
    return counts


def _receipts(directory: str, shard_counts: dict[str, int]) -> dict[str, list[Receipt]]:
    """Maps splits to the receipts of their shards, which the job has written."""
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
            # The parts that are in tables are not kept in memory.
            receipts[split].append(receipt._replace(rejects=[], pictures=()))
    return receipts
