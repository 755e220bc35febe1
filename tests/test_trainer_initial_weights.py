import os

import numpy as np
import pytest
import tensorflow as tf
from conftest import train_config

from tfrecords_schema.errors import InputError
from tfrecords_schema.manifest import VOCABULARY_FILE, read_manifest
from tfrecords_schema.parse import parse_record
from tfrecords_schema.vocabulary import END, PAD, START, Vocabulary, read_vocabulary
from trainer.dataset import shard_paths
from trainer.initial_weights import count_tokens, read_word_vectors
from trainer.run_state import Run

VOCABULARY = Vocabulary(["dog", "cat", "runs"])


def test_words_are_counted_as_they_are_to_be_predicted(dataset):
    manifest = read_manifest(dataset)
    counts = count_tokens(dataset, manifest)
    expected = np.zeros(manifest.vocabulary_size, np.int64)
    for record in tf.data.TFRecordDataset(shard_paths(dataset, manifest, "train")):
        for ids in parse_record(manifest.features(), record)["caption_ids"].to_list():
            np.add.at(expected, ids[1:], 1)
    np.testing.assert_array_equal(counts, expected)
    assert counts[START] == counts[PAD] == 0 < counts[END]


@pytest.mark.parametrize("header", ["", "2 3\n"])
def test_vectors_of_known_words_are_read(tmp_path, header):
    path = tmp_path / "vectors.txt"
    path.write_text(f"{header}cat 1 2 -3.5\nzebra 0 0 0\nruns 1e-3 0 7\n<pad> 9 9 9\n")
    ids, vectors = read_word_vectors(str(path), VOCABULARY, 3)
    assert ids.tolist() == [5, 6]
    np.testing.assert_allclose(vectors, [[1, 2, -3.5], [1e-3, 0, 7]])


@pytest.mark.parametrize(
    "text, reason",
    [
        ("cat 1 2 3\ndog 1 2\n", "line 2 of .* has 2 numbers, --embedding_units=3"),
        ("cat 1 2 x\n", "line 1 of .*: could not convert"),
        ("zebra 1 2 3\n", "has no word of the vocabulary"),
        ("", "has no word of the vocabulary"),
    ],
)
def test_a_file_of_something_else_is_refused(tmp_path, text, reason):
    path = tmp_path / "vectors.txt"
    path.write_text(text)
    with pytest.raises(InputError, match=f"--word_vectors: .*{reason}"):
        read_word_vectors(str(path), VOCABULARY, 3)
    with pytest.raises(InputError, match=r"--word_vectors: .*none\.txt does not exist"):
        read_word_vectors(str(tmp_path / "none.txt"), VOCABULARY, 3)


def test_a_run_starts_from_frequencies_and_vectors(dataset, tmp_path):
    manifest = read_manifest(dataset)
    vocabulary = read_vocabulary(os.path.join(dataset, VOCABULARY_FILE))
    path = tmp_path / "vectors.txt"
    path.write_text(f"{vocabulary.tokens[9]} {' '.join(['0.25'] * 16)}\n")
    config = train_config(dataset, tmp_path / "run", word_vectors=str(path))
    run = Run(config, manifest, tf.distribute.get_strategy())
    counts = count_tokens(dataset, manifest) + 1.0
    for model in (run.model, run.average):
        np.testing.assert_allclose(model.words.bias, np.log(counts / counts.sum()), rtol=1e-5)
        assert np.array(model.words.embedding[9]).tolist() == [0.25] * 16
        assert np.abs(model.words.embedding[10]).max() < 0.1
