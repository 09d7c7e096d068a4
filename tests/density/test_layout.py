"""Blocks and tasks cover what they should, once."""

import jax
import numpy as np
import pytest

from adeada_jax.mixtures import packing as lay


def small_layout(sizes=(300, 5, 700), components=(3, 1, 2)):
    features = [np.full((n, 4), i, np.float32) for i, n in enumerate(sizes)]
    made = lay.make_layout(sizes, components, 4, max(components), sum(components))
    shards = lay.make_shards(
        features,
        made,
        np.zeros((len(sizes), 4)),
        np.float32,
        devices=jax.local_devices()[:1],
        capacity=256,
        resident_bytes=1 << 30,
    )
    return made, shards[0]


@pytest.mark.parametrize("least", [1, 4, 256])
def test_bucket_holds_with_little_waste(least):
    for size in range(1, 3000, 7):
        held = lay.bucket(size, least)
        assert held >= size
        assert held <= max(least, 1.27 * size + 1)


def test_few_buckets():
    assert len({lay.bucket(n, 256) for n in range(256, 32769)}) <= 29


def test_row_blocks_cover_chosen_mixtures_once():
    _, shard = small_layout()
    covered = np.zeros(shard.capacity, int)
    for size, blocks in zip(
        (512, 128), lay.row_blocks(shard, np.array([True, False, True]), 512), strict=True
    ):
        for start, low, high, _ in blocks:
            assert 0 <= start <= low < high <= start + size <= shard.capacity
            covered[low:high] += 1
    np.testing.assert_array_equal(covered[:300], 1)
    np.testing.assert_array_equal(covered[300:305], 0)
    np.testing.assert_array_equal(covered[305:1005], 1)


def test_tasks_list_every_chosen_pair_once():
    made, shard = small_layout()
    owner = shard.row_mixture()
    widths = np.append(made.components, 0)[owner]
    chosen = np.random.default_rng(0).random((made.columns, shard.capacity)) < 0.6
    chosen &= np.arange(made.columns)[:, None] < widths
    seen = np.zeros(chosen.shape, int)
    for tasks in lay.pair_tasks(chosen, shard, made):
        for rows, component, column in zip(tasks.rows, tasks.components, tasks.columns, strict=True):
            rows = rows[rows < shard.capacity]
            assert len(rows)
            np.testing.assert_array_equal(made.component_starts[owner[rows]] + column, component)
            seen[column, rows] += 1
    np.testing.assert_array_equal(seen, chosen)


def test_padding_of_tasks_is_small():
    made, shard = small_layout(sizes=(5000,), components=(2,))
    tasks = lay.pair_tasks(np.ones((2, shard.capacity), bool), shard, made)
    listed = sum(t.rows.size for t in tasks)
    assert listed < 10000 + 2 * lay.SMALL_BLOCK


def test_selection_reads_like_the_rows_it_stands_for():
    array = np.arange(60.0).reshape(20, 3)
    rows = np.array([4, 1, 19, 7])
    chosen = lay.Rows(array, rows)
    assert (len(chosen), chosen.shape, chosen.dtype) == (4, (4, 3), array.dtype)
    np.testing.assert_array_equal(np.asarray(chosen), array[rows])
    np.testing.assert_array_equal(np.asarray(chosen[1:3]), array[rows[1:3]])
    np.testing.assert_array_equal(chosen[2], array[19])
    np.testing.assert_allclose(lay.mean(chosen), array[rows].mean(axis=0))


def test_shards_centre_the_rows():
    features = [np.arange(12.0).reshape(4, 3) + 1e6]
    made = lay.make_layout([4], [1], 3, 1, 1)
    with jax.enable_x64(True):
        (shard,) = lay.make_shards(
            features,
            made,
            features[0].mean(axis=0)[None],
            np.float32,
            devices=jax.local_devices()[:1],
            capacity=16,
            resident_bytes=1 << 20,
        )
        rows = np.asarray(shard.rows())
    np.testing.assert_array_equal(rows[:4, :3], features[0] - features[0].mean(axis=0))
    assert not rows[4:].any()
    assert not rows[:, 3:].any()
