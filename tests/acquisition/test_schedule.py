"""Eq. 7 and Table 5's policies."""

import pytest

from adeada_jax.errors import InputError
from adeada_jax.method.schedule import SCHEDULES, density_share


@pytest.mark.parametrize(
    ("schedule", "alpha", "beta", "expected"),
    [
        ("half", 1.0, 1.0, [1, 0.5, 0.25, 0.125, 0.0625]),
        ("half", 0.5, 1.0, [0.5, 0.25, 0.125, 0.0625, 0.03125]),
        ("half", 1.0, 0.0, [1, 1, 1, 1, 1]),
        ("linear", 1.0, 1.0, [1, 0.8, 0.6, 0.4, 0.2]),
        ("even", 1.0, 1.0, [0.5] * 5),
        ("density", 0.3, 1.0, [1] * 5),
        ("uncertainty", 1.0, 1.0, [0] * 5),
    ],
)
def test_shares_of_five_rounds(schedule, alpha, beta, expected):
    shares = [density_share(schedule, k, alpha=alpha, beta=beta) for k in range(1, 6)]
    assert shares == pytest.approx(expected)


def test_linear_never_goes_below_zero():
    assert density_share("linear", 9, alpha=1, beta=1) == 0


def test_unknown_schedule_lists_the_known():
    with pytest.raises(InputError, match=r"unknown 'cosine'.*half") as error:
        density_share("cosine", 1, alpha=1, beta=1)
    assert all(name in str(error.value) for name in SCHEDULES)
