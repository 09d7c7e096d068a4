"""Inverse Cholesky factors by matrix products alone.

LAPACK is not used: on a CPU its threads and XLA's contend for the same cores (a batched Cholesky
beside a batched triangular solve can deadlock jaxlib's client, and LAPACK's spinning threads slow
down by orders of magnitude when other processes run). The inverse is wanted anyway, and block
columns get it and the factor mostly by products.
"""

import jax
import jax.numpy as jnp
from jax import lax

# What was added to the diagonal, the inverse factor, whether it was found, and how often it was tried.
_Attempt = tuple[jax.Array, jax.Array, jax.Array, jax.Array]
LEAF = 32
HIGHEST = lax.Precision.HIGHEST


def _product(left: jax.Array, right: jax.Array) -> jax.Array:
    return jnp.matmul(left, right, precision=HIGHEST)


def _leaf(matrix: jax.Array, floor: jax.Array) -> tuple[jax.Array, jax.Array]:
    """`inverse_cholesky` of a small matrix: forward elimination of [A | I] leaves [L^T | L^-1]."""
    size = len(matrix)
    row = jnp.arange(size)

    def body(j: jax.Array, state: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        augmented, found = state
        pivot_row = lax.dynamic_index_in_dim(augmented, j, 0, keepdims=False)
        column = lax.dynamic_index_in_dim(augmented, j, 1, keepdims=False)
        pivot = lax.dynamic_index_in_dim(pivot_row, j, 0, keepdims=False)
        good = pivot > lax.dynamic_index_in_dim(floor, j, 0, keepdims=False)
        scale = lax.rsqrt(jnp.where(good, pivot, 1.0))
        pivot_row = pivot_row * scale
        below = jnp.where(row > j, column * scale, 0.0)
        renewed = augmented - below[:, None] * pivot_row
        return jnp.where((row == j)[:, None], pivot_row, renewed), found & good

    augmented = jnp.concatenate([matrix, jnp.eye(size, dtype=matrix.dtype)], axis=1)
    augmented, found = lax.fori_loop(0, size, body, (augmented, jnp.array(True)))
    return augmented[:, size:], found


def inverse_cholesky(matrix: jax.Array, floor: jax.Array) -> tuple[jax.Array, jax.Array]:
    """L^-1 (D, D), lower triangular, with L L^T = matrix, and whether all pivots were above `floor`.

    Args:
        matrix: (D, D) symmetric; only its lower triangle is read.
        floor: (D,) not negative; pivots up to it are taken for rounding errors.
    """
    size = len(matrix)
    if size <= LEAF or size % LEAF:
        return _leaf(jnp.tril(matrix) + jnp.tril(matrix, -1).T, floor)

    def body(
        block: jax.Array, state: tuple[jax.Array, jax.Array, jax.Array]
    ) -> tuple[jax.Array, jax.Array, jax.Array]:
        lower, inverse, found = state
        at = block * LEAF
        rows = lax.dynamic_slice_in_dim(lower, at, LEAF)
        # Columns of the factor that are not there yet are zero, so whole products do no harm.
        panel = lax.dynamic_slice_in_dim(matrix, at, LEAF, axis=1) - _product(lower, rows.T)
        corner = lax.dynamic_slice_in_dim(panel, at, LEAF)
        corner = jnp.tril(corner) + jnp.tril(corner, -1).T
        unit, good = _leaf(corner, lax.dynamic_slice_in_dim(floor, at, LEAF))
        column = jnp.where(jnp.arange(size)[:, None] >= at, _product(panel, unit.T), 0.0)
        lower = lax.dynamic_update_slice_in_dim(lower, column, at, axis=1)
        identity = (jnp.arange(size) == at + jnp.arange(LEAF)[:, None]).astype(matrix.dtype)
        fresh = _product(unit, identity - _product(rows, inverse))
        inverse = lax.dynamic_update_slice_in_dim(inverse, fresh, at, axis=0)
        return lower, inverse, found & good

    state = (jnp.zeros_like(matrix), jnp.zeros_like(matrix), jnp.array(True))
    _, inverse, found = lax.fori_loop(0, size // LEAF, body, state)
    return inverse, found


def regularised_factor(
    covariance: jax.Array, squares: jax.Array, reg_covar: float, unit: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """L^-1 (D, D) of the regularised covariance, and whether there is one (else L^-1 is of no use).

    Where the covariance plus `reg_covar` is not positive definite, the regularisation is raised
    tenfold, up to four times.

    Args:
        covariance: (D, D). reg_covar: added to the diagonal.
        squares: (D,) mean squares from which the variances came by subtraction, for their rounding.
        unit: (D,) bool, padded features, which get variance one.
    """
    floor = 4 * jnp.finfo(covariance.dtype).eps * squares

    def attempt(state: _Attempt) -> _Attempt:
        reg, _, _, tries = state
        matrix = covariance + jnp.diag(jnp.where(unit, 1.0, reg))
        inverse, found = inverse_cholesky(matrix, floor)
        return reg * 10.0, inverse, found, tries + 1

    def unsolved(state: _Attempt) -> jax.Array:
        reg, _, found, tries = state
        return ~found & ((tries == 0) | ((tries < 5) & (reg > 0)))

    reg = jnp.asarray(reg_covar, covariance.dtype)
    start = (reg, jnp.zeros_like(covariance), jnp.array(False), jnp.int32(0))
    _, inverse, found, _ = lax.while_loop(unsolved, attempt, start)
    return inverse, found
