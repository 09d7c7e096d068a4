"""The economies of EM with full covariances: that they are made, and that they change nothing."""

import jax
import numpy as np
import pytest

from adeada_jax.bench.mixtures.problem import cluster_all
from adeada_jax.mixtures.engines import Options, make_engine, plan_groups
from adeada_jax.mixtures.packing import mean

DIM = 80


def samples(seed: int, size: int, modes: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    centres = rng.gamma(0.7, 1.0, (modes, DIM))
    latent = rng.normal(size=(size, 5)) @ rng.normal(size=(5, DIM)) * 0.2
    raw = centres[rng.integers(modes, size=size)] + latent + 0.1 * rng.normal(size=(size, DIM))
    return np.maximum(raw, 0).astype(np.float32)


def started(sets, numbers, *, every_pair=False, side_by_side=None, softness=0.0):
    """An engine after its start, and the order of the mixtures in it."""
    options = Options()
    with jax.enable_x64(True):
        (group,) = plan_groups([len(s) for s in sets], numbers, DIM, np.float32, options)
        members = [sets[i] for i in group.members]
        centres = np.stack([mean(m) for m in members])
        engine = make_engine(group, members, centres, options, every_pair=every_pair)
        if side_by_side:
            engine.width = side_by_side
        components = [numbers[i] for i in group.members]
        labels = cluster_all(members, components, seed=2)
        hard = [np.eye(k)[found] for k, found in zip(components, labels, strict=True)]
        engine.start([(1 - softness) * one + softness / one.shape[1] for one in hard])
    return engine


def iterate(engine, steps: int):
    """Lower bounds (steps, M), and FLOPs of each step."""
    bounds, flops = [], []
    with jax.enable_x64(True):
        for _ in range(steps):
            before = engine.work.flops
            bounds.append(engine.step(np.ones(len(engine.layout.sizes), bool)))
            flops.append(engine.work.flops - before)
    return np.array(bounds), np.array(flops)


@pytest.fixture(scope="module")
def sets():
    return [samples(1, 900, 5), samples(2, 200, 2), samples(3, 30, 1)]


def test_leaving_pairs_out_changes_nothing(sets):
    pruned, few = iterate(started(sets, [4, 2, 1]), 6)
    whole, all_ = iterate(started(sets, [4, 2, 1], every_pair=True), 6)
    np.testing.assert_allclose(pruned, whole, rtol=2e-6)
    assert few.sum() < 0.8 * all_.sum()


def test_tasks_side_by_side_change_nothing(sets):
    one, _ = iterate(started(sets, [4, 2, 1]), 4)
    many, _ = iterate(started(sets, [4, 2, 1], side_by_side=4), 4)
    np.testing.assert_allclose(one, many, rtol=1e-6)


def test_converged_mixtures_cost_nothing():
    far = np.concatenate([samples(4, 150, 1), samples(4, 150, 1) + 50])
    engine = started([far], [2])
    bounds, flops = iterate(engine, 12)
    assert flops[0] > 0
    assert flops[-1] == 0
    assert bounds[-1] == bounds[-2]


def test_mixtures_that_are_not_followed_stay_as_they_are(sets):
    engine = started(sets, [4, 2, 1], softness=0.1)
    before = [np.array(part) for part in engine.parts]
    with jax.enable_x64(True):
        following = engine.layout.sizes == 200
        engine.step(following)
    mine = engine.mixture_of == np.flatnonzero(following)[0]
    for old, new in zip(before[:4], engine.parts, strict=False):
        np.testing.assert_array_equal(np.asarray(new)[~mine], old[~mine])
    assert not np.array_equal(np.asarray(engine.parts.means)[mine], before[0][mine])


def test_padding_is_counted(sets):
    engine = started(sets, [4, 2, 1])
    iterate(engine, 2)
    assert 0 < engine.work.padded < 0.5 * engine.work.flops


def test_side_by_side_every_sample_is_counted_once():
    """Twenty lists' worth of blocks, sixteen side by side: the last slice is as whole as the first."""
    (rows,), number = [samples(4, 10_000, 3)], 3
    engine = started([rows], [number], side_by_side=16)
    assert engine.shards[0].capacity // engine.layout.big_block % 16
    (labels,) = cluster_all([rows], [number], seed=2)
    counts = np.asarray(engine._moments_on(engine.device).counts)[:number]
    np.testing.assert_allclose(counts, np.bincount(labels))
    np.testing.assert_allclose(iterate(engine, 2)[0], iterate(started([rows], [number]), 2)[0], rtol=1e-9)


def test_a_list_that_is_no_multiple_of_the_width_is_refused():
    engine = started([samples(1, 900, 5)], [4])
    engine.width = 16
    engine._capacity = lambda shard, size: 20
    with jax.enable_x64(True), pytest.raises(ValueError, match="20 entries are no multiple of the 16"):
        engine.step(np.ones(1, bool))
