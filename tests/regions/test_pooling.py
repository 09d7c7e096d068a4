"""Pooling masks down equals upsampling features and averaging."""

import jax
import numpy as np
import pytest

from adeada_jax.method.pooling import mask_weights, region_feature_sums, region_sums
from adeada_jax.models import upsample


@pytest.mark.parametrize(
    ("size", "grid"), [((64, 128), (16, 32)), ((37, 53), (7, 11)), ((16, 24), (16, 24)), ((9, 8), (1, 2))]
)
def test_equals_upsample_then_sum(size, grid):
    rng = np.random.default_rng(0)
    features = rng.normal(size=(*grid, 8)).astype(np.float32)
    regions = rng.integers(0, 6, size).astype(np.int32)
    large = np.asarray(upsample(features[None], *size)[0], np.float64)
    expected = np.stack([large[regions == r].sum(axis=0) for r in range(7)])
    sums = jax.jit(region_feature_sums, static_argnums=2)(features, regions, 7)
    np.testing.assert_allclose(sums, expected, rtol=1e-5, atol=1e-4)


def test_weights_add_up_to_the_pixels():
    regions = np.repeat(np.arange(4), 30).reshape(10, 12)
    weights = mask_weights(regions, 5, 3, 4)
    np.testing.assert_allclose(weights.sum(axis=1), [30, 30, 30, 30, 0], rtol=1e-6)


def test_region_sums_of_pixel_values():
    values = np.arange(12, dtype=np.float32).reshape(2, 3, 2)
    regions = np.array([[0, 2, 2], [0, 0, 2]])
    np.testing.assert_array_equal(region_sums(values, regions, 3), [[14, 17], [0, 0], [16, 19]])
