"""The compiled programs of EM with full covariances.

Shapes: N rows of a shard, K columns (components of a mixture, padded), C slots (components of all
mixtures), D features, t = `TAIL` last whitened coordinates, h = D - t.

A component is held as the inverse Cholesky factor of its covariance, L^-1, whose last t rows are the
tail and whose upper left (h, h) block is the head. The squared Mahalanobis distance is a sum of
squares over the whitened coordinates, so the tail's part of it bounds the log density from above;
where that bound lies far enough below another component's density, the head need not be computed.

No program calls LAPACK: see `factor`.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from adeada_jax.mixtures.factor import regularised_factor
from adeada_jax.mixtures.shrinkage import central_fourth, inverse_wishart, ledoit_wolf, oas, shrink

TAIL = 32
HIGHEST = lax.Precision.HIGHEST


def lowest(dtype: jnp.dtype) -> float:
    """Stands for minus infinity, which would not survive subtraction."""
    return float(jnp.finfo(dtype).min) / 4


def tail_length(padded_dim: int) -> int:
    """t: all coordinates where they are few."""
    return TAIL if padded_dim >= 2 * TAIL else padded_dim


class Components(NamedTuple):
    """Parameters of all components in the working precision.

    means (C, D); tails (C, t, D); biases (C, t) tails @ means; heads (C, h, h); constants (C,) log
    weight and normalisation; failed (C,) bool where no factor could be had.
    """

    means: jax.Array
    tails: jax.Array
    biases: jax.Array
    heads: jax.Array
    constants: jax.Array
    failed: jax.Array


class Moments(NamedTuple):
    """Sufficient statistics in float64 about fixed centres: counts (C,), sums (C, D), squares (C, D, D).

    Ledoit and Wolf's shrinkage also needs those of the squared distances q to the centres: cubes (C, D), sums
    of q times the offset, and fourths (C,), sums of q^2.
    """

    counts: jax.Array
    sums: jax.Array
    squares: jax.Array
    cubes: jax.Array | None = None
    fourths: jax.Array | None = None


def _check_whole(listed: jax.Array, width: int) -> None:
    """A slice that reaches beyond the end begins earlier: other entries than meant would be taken."""
    if len(listed) % width:
        raise ValueError(f"{len(listed)} entries are no multiple of the {width} computed side by side")


def _products(left: jax.Array, right: jax.Array) -> jax.Array:
    """Left @ right.T in full precision on every kind of device."""
    return lax.dot_general(left, right, (((left.ndim - 1,), (right.ndim - 1,)), ((), ())), precision=HIGHEST)


@partial(jax.jit, static_argnames="block", donate_argnames=("scores", "exact"))
def bound_scores(
    rows: jax.Array,
    scores: jax.Array,
    exact: jax.Array,
    parts: Components,
    changed: jax.Array,
    blocks: jax.Array,
    count: jax.Array,
    *,
    block: int,
) -> tuple[jax.Array, jax.Array]:
    """Replace the changed components' scores (K, N) by upper bounds from the tails.

    Args:
        rows: (N, D). scores: (K, N) log weighted densities. exact: (K, N) bool, which are no bounds.
        parts: Components. changed: (C,) bool. blocks: (T, 5) int32 of (start, low, high, mixture,
        first component). count: blocks in use. block: rows of a block.
    """
    columns = scores.shape[0]
    tail, dim = parts.tails.shape[1:]

    def body(i: jax.Array, carry: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        scores, exact = carry
        start, low, high, _, first = blocks[i]
        x = lax.dynamic_slice_in_dim(rows, start, block)
        whitening = lax.dynamic_slice_in_dim(parts.tails, first, columns).reshape(columns * tail, dim)
        bias = lax.dynamic_slice_in_dim(parts.biases, first, columns).reshape(columns * tail)
        white = _products(x, whitening) - bias
        distance = jnp.sum((white * white).reshape(block, columns, tail), axis=2).T
        bound = lax.dynamic_slice_in_dim(parts.constants, first, columns)[:, None] - 0.5 * distance
        index = start + jnp.arange(block, dtype=jnp.int32)
        fresh = lax.dynamic_slice_in_dim(changed, first, columns)[:, None] & (index >= low) & (index < high)
        old = lax.dynamic_slice_in_dim(scores, start, block, axis=1)
        was = lax.dynamic_slice_in_dim(exact, start, block, axis=1)
        scores = lax.dynamic_update_slice_in_dim(scores, jnp.where(fresh, bound, old), start, axis=1)
        exact = lax.dynamic_update_slice_in_dim(exact, jnp.where(fresh, tail == dim, was), start, axis=1)
        return scores, exact

    return lax.fori_loop(0, count, body, (scores, exact))


@partial(jax.jit, static_argnames="width", donate_argnames=("scores", "exact"))
def complete_scores(
    rows: jax.Array,
    scores: jax.Array,
    exact: jax.Array,
    parts: Components,
    task_rows: jax.Array,
    components: jax.Array,
    columns: jax.Array,
    count: jax.Array,
    *,
    width: int,
) -> tuple[jax.Array, jax.Array]:
    """Make the listed pairs' scores exact by adding the heads' part of the distance.

    Args:
        rows, scores, exact, parts: as in `bound_scores`.
        task_rows: (T, B), components: (T,), columns: (T,) int32, as in `layout.Tasks`.
        count: tasks in use. width: tasks computed side by side, of which T is a multiple.
    """
    _check_whole(task_rows, width)
    head = parts.heads.shape[1]

    def one(index: jax.Array, component: jax.Array) -> jax.Array:
        x = jnp.take(rows, index, axis=0, mode="clip")[:, :head] - parts.means[component, :head]
        white = _products(x, parts.heads[component])
        return jnp.sum(white * white, axis=1)

    def body(i: jax.Array, distances: jax.Array) -> jax.Array:
        index = lax.dynamic_slice_in_dim(task_rows, i * width, width)
        which = lax.dynamic_slice_in_dim(components, i * width, width)
        found = one(index[0], which[0])[None] if width == 1 else jax.vmap(one)(index, which)
        return lax.dynamic_update_slice_in_dim(distances, found, i * width, axis=0)

    steps = (count + width - 1) // width
    distances = lax.fori_loop(0, steps, body, jnp.zeros(task_rows.shape, scores.dtype))
    size = scores.shape[1]
    listed = (task_rows < size) & (jnp.arange(len(task_rows)) < count)[:, None]
    flat = jnp.where(listed, columns[:, None] * size + task_rows, scores.size).ravel()
    scores = scores.ravel().at[flat].add(-0.5 * distances.ravel(), mode="drop").reshape(scores.shape)
    exact = exact.ravel().at[flat].set(True, mode="drop").reshape(exact.shape)
    return scores, exact


@jax.jit
def likely_pairs(
    scores: jax.Array, exact: jax.Array, responsibilities: jax.Array, widths: jax.Array
) -> jax.Array:
    """(K, N) bool of inexact pairs that probably matter: held before, or of the highest bound."""
    column = jnp.arange(scores.shape[0])[:, None]
    valid = column < widths
    highest = jnp.argmax(jnp.where(valid, scores, lowest(scores.dtype)), axis=0)
    return valid & ~exact & ((responsibilities > 1e-3) | (column == highest))


@jax.jit
def doubtful_pairs(scores: jax.Array, exact: jax.Array, widths: jax.Array, cutoff: jax.Array) -> jax.Array:
    """(K, N) bool of inexact pairs whose bound is within `cutoff` nats of the row's best exact score."""
    valid = jnp.arange(scores.shape[0])[:, None] < widths
    best = jnp.max(jnp.where(valid & exact, scores, lowest(scores.dtype)), axis=0)
    return valid & ~exact & (scores > best - cutoff)


@partial(jax.jit, donate_argnames="responsibilities")
def normalise(
    scores: jax.Array,
    exact: jax.Array,
    responsibilities: jax.Array,
    widths: jax.Array,
    following: jax.Array,
    cutoff: jax.Array,
    tolerance: jax.Array,
) -> tuple[jax.Array, jax.Array, jax.Array, jax.Array]:
    """Log densities and the changes of the responsibilities.

    Args:
        scores, exact: (K, N), every pair that matters exact.
        responsibilities: (K, N), as the moments hold them.
        widths: (N,) components of the row's mixture, 0 for padding.
        following: (N,) bool, rows whose mixtures still change.
        cutoff: pairs this far (nats) below the best have responsibility zero.
        tolerance: (K, N) changes up to this are left for later.

    Returns:
        norms (N,), changed (K, N) bool, changes (K, N), responsibilities (K, N).
    """
    valid = (jnp.arange(scores.shape[0])[:, None] < widths) & exact
    best = jnp.max(jnp.where(valid, scores, lowest(scores.dtype)), axis=0)
    best = jnp.where(widths > 0, best, 0.0)
    shifted = jnp.where(valid, scores - best, lowest(scores.dtype))
    weights = jnp.where(shifted > -cutoff, jnp.exp(jnp.maximum(shifted, -cutoff)), 0.0)
    total = jnp.where(widths > 0, jnp.sum(weights, axis=0), 1.0)
    fresh = weights / total
    changed = following & (jnp.abs(fresh - responsibilities) > tolerance)
    # In float64, so that the sums of all changes stay those of the responsibilities.
    changes = jnp.where(changed, fresh.astype(jnp.float64) - responsibilities.astype(jnp.float64), 0.0)
    return best + jnp.log(total), changed, changes, jnp.where(changed, fresh, responsibilities)


@partial(jax.jit, static_argnames="block", donate_argnames="sums")
def first_moments(
    rows: jax.Array,
    responsibilities: jax.Array,
    sums: jax.Array,
    blocks: jax.Array,
    count: jax.Array,
    *,
    block: int,
) -> jax.Array:
    """Add the listed blocks' weighted sums of rows and, last, of ones to sums (C, D + 1)."""
    columns = responsibilities.shape[0]

    def body(i: jax.Array, sums: jax.Array) -> jax.Array:
        start, low, high, _, first = blocks[i]
        index = start + jnp.arange(block, dtype=jnp.int32)
        weights = lax.dynamic_slice_in_dim(responsibilities, start, block, axis=1)
        weights = jnp.where((index >= low) & (index < high), weights, 0.0)
        x = lax.dynamic_slice_in_dim(rows, start, block)
        added = jnp.concatenate(
            [jnp.matmul(weights, x, precision=HIGHEST), weights.sum(axis=1)[:, None]], axis=1
        )
        piece = lax.dynamic_slice_in_dim(sums, first, columns) + added
        return lax.dynamic_update_slice_in_dim(sums, piece, first, axis=0)

    return lax.fori_loop(0, count, body, sums)


@partial(jax.jit, static_argnames="width", donate_argnames="moments")
def accumulate(
    rows: jax.Array,
    changes: jax.Array,
    moments: Moments,
    centres: jax.Array,
    task_rows: jax.Array,
    components: jax.Array,
    columns: jax.Array,
    count: jax.Array,
    *,
    width: int,
) -> Moments:
    """Add the listed pairs' changes of responsibility to the moments, in float64.

    Args:
        rows: (N, D). changes: (K, N). moments: Moments. centres: (C, D), fixed during a fit.
        task_rows, components, columns, count, width: as in `complete_scores`.
    """
    _check_whole(task_rows, width)
    size = changes.shape[1]
    flat = changes.ravel()

    def one(index: jax.Array, component: jax.Array, column: jax.Array) -> Moments:
        listed = index < size
        weight = jnp.where(listed, flat[column * size + jnp.minimum(index, size - 1)], 0.0).astype(
            jnp.float64
        )
        x = jnp.take(rows, index, axis=0, mode="clip").astype(jnp.float64)
        offset = (x - centres[component].astype(jnp.float64)).T
        weighted = offset * weight
        found = jnp.sum(weight), jnp.sum(weighted, axis=1), _products(weighted, offset)
        if moments.fourths is None:
            return Moments(*found)
        distance = jnp.sum(offset * offset, axis=0)
        return Moments(*found, jnp.sum(weighted * distance, axis=1), jnp.sum(weight * distance**2))

    def body(i: jax.Array, moments: Moments) -> Moments:
        index = lax.dynamic_slice_in_dim(task_rows, i * width, width)
        which = lax.dynamic_slice_in_dim(components, i * width, width)
        column = lax.dynamic_slice_in_dim(columns, i * width, width)
        if width == 1:
            found = one(index[0], which[0], column[0])
            return jax.tree.map(lambda total, new: total.at[which[0]].add(new), moments, found)
        found = jax.vmap(one)(index, which, column)
        used = i * width + jnp.arange(width) < count
        which = jnp.where(used, which, len(moments.counts))
        return jax.tree.map(lambda total, new: total.at[which].add(new, mode="drop"), moments, found)

    return lax.fori_loop(0, (count + width - 1) // width, body, moments)


def _spreads(moments: Moments, centres: jax.Array, mixture: jax.Array, dim: int) -> jax.Array:
    """(C,) for each component the mean variance of a feature over all samples of its mixture."""
    offsets = centres.astype(jnp.float64)
    squares = jnp.trace(moments.squares, axis1=1, axis2=2) + 2 * jnp.sum(offsets * moments.sums, axis=1)
    squares += moments.counts * jnp.sum(offsets * offsets, axis=1)
    sums = moments.sums + moments.counts[:, None] * offsets
    counts, squares, sums = (
        jax.ops.segment_sum(part, mixture, len(centres))[mixture] for part in (moments.counts, squares, sums)
    )
    counts = jnp.maximum(counts, jnp.finfo(jnp.float64).tiny)
    return jnp.maximum(squares / counts - jnp.sum((sums / counts[:, None]) ** 2, axis=1), 0.0) / dim


def _shrunk(
    prior: str,
    covariance: jax.Array,
    moments: Moments,
    size: jax.Array,
    shift: jax.Array,
    spread: jax.Array,
    number: jax.Array,
    dim: int,
) -> jax.Array:
    """The covariance (D, D) of a component of `number`, by one of `shrinkage.PRIORS` but the empty one."""
    if prior == "inverse_wishart":
        return inverse_wishart(covariance, size, spread, number, dim)
    if prior == "oas":
        return shrink(covariance, oas(covariance, size, dim), size, spread, dim)
    assert moments.cubes is not None  # of Ledoit and Wolf's shrinkage
    assert moments.fourths is not None
    fourth = central_fourth(size, moments.sums, moments.squares, moments.cubes, moments.fourths, shift)
    return shrink(covariance, ledoit_wolf(covariance, size, fourth, dim), size, spread, dim)


@partial(jax.jit, static_argnames=("width", "prior"), donate_argnames="parts")
def update_components(
    parts: Components,
    moments: Moments,
    centres: jax.Array,
    mixture: jax.Array,
    chosen: jax.Array,
    count: jax.Array,
    dim: int,
    reg_covar: float,
    *,
    width: int,
    prior: str,
) -> Components:
    """The M step for the chosen components: means, covariances and their factors from the moments.

    Args:
        parts: Components to renew. moments: Moments. centres: (C, D). mixture: (C,) mixture of each.
        chosen: (C,) int32 slots, the first `count` of which are renewed.
        dim: D without padding. reg_covar: added to the diagonal. width: components side by side.
        prior: one of `shrinkage.PRIORS`.
    """
    _check_whole(chosen, width)
    slots, padded = centres.shape
    head = parts.heads.shape[1]
    real = parts.means.dtype
    totals = jax.ops.segment_sum(moments.counts, mixture, slots)[mixture]
    unit = jnp.arange(padded) >= dim
    spreads = _spreads(moments, centres, mixture, dim) if prior else None
    numbers = jax.ops.segment_sum(jnp.ones(slots), mixture, slots)[mixture]

    def one(c: jax.Array) -> Components:
        size = moments.counts[c] + 10 * jnp.finfo(jnp.float64).eps
        shift = moments.sums[c] / size
        second = moments.squares[c] / size
        covariance = second - shift[:, None] * shift[None, :]
        if spreads is not None:
            own = jax.tree.map(lambda sums: sums[c], moments)
            covariance = _shrunk(prior, covariance, own, size, shift, spreads[c], numbers[c], dim)
        inverse, found = regularised_factor(covariance, jnp.diagonal(second), reg_covar, unit)
        mean = (centres[c].astype(jnp.float64) + shift).astype(real)
        tail = inverse[head:].astype(real)
        bias = (tail.astype(jnp.float64) @ mean.astype(jnp.float64)).astype(real)
        constant = jnp.log(size / totals[c]) + jnp.sum(jnp.log(jnp.diagonal(inverse)))
        constant -= 0.5 * dim * jnp.log(2 * jnp.pi)
        return Components(mean, tail, bias, inverse[:head, :head].astype(real), constant.astype(real), ~found)

    def body(i: jax.Array, parts: Components) -> Components:
        used = i * width + jnp.arange(width) < count
        which = jnp.where(used, lax.dynamic_slice_in_dim(chosen, i * width, width), slots)
        fresh = jax.vmap(one)(jnp.minimum(which, slots - 1))
        return jax.tree.map(lambda old, new: old.at[which].set(new, mode="drop"), parts, fresh)

    return lax.fori_loop(0, (count + width - 1) // width, body, parts)
