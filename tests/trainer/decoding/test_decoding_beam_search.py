"""Beam search on toy tables against brute force."""

import itertools

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from tfrecords_schema.vocabulary import END, PAD, START
from trainer.config import ModelConfig
from trainer.decoding.beam_search import NEVER, beam_search, search_captions
from trainer.decoding.search_config import SearchConfig
from trainer.models.attend import Attend

WORDS = 3  # beside the four reserved tokens
V = 4 + WORDS


def random_table(seed, examples, max_words):
    """log p(next | last, time) for each example; <pad>, <unk> and <start> are never next."""
    logits = np.random.default_rng(seed).standard_normal((examples, max_words + 1, V, V)) * 2
    logits[..., :END] = -np.inf
    return (logits - np.logaddexp.reduce(logits, axis=-1, keepdims=True)).clip(NEVER)


def search(table, width, max_words, length_penalty=0.0):
    """The state is the example and the time; it must follow its beam through every reordering."""
    table = tf.constant(table, tf.float32)

    def step(token_N, state):
        example_N, time_N = state
        return tf.gather_nd(table, tf.stack([example_N, time_N, token_N], 1)), (
            example_N, time_N + 1,
        )  # fmt: skip

    count = table.shape[0]
    state = (tf.range(count), tf.zeros([count], tf.int32))
    return beam_search(step, state, SearchConfig(width, max_words, length_penalty))


def every_caption(table, max_words, length_penalty=0.0):
    """(score, log probability, ids) of every caption of an example, best first."""
    found = []
    for words in range(max_words + 2):
        for choice in itertools.product(range(4, V), repeat=min(words, max_words + 1)):
            ids = [*choice] if words == max_words + 1 else [*choice, END]
            log_prob, last = 0.0, START
            for time, token in enumerate(ids):
                log_prob += table[time, last, token]
                last = token
            scale = ((5 + len(ids)) / 6) ** length_penalty
            found.append((log_prob / scale, log_prob, ids))
    return sorted(found, key=lambda row: -row[0])


@settings(deadline=None, max_examples=15)
@given(st.integers(0, 10**6), st.integers(1, 3), st.sampled_from([0.0, 0.7]))
def test_a_beam_as_wide_as_the_tree_finds_what_brute_force_finds(seed, max_words, penalty):
    table = random_table(seed, examples=2, max_words=max_words)
    width = WORDS ** (max_words + 1) + 20
    beams = search(table, width, max_words, penalty)
    for example in range(2):
        best = every_caption(table[example], max_words, penalty)
        for rank in range(5):
            _, log_prob, ids = best[rank]
            expected = (ids + [PAD] * max_words)[:max_words]
            np.testing.assert_array_equal(beams.ids_BWT[example, rank], expected)
            np.testing.assert_allclose(beams.log_probs_BW[example, rank], log_prob, rtol=1e-4)


@settings(deadline=None, max_examples=15)
@given(st.integers(0, 10**6))
def test_width_1_takes_the_likeliest_word_each_time(seed):
    max_words = 5
    table = random_table(seed, examples=3, max_words=max_words)
    beams = search(table, 1, max_words)
    for example in range(3):
        last, greedy = START, []
        for time in range(max_words + 1):
            last = int(np.argmax(table[example, time, last]))
            greedy.append(last)
            if last == END:
                break
        expected = (greedy + [PAD] * max_words)[:max_words]
        np.testing.assert_array_equal(beams.ids_BWT[example, 0], expected)


@pytest.mark.parametrize("width", [2, 3, 5])
def test_a_wider_beam_is_never_worse_than_its_own_log_probability_says(width):
    table = random_table(5, examples=4, max_words=4)
    beams = search(table, width, 4)
    log_probs = beams.log_probs_BW.numpy()
    assert (np.diff(log_probs, axis=1) <= 0).all()
    for example in range(4):
        exact = {tuple(ids): log_prob for _, log_prob, ids in every_caption(table[example], 4)}
        for ids, log_prob in zip(beams.ids_BWT[example].numpy(), log_probs[example], strict=True):
            candidates = [
                exact[key] for key in exact if tuple((list(key) + [PAD] * 4)[:4]) == tuple(ids)
            ]
            assert any(abs(log_prob - value) < 1e-3 for value in candidates)


def test_a_larger_length_penalty_gives_longer_captions():
    # Every word costs probability, so the empty caption has the largest sum.
    logits = np.log(np.array([0, 0, 0, 0.3, 0.4, 0.2, 0.1]).clip(1e-30))
    table = np.broadcast_to(logits, (1, 7, V, V)).copy()
    words = [int((search(table, 40, 6, p).ids_BWT[0, 0] >= 4).numpy().sum()) for p in (0.0, 3.0)]
    assert words[0] == 0 and words[1] > words[0]


def test_reserved_tokens_are_never_chosen_and_features_matter():
    model = Attend(
        ModelConfig(units=8, embedding_units=8, attention_units=8, annotation_units=8),
        vocabulary_size=12,
        feature_depth=5,
    )
    features = tf.random.stateless_normal([6, 4, 5], [1, 2]) * 3
    ids = search_captions(model, features, SearchConfig(4, 7, 0.0)).ids_BWT.numpy()
    ended = np.cumsum(ids == END, axis=-1) > 0
    assert not np.isin(ids[~ended], [PAD, START, 1]).any()
    assert (ids[ended & (ids != END)] == PAD).all()
    assert ids.shape == (6, 4, 7)
