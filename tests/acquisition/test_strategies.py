"""The strategies against what the paper says they pick."""

from dataclasses import replace

import numpy as np
import pytest

from adeada_jax.errors import InputError
from adeada_jax.method.ingredients.density_difference import divergence
from adeada_jax.method.regions import Regions
from adeada_jax.method.strategies.registry import STRATEGIES, create_strategy
from adeada_jax.method.strategy import Request

OPTIONS = {"alpha": 1.0, "beta": 1.0, "schedule": "half", "class_balance": True}


def make_regions(n=40, classes=3, seed=0):
    rng = np.random.default_rng(seed)
    probabilities = rng.dirichlet(np.ones(classes), n)
    importance = rng.normal(size=n) * 100
    return Regions.unbought(
        names=("b", "a"), image=np.repeat([0, 1], n // 2).astype(np.int32),
        region=np.tile(np.arange(n // 2), 2).astype(np.int32), pixels=rng.integers(5, 15, n),
        features=rng.normal(size=(n, 4)), probabilities=probabilities,
        entropy=rng.random(n), margin=rng.random(n), confidence=rng.random(n),
        density=importance, edges=rng.random(n), target_probability=rng.random(n),
        predicted_shares=probabilities, second_best=rng.random(n),
    )  # fmt: skip


@pytest.mark.parametrize("name", STRATEGIES)
@pytest.mark.parametrize("budget", [0, 4, 57, 200, 10_000])
def test_budget_is_kept_and_nothing_is_bought_twice(name, budget):
    regions = make_regions()
    available = np.arange(40) % 3 > 0
    picks = create_strategy(name, OPTIONS).select(
        replace(regions, bought=np.where(available, 0, 1)), Request(round=2, budget=budget, seed=0)
    ).picks  # fmt: skip
    chosen = [pick.index for pick in picks]
    assert regions.pixels[chosen].sum() <= budget
    assert len(set(chosen)) == len(chosen)
    assert available[chosen].all()
    if budget == 10_000:
        assert sorted(chosen) == np.flatnonzero(available).tolist()


def test_entropy_takes_the_most_uncertain_first():
    regions = make_regions()
    picks = create_strategy("entropy", OPTIONS).select(regions, Request(1, 50, 0)).picks
    order = np.argsort(-regions["entropy"])
    first = [pick.index for pick in picks][:3]
    assert first == order[:3].tolist()
    assert picks[0].score == regions["entropy"].max()
    assert {pick.method for pick in picks} == {"entropy"}


def test_ties_break_by_image_name_then_region():
    regions = replace(make_regions(), pixels=np.ones(40, int)).with_columns(entropy=np.ones(40))
    picks = create_strategy("entropy", OPTIONS).select(regions, Request(1, 3, 0)).picks
    # Image index 1 is named 'a' and so comes before index 0, named 'b'.
    assert [pick.index for pick in picks] == [20, 21, 22]


def test_random_depends_on_seed_and_round_alone():
    strategy = create_strategy("random", OPTIONS)

    def chosen(round, seed):
        picks = strategy.select(make_regions(), Request(round, 60, seed)).picks
        return [pick.index for pick in picks]

    assert chosen(1, 0) == chosen(1, 0)
    assert chosen(1, 0) != chosen(2, 0)
    assert chosen(1, 0) != chosen(1, 1)


def test_adeada_spends_the_first_round_on_density_by_class():
    regions = make_regions()
    selection = create_strategy("adeada", OPTIONS).select(regions, Request(1, 120, 0))
    dense = [pick for pick in selection.picks if pick.method == "density"]
    for c in range(3):
        members = np.flatnonzero(regions.classes == c)
        best = members[np.argsort(-regions["density"][members])]
        bought = [pick.index for pick in dense if regions.classes[pick.index] == c]
        assert bought == best[: len(bought)].tolist()
    sigma = np.maximum(np.log10(np.abs(divergence(regions["density"], regions.classes, 3))), 1.0)
    np.testing.assert_array_equal(selection.class_budgets, np.floor(120 * sigma / sigma.sum()))


def test_adeada_halves_the_density_share_each_round():
    strategy = create_strategy("adeada", OPTIONS)
    regions = make_regions()
    for round, share in [(1, 1.0), (2, 0.5), (3, 0.25)]:
        picks = strategy.select(regions, Request(round, 200, 0)).picks
        spent = sum(regions.pixels[p.index] for p in picks if p.method == "density")
        assert share * 200 - 15 < spent <= share * 200


def test_adeada_gives_classes_without_a_density_to_uncertainty():
    regions = make_regions()
    picks = create_strategy("adeada", OPTIONS).select(
        regions.with_columns(density=np.full(40, np.nan)), Request(1, 100, 0)
    ).picks  # fmt: skip
    assert {pick.method for pick in picks} == {"entropy"}
    assert sum(regions.pixels[p.index] for p in picks) > 85


def test_unknown_strategy_lists_the_known():
    with pytest.raises(
        InputError,
        match=r"'magic'; known: adeada, random, margin, .*, aada, clue",
    ):
        create_strategy("magic", OPTIONS)


SHARES = {"kl_random": "kl", "equal_random": "equal", "rare": "rarity", "rare_density": "rarity"}


@pytest.mark.parametrize("name", SHARES)
def test_classes_get_their_shares_of_the_budget(name):
    regions = replace(make_regions(3000), pixels=np.ones(3000, int))
    sizes = np.bincount(regions.classes)
    kl = divergence(regions["density"], regions.classes, 3)
    expected = {"kl": np.maximum(np.log10(np.abs(kl)), 1), "equal": np.ones(3), "rarity": 1 / sizes}
    shares = expected[SHARES[name]] / expected[SHARES[name]].sum()
    selection = create_strategy(name, OPTIONS).select(regions, Request(1, 300, 0))
    bought = np.bincount(regions.classes[[pick.index for pick in selection.picks]], minlength=3)
    np.testing.assert_allclose(bought, 300 * shares, atol=3)
    np.testing.assert_array_equal(selection.class_budgets, np.floor(300 * shares))


def test_within_a_class_pi_decides_or_chance():
    regions = replace(make_regions(3000), pixels=np.ones(3000, int))
    dense = create_strategy("rare_density", OPTIONS).select(regions, Request(1, 300, 0)).picks
    for c in range(3):
        own = np.flatnonzero(regions.classes == c)
        bought = [
            pick.index for pick in dense if regions.classes[pick.index] == c and pick.method != "random"
        ]
        best = own[np.argsort(-regions["density"][own])][: len(bought)]
        assert set(bought) == set(best)
    drawn = [
        create_strategy("rare", OPTIONS).select(regions, Request(k, 300, seed)).picks
        for k, seed in ((1, 0), (1, 0), (2, 0), (1, 1))
    ]
    chosen = [[pick.index for pick in picks] for picks in drawn]
    assert chosen[0] == chosen[1]
    assert len({tuple(one) for one in chosen}) == 3
    mean = regions["density"][chosen[0]].mean()
    assert abs(mean - regions["density"].mean()) < 20  # the spread of a mean of 300 is 6


def test_only_what_is_looked_at_is_needed():
    needs = {name: "density" in create_strategy(name, OPTIONS).needs for name in SHARES}
    assert needs == {"kl_random": True, "equal_random": False, "rare": False, "rare_density": True}
