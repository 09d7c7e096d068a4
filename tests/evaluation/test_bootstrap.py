"""Intervals of mIoU against a plain loop, their coverage, and what is advised of them."""

import numpy as np
import pytest

from adeada_jax.evaluation import bootstrap
from adeada_jax.evaluation.advice import advice, best_round


def counts(images, classes=4, seed=0, quality=0.7):
    rng = np.random.default_rng(seed)
    union = rng.integers(0, 200, (images, classes)) * (rng.random((images, classes)) < 0.8)
    intersection = rng.binomial(union, quality)
    return np.stack([intersection, union], axis=1)


def loop(by_image, draws, classes):
    """mIoU of each draw, one at a time."""
    found = []
    for chosen in draws:
        intersection, union = by_image[chosen].sum(axis=0)
        values = [intersection[c] / union[c] for c in classes if union[c]]
        found.append(100 * np.mean(values))
    return np.array(found)


@pytest.mark.parametrize("classes", [None, (0, 2)])
def test_bounds_are_those_of_a_plain_loop_over_draws(classes):
    by_image = counts(30)
    rng = np.random.default_rng(1)
    means = loop(by_image, rng.integers(0, 30, (10_000, 30)), classes or range(4))
    low, high = bootstrap.miou_interval(by_image, classes)
    (value,) = loop(by_image, [np.arange(30)], classes or range(4))
    reflected = 2 * value - np.percentile(means, [97.5, 2.5])
    assert [low, high] == pytest.approx(reflected, abs=0.05 * (high - low))
    assert bootstrap.miou_interval(by_image, classes) == (low, high)


def test_a_gain_is_taken_on_the_same_draws():
    before = counts(30, quality=0.6)
    wrong = before[:, 1] - before[:, 0]
    more = np.random.default_rng(3).binomial(wrong, 0.1)
    after = np.stack([before[:, 0] + more, before[:, 1]], axis=1)
    draws = np.random.default_rng(1).integers(0, 30, (10_000, 30))
    gains = loop(after, draws, range(4)) - loop(before, draws, range(4))
    low, high = bootstrap.gain_interval(before, after)
    (gain,) = loop(after, [np.arange(30)], range(4)) - loop(before, [np.arange(30)], range(4))
    assert [low, high] == pytest.approx(2 * gain - np.percentile(gains, [97.5, 2.5]), abs=0.05 * (high - low))
    assert high - low < 0.7 * np.subtract(*bootstrap.miou_interval(after)[::-1])
    with pytest.raises(ValueError, match="cannot be compared"):
        bootstrap.gain_interval(before, counts(29))


def test_the_truth_lies_within_nine_times_in_ten_at_least():
    population = counts(3000, seed=5)
    union = population.sum(axis=0)
    truth = 100 * np.mean(union[0] / union[1])
    rng = np.random.default_rng(2)
    inside = []
    for _ in range(40):
        low, high = bootstrap.miou_interval(population[rng.integers(0, 3000, 60)])
        inside.append(low <= truth <= high)
    assert np.mean(inside) >= 0.9


@pytest.mark.parametrize("by_image", [counts(1), np.zeros((5, 2, 3)), counts(0)])
def test_where_nothing_can_be_said_there_is_no_interval(by_image):
    assert bootstrap.miou_interval(by_image) is None


def test_small_samples_that_lack_rare_classes_are_low_and_the_interval_makes_up_for_it():
    """Ten classes, of which half are in one image of twenty: percentiles alone hold the truth too seldom."""
    rng = np.random.default_rng(0)
    rare = rng.random((5000, 10)) < np.where(np.arange(10) < 5, 1.0, 0.05)
    union = 100 * rare
    population = np.stack([rng.binomial(union, 0.7), union], axis=1)
    value = 100 * np.mean(population.sum(axis=0)[0] / population.sum(axis=0)[1])
    reflected = []
    for _ in range(40):
        sample = population[rng.integers(0, 5000, 80)]
        low, high = bootstrap.miou_interval(sample)
        reflected.append(low <= value <= high)
    assert np.mean(reflected) >= 0.85


def summary(*mious, width=2.0):
    entries = [{"round": i, "miou": miou, "miou_interval": miou and [miou - 1, miou + 1]}
               for i, miou in enumerate(mious)]  # fmt: skip
    for before, entry in zip(mious, entries[1:], strict=False):
        if before is not None and entry["miou"] is not None:
            gain = entry["miou"] - before
            entry["gain_interval"] = [gain - width / 2, gain + width / 2]
    return {"rounds": entries}


def test_the_best_round_is_named_and_stopping_is_advised_after_two_gains_that_may_be_chance():
    assert best_round(summary(10.0, 30.0, 29.0)) == 1
    lines = advice(summary(10.0, 30.0, 29.0))
    assert lines[0].startswith("best so far is round 1 with mIoU 30.00% (95% interval 29.00 to 31.00)")
    assert "--round=best" in lines[0]
    assert lines[1] == "round 2 gained -1.00 points (95% interval -2.00 to 0.00)"
    assert len(lines) == 2
    assert "consider stopping" in advice(summary(10.0, 30.0, 30.9, 31.8))[-1]
    assert "consider stopping" not in advice(summary(10.0, 30.0, 30.9, 32.0))[-1]
    assert "the warm-up" in advice(summary(10.0, 9.0))[0]
    assert advice(summary(None, None)) == advice(summary(10.0)) == []
    assert best_round(summary(None)) is None
