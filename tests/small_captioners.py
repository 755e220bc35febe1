"""Captioners of every kind in small, and a batch of captions for them."""

import dataclasses

import keras
import numpy as np
import tensorflow as tf

from tfrecords_schema.vocabulary import END, START
from trainer.config import ModelConfig
from trainer.layers.packing import pack_captions
from trainer.models.make_model import MODELS

SIZES = ModelConfig(
    units=32, embedding_units=16, attention_units=12, annotation_units=32, heads=4,
    feed_forward_units=24, region_dropout=0, annotation_dropout=0, embedding_dropout=0,
    layer_dropout=0, output_dropout=0,
)  # fmt: skip
KINDS = [
    "attend", "attend cell=gru", "attend layers=3", "attend layers=2 cell=gru tied_embeddings=True",
    "attend_after", "attend_after layers=2 cell=gru tied_embeddings=True",
    "merge", "merge join=concat cell=gru", "merge layers=2 tied_embeddings=True",
    "inject", "inject cell=gru layers=2", "inject inject=init layers=2",
    "inject inject=init cell=gru tied_embeddings=True", "inject inject=every layers=2",
    "transformer", "transformer layers=3 tied_embeddings=True",
]  # fmt: skip
# One of each way from an image to words, for what does not depend on cells and layers.
FAMILIES = [
    "attend layers=2 cell=gru tied_embeddings=True", "attend_after", "merge join=concat cell=gru",
    "inject", "inject inject=init layers=2", "inject inject=every layers=2",
    "transformer layers=3 tied_embeddings=True",
]  # fmt: skip
VOCABULARY = 12
CAPTIONS = np.array(
    [
        [[START, 5, 6, 7, END, 0], [START, 5, END, 0, 0, 0]],
        [[START, 8, 9, END, 0, 0], [START, 8, 9, 10, 11, END]],
        [[START, 11, END, 0, 0, 0], [0, 0, 0, 0, 0, 0]],
    ],
    np.int32,
)


def make(kind, regions=4, depth=6, **changes):
    """A captioner of a kind such as `attend cell=gru`, and features of three images."""
    name, *options = kind.split()
    for option in options:
        flag, value = option.split("=")
        changes[flag] = int(value) if value.isdecimal() else {"True": True}.get(value, value)
    keras.utils.set_random_seed(1)
    config = dataclasses.replace(SIZES, **changes)
    model = MODELS[name](config, VOCABULARY, feature_depth=depth)
    return model, tf.random.stateless_normal([3, regions, depth], [1, 2])


def take(nest, row):
    return tf.nest.map_structure(lambda part: part[row : row + 1], nest)


def words_of(rows_T):
    """Captions of which so many run at each step."""
    ids = np.zeros([1, rows_T[0], len(rows_T) + 1], np.int32)
    for time, rows in enumerate(rows_T):
        ids[0, :rows, time : time + 2] = 5
    words = pack_captions(tf.constant(ids))
    assert words.rows_T.numpy().tolist() == rows_T
    return words
