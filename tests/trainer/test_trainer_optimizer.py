import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer.config import SCHEDULES
from trainer.optimizer import learning_rate


def rates(schedule, warmup=0, steps=100, factor=1.0):
    return [
        learning_rate(schedule, 2.0, warmup, s, (s - 1) / steps, factor) for s in range(1, steps)
    ]


def test_each_schedule_of_the_learning_rate_has_its_shape():
    assert set(rates("constant")) == {2.0}
    cosine = rates("cosine")
    assert cosine[0] == 2.0
    assert cosine[50] == pytest.approx(1.0)
    assert cosine[-1] < 0.01
    assert set(rates("plateau", factor=0.25)) == {0.5}


def test_the_schedule_noam_is_that_of_the_paper():
    # d^-0.5 min(step^-0.5, step warmup^-1.5), scaled to a peak of 2.
    paper = [min(s**-0.5, s * 10**-1.5) for s in range(1, 100)]
    expected = [2.0 * value / max(paper) for value in paper]
    assert rates("noam", warmup=10) == pytest.approx(expected)


@given(st.sampled_from(SCHEDULES), st.integers(1, 50), st.integers(1, 1000), st.floats(0, 1))
def test_the_learning_rate_warms_up_to_the_peak_and_never_over_it(schedule, warmup, step, done):
    rate = learning_rate(schedule, 2.0, warmup, step, done, 1.0)
    assert 0 <= rate <= 2.0 * min(1.0, step / warmup) + 1e-9
