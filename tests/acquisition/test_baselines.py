"""The baselines (supplement B) against plain NumPy written from their definitions."""

from dataclasses import replace

import numpy as np
import pytest

from adeada_jax.method.regions import Regions
from adeada_jax.method.strategies.aada import Aada
from adeada_jax.method.strategies.badge import Badge
from adeada_jax.method.strategies.clue import Clue, affordable_clusters, turns
from adeada_jax.method.strategies.confidence import Confidence
from adeada_jax.method.strategies.margin import Margin
from adeada_jax.method.strategies.redal import Redal
from adeada_jax.method.strategy import Request

N, CLASSES, DIM, KINDS = 60, 5, 6, 4


@pytest.fixture(name="regions")
def make_regions():
    """Regions of four kinds far apart in feature space, so that k-means has one answer."""
    rng = np.random.default_rng(3)
    kinds = rng.permutation(np.arange(N) % KINDS)
    features = np.eye(KINDS, DIM)[kinds] * 20 + rng.normal(size=(N, DIM))
    table = Regions.unbought(
        names=("b", "a"), image=np.repeat([0, 1], N // 2).astype(np.int32),
        region=np.tile(np.arange(N // 2), 2).astype(np.int32), pixels=rng.integers(5, 15, N),
        features=features.astype(np.float32),
        probabilities=rng.dirichlet(np.ones(CLASSES), N).astype(np.float32), entropy=rng.random(N) + 0.1,
        margin=rng.random(N), confidence=rng.random(N), edges=rng.random(N),
        target_probability=rng.uniform(0.05, 0.95, N),
    )  # fmt: skip
    return replace(table, bought=np.where(np.arange(N) % 5 > 0, 0, 1))


def kinds_of(regions):
    return regions["features"].argmax(axis=1)


def chosen(strategy, regions, budget, round=1, seed=7):
    return [pick.index for pick in strategy.select(regions, Request(round, budget, seed)).picks]


def greedy(order, pixels, budget):
    """Buys down a ranking whatever still fits."""
    taken = []
    for index in order:
        if pixels[index] <= budget:
            taken.append(int(index))
            budget -= pixels[index]
    return taken


def down(score, regions, budget):
    """Greedy purchases of the available regions by descending score (which has no ties)."""
    available = np.flatnonzero(regions.available)
    return greedy(available[np.argsort(-score[available])], regions.pixels, budget)


@pytest.mark.parametrize(("strategy", "field"), [(Margin(), "margin"), (Confidence(), "confidence")])
def test_margin_and_confidence_buy_the_smallest_first(regions, strategy, field):
    assert chosen(strategy, regions, 130) == down(-regions[field], regions, 130)


def test_aada_weighs_entropy_by_the_odds_of_being_target(regions):
    d = regions["target_probability"]
    score = d / (1 - d) * regions["entropy"]
    assert chosen(Aada(), regions, 130) == down(score, regions, 130)
    (first, *_) = Aada().select(regions, Request(1, 130, 7)).picks
    assert first.score == pytest.approx(score[regions.available].max())


def test_aada_survives_a_certain_discriminator(regions):
    sure = regions.with_columns(target_probability=np.ones(N))
    picks = Aada().select(sure, Request(1, 130, 7)).picks
    assert np.isfinite([pick.score for pick in picks]).all()
    assert [p.index for p in picks] == down(regions["entropy"], regions, 130)


def badge_by_outer_products(regions, budget, round, seed):
    """K-means++ over the embeddings themselves; regions by image name, then id, as the draws see them."""
    names = [regions.names[i] for i in regions.image]
    rows = sorted(np.flatnonzero(regions.available), key=lambda i: (names[i], regions.region[i]))
    p = regions["probabilities"][rows]
    residual = p - np.eye(CLASSES)[p.argmax(axis=1)]
    embedding = (residual[:, :, None] * regions["features"][rows][:, None, :]).reshape(len(rows), -1)
    generator = np.random.default_rng([seed, round])
    taken = []
    while True:
        affordable = [i for i in range(len(rows)) if i not in taken and regions.pixels[rows[i]] <= budget]
        if not affordable:
            return [int(rows[i]) for i in taken]
        if taken:
            away = np.array([min(((e - embedding[t]) ** 2).sum() for t in taken) for e in embedding])
            mass = np.where(np.isin(np.arange(len(rows)), affordable), away, 0)
            index = int(np.searchsorted(mass.cumsum(), generator.random() * mass.sum(), side="right"))
        else:
            index = max(affordable, key=lambda i: (embedding[i] ** 2).sum())
        taken.append(index)
        budget -= regions.pixels[rows[index]]


@pytest.mark.parametrize("budget", [14, 130, 10_000])
def test_badge_draws_as_from_the_outer_products(regions, budget):
    expected = badge_by_outer_products(regions, budget, round=2, seed=7)
    assert chosen(Badge(), regions, budget, round=2) == expected


def test_badge_goes_on_by_rule_where_all_embeddings_are_alike(regions):
    alike = replace(regions, pixels=np.full(N, 10)).with_columns(
        probabilities=np.full((N, CLASSES), 1 / CLASSES, np.float32), features=np.ones((N, DIM), np.float32)
    )
    available = [i for i in (*range(N // 2, N), *range(N // 2)) if alike.available[i]]
    assert chosen(Badge(), alike, 55) == available[:5]


@pytest.mark.parametrize("decay", [0.95, 0.5])
def test_redal_decays_scores_within_clusters(regions, decay):
    plain = regions["entropy"] + 0.05 * regions["edges"]
    kinds, seen, score = kinds_of(regions), [0] * KINDS, np.full(N, -np.inf)
    for index in np.argsort(-plain):
        if regions.available[index]:
            score[index] = plain[index] * decay ** seen[kinds[index]]
            seen[kinds[index]] += 1
    expected = down(score, regions, 200)
    picks = Redal(clusters=KINDS, decay=decay).select(regions, Request(1, 200, 7)).picks
    assert [pick.index for pick in picks] == expected
    np.testing.assert_allclose([pick.score for pick in picks], score[expected])
    assert expected != down(plain, regions, 200)


def test_clue_takes_the_region_nearest_to_each_weighted_centre(regions):
    equal = replace(regions, pixels=np.full(N, 10))
    kinds, weights = kinds_of(regions), regions["entropy"]
    nearest, mass = {}, {}
    for kind in range(KINDS):
        members = np.flatnonzero((kinds == kind) & regions.available)
        centre = np.average(regions["features"][members], axis=0, weights=weights[members])
        away = np.linalg.norm(regions["features"][members] - centre, axis=1)
        nearest[kind] = members[np.argsort(away)]
        mass[kind] = weights[members].sum()
    heaviest = sorted(mass, key=lambda kind: -mass[kind])
    # Four regions can be bought, so there are four clusters: one region of each kind.
    assert chosen(Clue(), equal, 40) == [nearest[kind][0] for kind in heaviest]
    # Nine pixels more are not enough for another one.
    assert chosen(Clue(), equal, 49) == chosen(Clue(), equal, 40)


def test_clue_makes_fewer_clusters_where_a_region_of_each_would_cost_more_than_the_budget(regions):
    # The mean price says eight regions, but those nearest to the centres are dear: a dear one lies amid six
    # cheap ones.
    centres = np.repeat(np.eye(8) * 50, 7, axis=0)
    amid = np.tile(np.arange(7), 8) == 0
    away = np.where(amid[:, None], 0.0, np.tile(np.eye(7, 8) - 1 / 7, (8, 1)))
    dear = Regions.unbought(
        regions.names, image=np.zeros(56, np.int32), region=np.arange(56, dtype=np.int32),
        pixels=np.where(amid, 40, 10), entropy=np.ones(56), features=(centres + away).astype(np.float32),
    )  # fmt: skip
    mean_price = dear.pixels.mean()
    bought = chosen(Clue(), dear, int(8 * mean_price) + 1)
    number, found = affordable_clusters(
        dear["features"], dear["entropy"], dear.pixels, budget=int(8 * mean_price) + 1, seed=(7, 1)
    )
    assert 1 < number < 8
    first = np.flatnonzero(turns(found.labels, found.distances) == 0)
    assert set(first) <= set(bought)
    assert len(np.unique(found.labels[bought])) == number


def test_clue_goes_round_the_clusters_again_while_the_budget_lasts(regions):
    # The mean price says four, but the regions nearest to the centres are cheap.
    kinds = kinds_of(regions)
    pixels = np.where(kinds == 0, 40, 10)
    bought = chosen(Clue(), replace(regions, pixels=pixels, bought=np.where(kinds > 0, 0, 1)), 95)
    assert len(bought) == 9
    assert len(set(bought)) == 9


@pytest.mark.parametrize("strategy", [Badge(), Redal(), Clue()])
def test_the_same_seed_gives_the_same_picks(regions, strategy):
    assert chosen(strategy, regions, 130) == chosen(strategy, regions, 130)
