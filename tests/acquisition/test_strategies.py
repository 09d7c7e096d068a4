"""The strategies against what the paper says they pick."""

from dataclasses import replace

import numpy as np
import pytest

from adeada_jax.errors import InputError
from adeada_jax.method.density import DensityDifference
from adeada_jax.method.strategies.registry import STRATEGIES, create_strategy
from adeada_jax.method.strategy import Candidates, Request

OPTIONS = {"alpha": 1.0, "beta": 1.0, "schedule": "half", "class_balance": True}


def make_candidates(n=40, classes=3, seed=0):
    rng = np.random.default_rng(seed)
    probabilities = rng.dirichlet(np.ones(classes), n)
    importance = rng.normal(size=n) * 100
    predicted = probabilities.argmax(axis=1)
    kl = np.array([importance[predicted == c].mean() for c in range(classes)])
    return Candidates(
        image_names=("b", "a"), image=np.repeat([0, 1], n // 2).astype(np.int32),
        region=np.tile(np.arange(n // 2), 2).astype(np.int32), pixels=rng.integers(5, 15, n),
        available=np.ones(n, bool), features=rng.normal(size=(n, 4)), probabilities=probabilities,
        entropy=rng.random(n), margin=rng.random(n), confidence=rng.random(n),
        density=DensityDifference(importance, kl, []), edges=rng.random(n), target_probability=rng.random(n),
    )  # fmt: skip


@pytest.mark.parametrize("name", STRATEGIES)
@pytest.mark.parametrize("budget", [0, 4, 57, 200, 10_000])
def test_budget_is_kept_and_nothing_is_bought_twice(name, budget):
    candidates = make_candidates()
    available = np.arange(40) % 3 > 0
    picks = create_strategy(name, OPTIONS).select(
        replace(candidates, available=available), Request(round=2, budget=budget, seed=0)
    ).picks  # fmt: skip
    chosen = [pick.index for pick in picks]
    assert candidates.pixels[chosen].sum() <= budget
    assert len(set(chosen)) == len(chosen)
    assert available[chosen].all()
    if budget == 10_000:
        assert sorted(chosen) == np.flatnonzero(available).tolist()


def test_entropy_takes_the_most_uncertain_first():
    candidates = make_candidates()
    picks = create_strategy("entropy", OPTIONS).select(candidates, Request(1, 50, 0)).picks
    order = np.argsort(-candidates.entropy)
    first = [pick.index for pick in picks][:3]
    assert first == order[:3].tolist()
    assert picks[0].score == candidates.entropy.max()
    assert {pick.method for pick in picks} == {"entropy"}


def test_ties_break_by_image_name_then_region():
    candidates = replace(make_candidates(), entropy=np.ones(40), pixels=np.ones(40, int))
    picks = create_strategy("entropy", OPTIONS).select(candidates, Request(1, 3, 0)).picks
    # Image index 1 is named 'a' and so comes before index 0, named 'b'.
    assert [pick.index for pick in picks] == [20, 21, 22]


def test_random_depends_on_seed_and_round_alone():
    strategy = create_strategy("random", OPTIONS)

    def chosen(round, seed):
        picks = strategy.select(make_candidates(), Request(round, 60, seed)).picks
        return [pick.index for pick in picks]

    assert chosen(1, 0) == chosen(1, 0)
    assert chosen(1, 0) != chosen(2, 0)
    assert chosen(1, 0) != chosen(1, 1)


def test_adeada_spends_the_first_round_on_density_by_class():
    candidates = make_candidates()
    selection = create_strategy("adeada", OPTIONS).select(candidates, Request(1, 120, 0))
    dense = [pick for pick in selection.picks if pick.method == "density"]
    for c in range(3):
        members = np.flatnonzero(candidates.classes == c)
        best = members[np.argsort(-candidates.density.importance[members])]
        bought = [pick.index for pick in dense if candidates.classes[pick.index] == c]
        assert bought == best[: len(bought)].tolist()
    sigma = np.maximum(np.log10(np.abs(candidates.density.kl)), 1.0)
    np.testing.assert_array_equal(selection.class_budgets, np.floor(120 * sigma / sigma.sum()))


def test_adeada_halves_the_density_share_each_round():
    strategy = create_strategy("adeada", OPTIONS)
    candidates = make_candidates()
    for round, share in [(1, 1.0), (2, 0.5), (3, 0.25)]:
        picks = strategy.select(candidates, Request(round, 200, 0)).picks
        spent = sum(candidates.pixels[p.index] for p in picks if p.method == "density")
        assert share * 200 - 15 < spent <= share * 200


def test_adeada_gives_classes_without_a_density_to_uncertainty():
    candidates = make_candidates()
    nothing = DensityDifference(np.full(40, np.nan), np.full(3, np.nan), [])
    picks = create_strategy("adeada", OPTIONS).select(
        replace(candidates, density=nothing), Request(1, 100, 0)
    ).picks  # fmt: skip
    assert {pick.method for pick in picks} == {"entropy"}
    assert sum(candidates.pixels[p.index] for p in picks) > 85


def test_unknown_strategy_lists_the_known():
    with pytest.raises(
        InputError,
        match=r"'magic'; known: adeada, random, margin, .*, aada, clue",
    ):
        create_strategy("magic", OPTIONS)
