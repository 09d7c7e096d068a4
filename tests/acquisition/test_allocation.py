"""Eq. 6's budgets and buying within them."""

import numpy as np
import pytest

from adeada_jax.method.budgets import buy_by_class, class_budgets, class_weights


def test_weights_follow_log10_of_kl_with_a_floor():
    kl = np.array([1000.0, -100.0, 1.0, 0.5, 0.0, np.nan])
    weights = class_weights(kl)
    np.testing.assert_allclose(weights, np.array([3, 2, 1, 1, 1, 0]) / 8)


def test_equal_weights_without_class_balance():
    weights = class_weights(np.array([1e6, 2.0, np.nan]), class_balance=False)
    np.testing.assert_allclose(weights, [0.5, 0.5, 0.0])


def test_no_density_at_all_gives_no_weight():
    np.testing.assert_array_equal(class_weights(np.full(3, np.nan)), np.zeros(3))


def test_budgets_are_whole_pixels_and_never_more_than_the_whole():
    weights = class_weights(np.array([1e3, 1e4, 1e5]))
    budgets = class_budgets(weights, 1000)
    np.testing.assert_array_equal(budgets, [250, 333, 416])


def test_a_class_stops_at_the_first_region_it_cannot_pay():
    pixels = np.array([60, 50, 10])
    bought = buy_by_class([np.array([0, 1, 2])], pixels, np.array([100]), 100)
    # 60, then 50 is too dear; the leftover of 40 does not jump ahead to the region of 10.
    assert bought == [0]


def test_leftovers_are_handed_on_to_other_classes():
    pixels = np.array([10, 10, 10, 10, 10])
    orders = [np.array([0]), np.array([1, 2, 3, 4])]
    # Class 0 has budget for three regions but only one region: class 1 gets the rest.
    assert buy_by_class(orders, pixels, np.array([30, 20]), 50) == [0, 1, 2, 3, 4]


def test_classes_without_a_budget_receive_nothing():
    orders = [np.array([0]), np.array([1])]
    assert buy_by_class(orders, np.array([5, 5]), np.array([5, 0]), 10) == [0]


@pytest.mark.parametrize("seed", range(20))
def test_random_markets_never_overspend_or_buy_twice(seed):
    rng = np.random.default_rng(seed)
    pixels = rng.integers(1, 200, 60)
    orders = np.array_split(rng.permutation(60), 7)
    budget = int(rng.integers(1, 5000))
    budgets = class_budgets(class_weights(10.0 ** rng.uniform(-1, 5, 7)), budget)
    bought = buy_by_class(orders, pixels, budgets, budget)
    assert pixels[bought].sum() <= budget
    assert len(set(bought)) == len(bought)
    if pixels.sum() <= budget:
        assert sorted(bought) == list(range(60))
