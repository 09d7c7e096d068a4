"""Mean and spread over seeds."""

import pytest

from adeada_jax.study.spread import deviation, mean, spread, summary


def test_the_deviation_is_that_of_a_sample():
    assert mean([1.0, 2.0, 6.0]) == 3.0
    assert deviation([1.0, 2.0, 6.0]) == pytest.approx(7.0**0.5)
    assert spread([1.0, 2.0, 6.0]) == "3.00 ± 2.65"


def test_what_is_missing_does_not_count():
    assert summary([None, 4.0, float("nan")]) == {"mean": 4.0, "deviation": None, "seeds": 1}
    assert summary([]) == {"mean": None, "deviation": None, "seeds": 0}
    assert (spread([4.0]), spread([]), spread([None])) == ("4.00", "-", "-")
