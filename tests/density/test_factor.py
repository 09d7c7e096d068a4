"""Inverse Cholesky factors against NumPy's, and what becomes of matrices that have none."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from adeada_jax.mixtures.factor import inverse_cholesky, regularised_factor


def covariance(dim: int, samples: int) -> np.ndarray:
    drawn = np.random.default_rng(dim).normal(size=(samples, dim))
    return drawn.T @ drawn / samples


@pytest.mark.parametrize("dim", [1, 4, 16, 32, 48, 96, 160])
def test_matches_numpy(dim):
    matrix = covariance(dim, 3 * dim + 2)
    with jax.enable_x64(True):
        factor, found = jax.jit(inverse_cholesky)(jnp.asarray(matrix), jnp.zeros(dim))
    assert found
    np.testing.assert_allclose(factor, np.linalg.inv(np.linalg.cholesky(matrix)), rtol=1e-9, atol=1e-9)


def test_reads_only_the_lower_triangle():
    matrix = covariance(48, 200)
    spoiled = np.where(np.tri(48, dtype=bool), matrix, 7.0)
    with jax.enable_x64(True):
        # Only blocks on the diagonal hold both triangles; blocks above it are never looked at.
        expected, _ = inverse_cholesky(jnp.asarray(matrix), jnp.zeros(48))
        factor, found = inverse_cholesky(jnp.asarray(spoiled), jnp.zeros(48))
    assert found
    np.testing.assert_allclose(factor, expected, rtol=1e-12)


@pytest.mark.parametrize(("reg", "possible"), [(1e-6, True), (0.0, False)])
def test_singular_covariance_is_regularised_if_allowed(reg, possible):
    singular = np.ones((64, 64))
    with jax.enable_x64(True):
        factor, found = regularised_factor(jnp.asarray(singular), jnp.ones(64), reg, jnp.zeros(64, bool))
    assert bool(found) == possible
    assert np.isfinite(factor).all()


def test_regularisation_is_raised_until_it_suffices():
    indefinite = np.diag([1.0, -5e-5, 1.0, 1.0])
    with jax.enable_x64(True):
        factor, found = regularised_factor(jnp.asarray(indefinite), jnp.zeros(4), 1e-6, jnp.zeros(4, bool))
        _, hopeless = regularised_factor(jnp.asarray(-np.eye(4)), jnp.zeros(4), 1e-6, jnp.zeros(4, bool))
    assert found
    np.testing.assert_allclose(np.diagonal(factor)[1], 1 / np.sqrt(1e-4 - 5e-5), rtol=1e-9)
    assert not hopeless


def test_padded_features_have_unit_variance():
    matrix = np.zeros((8, 8))
    matrix[:5, :5] = covariance(5, 30)
    with jax.enable_x64(True):
        factor, found = regularised_factor(
            jnp.asarray(matrix), jnp.diagonal(matrix), 1e-6, jnp.arange(8) >= 5
        )
    assert found
    np.testing.assert_array_equal(np.asarray(factor)[5:, 5:], np.eye(3))
