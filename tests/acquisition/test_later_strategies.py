"""Strategies of after the paper, and shares by class, against plain NumPy written from their definitions."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import entropy as entropy_of

from adeada_jax.method.regions import Regions
from adeada_jax.method.strategies.registry import create_strategy
from adeada_jax.method.strategy import Request

N, CLASSES, IMAGES = 120, 4, 6
ONE_SCORE = ("random", "margin", "confidence", "entropy", "aada", "ripu")


@pytest.fixture(name="regions")
def make_regions():
    """Six images of twenty regions, a fifth of them bought; class 0 has half of the regions."""
    rng = np.random.default_rng(5)
    probabilities = rng.dirichlet(np.ones(CLASSES), N) + np.eye(CLASSES)[rng.choice([0, 0, 1, 2, 3], N)]
    shares = rng.dirichlet(np.full(CLASSES, 0.3), N)
    shares[:10] = np.eye(CLASSES)[1]  # of one class alone
    table = Regions.unbought(
        names=tuple("fedcba"),
        image=np.repeat(np.arange(IMAGES, dtype=np.int32), N // IMAGES),
        region=np.tile(np.arange(N // IMAGES, dtype=np.int32), IMAGES),
        pixels=rng.integers(5, 15, N),
        probabilities=probabilities / 2,
        predicted_shares=shares.astype(np.float32),
        **{name: rng.random(N) for name in ("entropy", "second_best", "margin", "confidence", "density")},
        target_probability=rng.uniform(0.1, 0.9, N),
    )
    return replace(table, bought=np.where(np.arange(N) % 5 > 0, 0, 1))


def picked(name, regions, budget, **options):
    strategy = create_strategy(name, options)
    return strategy.select(regions, Request(round=2, budget=budget, seed=7)).picks


def down(score, regions, budget):
    """Down a score that has no ties whatever still fits, of what is available."""
    taken = []
    for index in np.argsort(-score):
        if regions.bought[index] == 0 and regions.pixels[index] <= budget:
            taken.append(int(index))
            budget -= regions.pixels[index]
    return taken


def test_ripu_multiplies_the_entropy_of_the_predicted_classes_with_that_of_the_pixels(regions):
    score = entropy_of(regions["predicted_shares"], axis=1) * regions["entropy"]
    picks = picked("ripu", regions, 200)
    assert [pick.index for pick in picks] == down(score, regions, 200)
    assert [pick.score for pick in picks] == pytest.approx(score[[pick.index for pick in picks]])
    pure = [pick.score for pick in picked("ripu", regions, 10_000) if pick.index < 10]
    assert pure == [0.0] * len(pure)


def test_bvsb_weighs_close_calls_by_the_rarity_of_their_class(regions):
    ratio, classes = regions["second_best"], regions["probabilities"].argmax(axis=1)
    share = np.array([(classes == c).mean() for c in classes])
    score = (ratio - ratio.min()) * np.exp(-share)
    picks = picked("bvsb", regions, 200)
    assert [pick.index for pick in picks] == down(score, regions, 200)
    assert [pick.score for pick in picks] == pytest.approx(score[[pick.index for pick in picks]])
    assert [pick.index for pick in picks] != down(ratio, regions, 200)


def test_images_of_high_entropy_are_bought_whole_one_after_the_other(regions):
    of_images = [
        np.average(regions["entropy"][regions.image == i], weights=regions.pixels[regions.image == i])
        for i in range(IMAGES)
    ]
    order = np.argsort(of_images)[::-1]
    free = [np.flatnonzero((regions.image == i) & regions.available) for i in order]
    budget = int(regions.pixels[np.concatenate(free[:2])].sum()) + 40  # and a few of the third
    chosen = [pick.index for pick in picked("image_entropy", regions, budget)]
    whole = np.concatenate(free[:2]).tolist()
    assert chosen[: len(whole)] == whole
    rest, left = [], 40
    for index in np.concatenate(free[2:]):
        if regions.pixels[index] <= left:
            rest.append(index)
            left -= regions.pixels[index]
    assert chosen[len(whole) :] == rest


@pytest.mark.parametrize("name", ONE_SCORE)
@pytest.mark.parametrize("share", ["equal", "rarity", "proportional", "kl"])
def test_a_score_can_buy_within_shares_of_the_classes(regions, name, share):
    regions = replace(regions, pixels=np.full(N, 2))
    classes, budget = regions.classes, 60
    kl = np.array([regions["density"][classes == c].mean() for c in range(CLASSES)])
    weights = {
        "equal": np.ones(CLASSES),
        "rarity": 1 / np.bincount(classes),
        "proportional": np.bincount(classes),
        "kl": np.maximum(np.log10(np.abs(kl)), 1),
    }[share]
    expected = np.floor(budget * weights / weights.sum()) // 2
    plain = [pick.index for pick in picked(name, regions, 10_000)]  # all, best first
    picks = picked(name, regions, budget, class_shares=share)
    assert len(picks) == 30
    assert {pick.method for pick in picks} == {name}
    for c in range(CLASSES):
        own = [index for index in plain if classes[index] == c]
        bought = [pick.index for pick in picks if classes[pick.index] == c]
        # What rounding leaves goes round the classes.
        assert min(expected[c], len(own)) <= len(bought) <= expected[c] + CLASSES
        assert sorted(bought) == sorted(own[: len(bought)])
    assert ("density" in create_strategy(name, {"class_shares": share}).needs) == (share == "kl")


@pytest.mark.parametrize("name", [*ONE_SCORE, "bvsb", "image_entropy"])
def test_without_shares_there_is_one_ranking(regions, name):
    assert picked(name, regions, 200, class_shares="none") == picked(name, regions, 200)
