"""Task lists made on the device are the host's, array for array, and so is the fit."""

import jax
import numpy as np
import pytest

from adeada_jax.bench.mixtures.list_place import lists_made_on
from adeada_jax.mixtures import fit_mixtures
from adeada_jax.mixtures.device_lists import (
    DeviceListsEngine,
    capacities,
    listed_pairs,
    places_of,
)
from adeada_jax.mixtures.packing import Layout, make_shards, pair_tasks

SIZES, COMPONENTS = (900, 0, 300, 1), (3, 2, 4, 1)
COLUMNS, SLOTS, BIG = 5, 13, 256


def laid_out():
    """A shard of four mixtures, one of them without a row here, and its layout; slots beyond are empty."""
    layout = Layout(np.array(SIZES), np.array(COMPONENTS), 3, 4, COLUMNS, SLOTS, BIG)
    features = [np.zeros((size, 3), np.float32) for size in SIZES]
    (shard,) = make_shards(
        features,
        layout,
        np.zeros((4, 3)),
        np.float32,
        devices=jax.local_devices()[:1],
        capacity=1280,
        resident_bytes=1 << 40,
    )
    return shard, layout


def masks(capacity):
    """Of no pairs, of all, of few, and of blocks that are full, one short of full, or little more."""
    rng = np.random.default_rng(0)
    yield np.zeros((COLUMNS, capacity), bool)
    yield np.ones((COLUMNS, capacity), bool)
    for share in (0.01, 0.3, 0.9):
        yield rng.random((COLUMNS, capacity)) < share
    for count in (127, 128, 129, 255, 256, 257, 256 + 128, 256 + 129):
        mask = np.zeros((COLUMNS, capacity), bool)
        mask[1, rng.permutation(900)[:count]] = True
        yield mask


@pytest.mark.parametrize("number", range(13))
def test_lists_are_the_hosts(number):
    shard, layout = laid_out()
    mask = list(masks(shard.capacity))[number]
    most = capacities(shard, layout, 16)
    *found, counts = listed_pairs(mask, places_of(shard, layout), big=BIG, most=most)
    there = np.zeros_like(mask)
    for m, (low, high) in enumerate(zip(shard.starts, shard.starts[1:], strict=False)):
        there[: COMPONENTS[m], low:high] = True
    assert counts.sum() == (mask & there).sum()
    for ours, expected in zip(found, pair_tasks(mask, shard, layout), strict=True):
        used = int(ours.number)
        assert used == len(expected.rows) <= len(ours.rows)
        np.testing.assert_array_equal(ours.rows[:used], expected.rows)
        np.testing.assert_array_equal(ours.components[:used], expected.components)
        np.testing.assert_array_equal(ours.columns[:used], expected.columns)
        assert (np.asarray(ours.rows[used:]) == shard.capacity).all()
        assert len(ours.rows) % 16 == 0


@pytest.mark.slow
def test_a_fit_with_lists_of_the_device_is_the_same_fit(monkeypatch):
    rng = np.random.default_rng(1)
    features = [
        (rng.normal(size=(size, 64)) + 4 * rng.integers(0, 2, (size, 1))).astype(np.float32)
        for size in (900, 300)
    ]
    expected = fit_mixtures(features, [3, 2], max_iter=6)
    made = []
    start = DeviceListsEngine.start
    monkeypatch.setattr(DeviceListsEngine, "start", lambda self, r: (made.append(self), start(self, r))[1])
    with lists_made_on("device"):
        found = fit_mixtures(features, [3, 2], max_iter=6)
    assert made
    for ours, other in zip(found, expected, strict=True):
        assert ours.n_iter == other.n_iter
        np.testing.assert_array_equal(ours.means, other.means)
        np.testing.assert_array_equal(ours.log_densities, other.log_densities)
