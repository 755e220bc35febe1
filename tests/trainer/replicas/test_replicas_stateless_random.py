import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from trainer.decoding.sampling import draw_words
from trainer.replicas.stateless_random import PLACES, Seed, random_bytes, uniform


def seed(*key):
    zero = tf.constant(0)
    return Seed(tf.constant(key), zero, zero, zero)


@pytest.mark.parametrize("draw", [uniform, random_bytes])
@settings(max_examples=50, deadline=None)
@given(
    sizes=st.lists(st.integers(0, 5), min_size=1, max_size=4),
    width=st.integers(1, 35),
    place=st.integers(0, PLACES - 1),
)
def test_random_numbers_of_replicas_make_up_those_of_one_device(draw, sizes, width, place):
    whole = draw(seed(1, 2), place, 0, sum(sizes), width).numpy()
    assert whole.shape == (sum(sizes), width)
    starts = np.cumsum([0, *sizes])
    parts = [
        draw(seed(1, 2), place, first, rows, width)
        for first, rows in zip(starts, sizes, strict=False)
    ]
    np.testing.assert_array_equal(np.concatenate(parts), whole)


@pytest.mark.parametrize("draw, scale", [(uniform, 1), (random_bytes, 256)])
def test_numbers_fill_their_interval_evenly_in_rows_and_columns(draw, scale):
    numbers = draw(seed(3, 4), 0, 0, 2000, 50).numpy() / scale
    assert numbers.min() >= 0 and numbers.max() < 1
    np.testing.assert_allclose(numbers.mean(0), 0.5, atol=0.04)
    np.testing.assert_allclose(np.histogram(numbers, 8)[0] / numbers.size, 1 / 8, atol=0.01)
    correlations = np.corrcoef(numbers, rowvar=False)[np.triu_indices(50, 1)]
    assert np.abs(correlations).max() < 0.12


def test_each_place_step_and_seed_has_random_numbers_of_its_own():
    drawn = [
        uniform(seed(*key), place, 0, 4, 8).numpy().tobytes()
        for key in ([1, 0], [2, 0], [1, PLACES])
        for place in (0, 1, PLACES - 1)
    ]
    assert len(set(drawn)) == 9


def test_words_are_drawn_by_their_probabilities_and_impossible_ones_never():
    probabilities = np.array([0.0, 0.5, 0.0, 0.3, 0.2, 0.0])
    log_probs = tf.fill([10_000, 1], 1.0) * tf.constant(
        np.log(np.maximum(probabilities, 1e-30)), tf.float32
    )
    log_probs = tf.where(tf.constant(probabilities > 0), log_probs, -1e9)
    drawn = draw_words(log_probs, uniform(seed(5, 6), 0, 0, 10_000, 1)[:, 0]).numpy()
    found = np.bincount(drawn, minlength=6) / 10_000
    np.testing.assert_allclose(found, probabilities, atol=0.02)
    assert not found[probabilities == 0].any()
    ends = draw_words(log_probs[:2], tf.constant([0.0, np.nextafter(np.float32(1), 0)]))
    np.testing.assert_array_equal(ends, [1, 4])


@settings(max_examples=100, deadline=None)
@given(vocabulary=st.integers(1, 90), key=st.integers(0, 2**31 - 1))
def test_a_word_is_the_first_whose_cumulative_sum_passes_the_number(vocabulary, key):
    rng = np.random.default_rng(key)
    probabilities = rng.dirichlet(np.full(vocabulary, 0.3), 20) * (rng.random(vocabulary) < 0.7)
    probabilities[:, rng.integers(vocabulary)] += 1e-3
    numbers = np.concatenate([rng.random(18), [0, np.nextafter(np.float32(1), 0)]])
    with np.errstate(divide="ignore"):
        log_probs = np.maximum(np.log(probabilities), -1e9).astype(np.float32)
    drawn = draw_words(tf.constant(log_probs), tf.constant(numbers, tf.float32)).numpy()
    assert (np.take_along_axis(log_probs, drawn[:, None], 1) > -100).all()
    sums = np.cumsum(np.exp(log_probs.astype(np.float64)), axis=1)
    wanted = numbers * sums[:, -1]
    after = np.take_along_axis(sums, drawn[:, None], 1)[:, 0]
    before = np.where(drawn > 0, np.take_along_axis(sums, drawn[:, None] - 1, 1)[:, 0], 0)
    assert (before <= wanted + 1e-6).all() and (wanted <= after + 1e-6).all()
