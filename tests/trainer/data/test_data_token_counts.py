import gzip
import os

import numpy as np
import pytest
import tensorflow as tf
from small_configs import train_config

from tfrecords_schema.dataset import open_dataset
from tfrecords_schema.errors import InputError
from tfrecords_schema.manifest import VOCABULARY_FILE, read_manifest
from tfrecords_schema.parse import parse_record
from tfrecords_schema.vocabulary import END, PAD, START, Vocabulary, read_vocabulary
from trainer.data.token_counts import count_tokens
from trainer.models.word_vectors import read_word_vectors
from trainer.run_state import Run

VOCABULARY = Vocabulary(["dog", "cat", "runs"])


def test_words_are_counted_as_they_are_to_be_predicted(dataset):
    manifest = read_manifest(dataset)
    counts = count_tokens(open_dataset(dataset))
    expected = np.zeros(manifest.vocabulary_size, np.int64)
    for record in tf.data.TFRecordDataset(open_dataset(dataset).shard_paths("train")):
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


def test_lines_of_glove_and_fasttext_files_are_read(tmp_path):
    path = tmp_path / "vectors.txt"
    lines = [
        ". . . 0 0 0", "at name@domain.com 0 0 0", "cat 1 2 3 ", "dog's 4 4 4", "dog 5 6 7\r",
        "\u0085 0 0 0", "\u00a0 0 0 0", " 0 0 0", "12 0 0 0", "cat 9 9 9", "",
    ]  # fmt: skip
    path.write_bytes(b"caf\xe9 0 0 0\n" + "\n".join(lines).encode())
    ids, vectors = read_word_vectors(str(path), VOCABULARY, 3)
    assert [VOCABULARY.tokens[i] for i in ids] == ["cat", "dog"]
    np.testing.assert_allclose(vectors, [[1, 2, 3], [5, 6, 7]])


@pytest.mark.parametrize(
    "content, reason",
    [
        ("cat 1 2 3\ndog 1 2\n", "line 2 of .* has 2 numbers, --embedding_units=3"),
        ("cat 1 2 3\ndog 1 2 3 4\n", "line 2 of .* has 4 numbers, --embedding_units=3"),
        ("2 300\ncat 1 2 3\n", "vectors has 300 numbers a word, --embedding_units=3"),
        ("cat 1 2 x\n", "line 1 of .* must be a word and 3 numbers, it begins 'cat 1 2 x'"),
        ("cat 1 2 nan\n", "line 1 of .* must be a word and 3 numbers, it begins 'cat 1 2 nan'"),
        ("a page about cats\n", "line 1 of .* must be a word and 3 numbers, it begins 'a page"),
        ("zebra 1 2 3\n", "has no word of the vocabulary"),
        ("", "has no word of the vocabulary"),
        (
            gzip.compress(b"cat 1 2 3\n", mtime=0),
            "is no text: give the text file of the vectors, unpacked",
        ),
        (b"2 3\ncat \0\0\x80\x3f\0\0", "is no text"),
    ],
)
def test_a_file_of_something_else_is_refused(tmp_path, content, reason):
    path = tmp_path / "vectors"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(InputError, match=f"--word_vectors: .*{reason}"):
        read_word_vectors(str(path), VOCABULARY, 3)


def test_a_file_of_vectors_that_cannot_be_read_is_named(tmp_path, monkeypatch):
    with pytest.raises(InputError, match=r"--word_vectors: .*none\.txt does not exist"):
        read_word_vectors(str(tmp_path / "none.txt"), VOCABULARY, 3)
    with pytest.raises(InputError, match=f"--word_vectors: {tmp_path} is a directory"):
        read_word_vectors(str(tmp_path), VOCABULARY, 3)
    path = tmp_path / "vectors.txt"
    path.write_text("cat 1 2 3\ndog 1 2 3\n")
    monkeypatch.setattr(tf.io.gfile.GFile, "__iter__", lambda self: iter([self.readline()]))
    with pytest.raises(InputError, match=f"{path} cannot be read after 10 of 20 bytes"):
        read_word_vectors(str(path), VOCABULARY, 3)


def test_a_run_starts_from_frequencies_and_vectors(dataset, tmp_path):
    read_manifest(dataset)
    vocabulary = read_vocabulary(os.path.join(dataset, VOCABULARY_FILE))
    path = tmp_path / "vectors.txt"
    path.write_text(f"{vocabulary.tokens[9]} {' '.join(['0.25'] * 16)}\n")
    config = train_config(dataset, tmp_path / "run", word_vectors=str(path))
    run = Run(config, open_dataset(dataset), tf.distribute.get_strategy())
    counts = count_tokens(open_dataset(dataset)) + 1.0
    for model in (run.model, run.ema):
        np.testing.assert_allclose(model.words.bias, np.log(counts / counts.sum()), rtol=1e-5)
        assert np.array(model.words.embedding[9]).tolist() == [0.25] * 16
        assert np.abs(model.words.embedding[10]).max() < 0.1
