"""Buying, budgets and the record of purchases."""

import numpy as np
import pytest

from adeada_jax.errors import InputError
from adeada_jax.method.regions import Regions
from adeada_jax.method.selection_csv import Purchase, purchases_from_csv, purchases_to_csv
from adeada_jax.run.region_file import load_regions, save_regions


@pytest.fixture
def pool():
    return Regions.from_counts(("a", "b"), [np.array([10, 0, 20]), np.array([5, 65])])


def test_regions_without_pixels_are_none(pool):
    assert pool.region.tolist() == [0, 2, 0, 1]
    assert pool.pixels.tolist() == [10, 20, 5, 65]
    assert pool.total_pixels == 100


def test_buying_counts_pixels_and_never_twice(pool):
    after = pool.buy([1, 2], round=1, budget=25)
    assert after.labelled_pixels == 25
    assert after.available.tolist() == [True, False, False, True]
    assert pool.labelled_pixels == 0
    with pytest.raises(ValueError, match="twice"):
        after.buy([2], round=2, budget=100)
    with pytest.raises(ValueError, match="twice"):
        pool.buy([0, 0], round=1, budget=100)
    for position in (-1, 4):
        with pytest.raises(ValueError, match="numbered from 0 to 3"):
            pool.buy([position, 3], round=1, budget=100)


def test_buying_more_than_the_budget_is_refused(pool):
    with pytest.raises(ValueError, match="exceed the budget of 24"):
        pool.buy([1, 2], round=1, budget=24)


def test_rows_are_found_in_another_table_by_image_and_region(pool):
    other = Regions.from_counts(("b", "c", "a"), [np.array([0, 9, 9]), np.array([1]), np.array([3, 3])])
    # a has regions 0 and 2, b has 0 and 1; the other table b1, b2, c0, a0, a1
    assert pool.rows_in(other).tolist() == [3, -1, -1, 0]
    assert other.rows_in(pool).tolist() == [3, -1, -1, 0, -1]
    assert pool.rows_in(Regions.from_counts(("b",), [np.array([0])])).tolist() == [-1] * 4


def test_budget_is_a_fraction_of_all_target_pixels_rounded_down(pool):
    assert pool.budget(0.01) == 1
    assert pool.budget(0.259) == 25


def test_replaying_the_record_gives_the_same_pool(pool):
    rows = [
        Purchase(1, "b", 0, 5, "road, wide", "density", -1.25e-7),
        Purchase(2, "a", 2, 20, "sky", "entropy", 0.5),
    ]
    text = purchases_to_csv(rows)
    assert text.splitlines()[0] == "round,image,region,pixels,class,method,score"
    assert purchases_from_csv(text) == rows
    assert pool.replay(purchases_from_csv(text)).bought.tolist() == [0, 2, 1, 0]


@pytest.mark.parametrize("row", [Purchase(1, "c", 0, 5, "", "", 0), Purchase(1, "a", 2, 21, "", "", 0)])
def test_a_record_of_another_data_set_is_refused(pool, row):
    with pytest.raises(InputError, match=r"has no region .* pixels"):
        pool.replay([row])


def test_save_and_load(pool, tmp_path):
    save_regions(tmp_path / "pool.safetensors", pool)
    loaded = load_regions(tmp_path / "pool.safetensors")
    assert loaded.names == pool.names
    for name in ("image", "region", "pixels", "bought"):
        np.testing.assert_array_equal(getattr(loaded, name), getattr(pool, name))
    with pytest.raises(InputError, match="does not exist"):
        load_regions(tmp_path / "other.safetensors")


def test_a_column_that_is_not_there_is_named_with_those_that_are(pool):
    table = pool.with_columns(entropy=np.zeros(4))
    assert table["entropy"].tolist() == [0, 0, 0, 0]
    with pytest.raises(InputError, match=r"no column 'edges', but entropy; a strategy gets .* `needs`"):
        table["edges"]


def test_columns_come_from_a_table_of_the_same_regions_only(pool):
    table = Regions.from_counts(("a", "b"), [np.array([10, 0, 20]), np.array([5, 65])])
    assert pool.with_columns_of(table.with_columns(margin=np.ones(4)))["margin"].tolist() == [1, 1, 1, 1]
    for other in (
        Regions.from_counts(("a", "c"), [np.array([10, 0, 20]), np.array([5, 65])]),
        Regions.from_counts(("a", "b"), [np.array([10, 20]), np.array([5, 65])]),
        Regions.from_counts(("a", "b"), [np.array([10, 0, 21]), np.array([5, 65])]),
    ):
        with pytest.raises(InputError, match=r"differ in (images|regions|prices): the target's data changed"):
            pool.with_columns_of(other)
