import math

import pytest

from adeada_jax.data.workers import ordered_map


def test_processes_keep_the_order():
    items = [float(i) for i in range(200)]
    assert list(ordered_map(math.sqrt, items)) == [math.sqrt(i) for i in items]


def test_errors_of_processes_arrive_here():
    with pytest.raises(ValueError, match=r"math domain error|nonnegative"):
        list(ordered_map(math.sqrt, [1.0] * 40 + [-1.0]))


def test_short_lists_need_no_processes():
    # A lambda cannot be sent to another process.
    assert list(ordered_map(lambda i: i + 1, range(3))) == [1, 2, 3]
