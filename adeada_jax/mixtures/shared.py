"""EM with tied, diagonal and spherical covariances: cheap steps, done in full and in float64.

Squared distances and moments come from products of whole blocks, about the mixture's centre. Where means lie
so many standard deviations from it that this would cancel what matters, they come from the differences to
each component's own mean, which takes longer.
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from adeada_jax.mixtures.factor import regularised_factor
from adeada_jax.mixtures.packing import (
    SMALL_BLOCK,
    Given,
    Layout,
    Shard,
    given_parameters,
    in_chunks,
    masses_of,
    own_columns,
    own_weights,
    row_blocks,
    zeros,
)
from adeada_jax.mixtures.peers import all_reduce, mean_densities, own
from adeada_jax.mixtures.programs import HIGHEST, lowest

# Nats by which products may miss a log density; beyond, differences are taken.
_BLUR = 1e-6


class Spreads(NamedTuple):
    """What the E step needs, in float64.

    precisions (C, D) and shifts (C, D) = precision x mean in whitened coordinates; offsets (C,) log
    weight, normalisation and, but for differences, -1/2 of the means' own distance; transforms (M, D, D)
    whitening of a tied covariance (else (1, 1, 1)); means (C, D).
    """

    precisions: jax.Array | np.ndarray
    shifts: jax.Array | np.ndarray
    offsets: jax.Array | np.ndarray
    transforms: jax.Array | np.ndarray
    means: jax.Array | np.ndarray


def _scores(
    x: jax.Array, spreads: Spreads, first: jax.Array, mixture: jax.Array, columns: int, tied: bool
) -> jax.Array:
    """Log weighted densities (K, B) of x (B, D), and the log density up to an infinite cutoff."""
    z = jnp.matmul(x, spreads.transforms[mixture], precision=HIGHEST) if tied else x
    precision = lax.dynamic_slice_in_dim(spreads.precisions, first, columns)
    shift = lax.dynamic_slice_in_dim(spreads.shifts, first, columns)
    offset = lax.dynamic_slice_in_dim(spreads.offsets, first, columns)
    squared = jnp.matmul(precision, (z * z).T, precision=HIGHEST)
    return offset[:, None] - 0.5 * squared + jnp.matmul(shift, z.T, precision=HIGHEST)


def _far_scores(
    away: jax.Array, spreads: Spreads, first: jax.Array, mixture: jax.Array, columns: int, tied: bool
) -> jax.Array:
    """Log weighted densities (K, B) from differences away (K, B, D) to the means."""
    z = jnp.matmul(away, spreads.transforms[mixture], precision=HIGHEST) if tied else away
    precision = lax.dynamic_slice_in_dim(spreads.precisions, first, columns)
    offset = lax.dynamic_slice_in_dim(spreads.offsets, first, columns)
    return offset[:, None] - 0.5 * jnp.sum(precision[:, None] * z * z, axis=2)


@partial(jax.jit, static_argnames=("block", "columns", "tied", "given", "far"), donate_argnames=("carry",))
def _sweep(
    rows: jax.Array,
    carry: tuple[jax.Array, ...],
    spreads: Spreads,
    widths: jax.Array,
    row_weights: jax.Array | None,
    blocks: jax.Array,
    count: jax.Array,
    *,
    block: int,
    columns: int,
    tied: bool,
    given: bool,
    far: bool,
) -> tuple[jax.Array, ...]:
    """E step and moments of the listed blocks.

    With `far` the distances and moments are those of the differences to the components' means; a tied
    covariance then has its squares (M, D, D). Rows count by `row_weights` (1, N), or as one if that is None.
    `carry` is (norms (N,), scores (K, N), counts (C,), sums (C, D), squares (C, D)); with `given`
    the scores hold responsibilities, which are used as they are.
    """

    def body(i: jax.Array, carry: tuple[jax.Array, ...]) -> tuple[jax.Array, ...]:
        norms, scores, counts, sums, squares = carry
        start, low, high, mixture, first = blocks[i]
        x = lax.dynamic_slice_in_dim(rows, start, block).astype(jnp.float64)
        index = start + jnp.arange(block, dtype=jnp.int32)
        inside = (index >= low) & (index < high)
        old = lax.dynamic_slice_in_dim(scores, start, block, axis=1)

        away = x - lax.dynamic_slice_in_dim(spreads.means, first, columns)[:, None] if far else None
        if given:
            resp = old
        else:
            valid = jnp.arange(columns)[:, None] < widths[mixture]
            if away is not None:
                scored = _far_scores(away, spreads, first, mixture, columns, tied)
            else:
                scored = _scores(x, spreads, first, mixture, columns, tied)
            found = jnp.where(valid, scored, lowest(jnp.float64))
            best = jnp.max(found, axis=0)
            weights = jnp.exp(found - best)
            total = jnp.sum(weights, axis=0)
            resp = weights / total
            was = lax.dynamic_slice_in_dim(norms, start, block)
            norm = jnp.where(inside, best + jnp.log(total), was)
            norms = lax.dynamic_update_slice_in_dim(norms, norm, start, axis=0)
            scores = lax.dynamic_update_slice_in_dim(scores, jnp.where(inside, found, old), start, axis=1)
        resp = jnp.where(inside, resp, 0.0)
        if row_weights is not None:
            resp = resp * lax.dynamic_slice_in_dim(row_weights, start, block, axis=1)

        def added(total: jax.Array, new: jax.Array) -> jax.Array:
            piece = lax.dynamic_slice_in_dim(total, first, columns) + new
            return lax.dynamic_update_slice_in_dim(total, piece, first, axis=0)

        counts = added(counts, jnp.sum(resp, axis=1))
        if away is not None:
            weighted = resp[:, :, None] * away
            sums = added(sums, jnp.sum(weighted, axis=1))
            if not tied:
                return norms, scores, counts, sums, added(squares, jnp.sum(weighted * away, axis=1))
            outer = jnp.einsum("kbd,kbe->de", weighted, away, precision=HIGHEST)
            return norms, scores, counts, sums, squares.at[mixture].add(outer)
        sums = added(sums, jnp.matmul(resp, x, precision=HIGHEST))
        if not tied:
            squares = added(squares, jnp.matmul(resp, x * x, precision=HIGHEST))
        return norms, scores, counts, sums, squares

    return lax.fori_loop(0, count, body, carry)


@partial(jax.jit, static_argnames="block", donate_argnames="grams")
def _gram(
    rows: jax.Array,
    grams: jax.Array,
    row_weights: jax.Array | None,
    blocks: jax.Array,
    count: jax.Array,
    *,
    block: int,
) -> jax.Array:
    """Add X^T X of the listed blocks to grams (M, D, D); rows count by `row_weights` (1, N) or None."""

    def body(i: jax.Array, grams: jax.Array) -> jax.Array:
        start, low, high, mixture, _ = blocks[i]
        index = start + jnp.arange(block, dtype=jnp.int32)
        x = lax.dynamic_slice_in_dim(rows, start, block).astype(jnp.float64)
        x = jnp.where(((index >= low) & (index < high))[:, None], x, 0.0)
        weighted = x
        if row_weights is not None:
            weighted = x * lax.dynamic_slice_in_dim(row_weights, start, block, axis=1).T
        return grams.at[mixture].add(jnp.matmul(x.T, weighted, precision=HIGHEST))

    return lax.fori_loop(0, count, body, grams)


@jax.jit
def _factors(
    covariances: jax.Array, squares: jax.Array, reg_covar: float, unit: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Inverse Cholesky factors (M, D, D), one after the other, and which were found (M,)."""
    return lax.map(lambda both: regularised_factor(both[0], both[1], reg_covar, unit), (covariances, squares))


class SharedEngine:
    """E and M steps of all mixtures of a layout; same use as `full.FullEngine`."""

    def __init__(
        self,
        shards: Sequence[Shard],
        layout: Layout,
        *,
        covariance_type: str,
        reg_covar: float,
        weights: Sequence[np.ndarray] | None = None,
    ):
        self.everywhere, self.shards = list(shards), own(shards)
        self.layout, self.reg_covar = layout, reg_covar
        self.kind, self.tied = covariance_type, covariance_type == "tied"
        mixtures = len(layout.sizes)
        self.row_weights, self.masses = own_weights(self.everywhere, weights), masses_of(layout, weights)
        self._placed_weights = [
            None if weight is None else jax.device_put(weight, shard.device)
            for weight, shard in zip(self.row_weights, self.shards, strict=True)
        ]
        self.mixture_of = layout.component_mixture
        self.used = int(layout.components.sum())
        self.row_norms = [zeros(s.capacity, np.float64, s.device) for s in self.shards]
        self.row_scores = [zeros((layout.columns, s.capacity), np.float64, s.device) for s in self.shards]
        self.weights = np.zeros(layout.slots)
        self.means = np.zeros((layout.slots, layout.padded_dim))
        spread = (mixtures, *(layout.padded_dim,) * 2) if self.tied else self.means.shape
        self.factors = np.zeros(spread)  # inverse Cholesky factors, or root precisions
        self.bad = np.zeros(mixtures, bool)
        self.stale = np.zeros(mixtures, bool)
        self.grams: np.ndarray | None = None
        self._held: list[np.ndarray] = []  # moments that the parameters are from
        self.found = np.ones(mixtures, bool)  # whether a tied covariance had a factor

    def start(self, responsibilities: Sequence[np.ndarray | None]) -> None:
        """Moments and parameters from responsibilities (n_m, K_m) or None, as `full` has it."""
        everything = np.ones(len(responsibilities), bool)
        self.bad[:], self.found[:], self._held = False, True, []  # what a start before this one left
        given_here = own_columns(self.everywhere, responsibilities, self.layout.columns, np.float64)
        for s, (shard, given) in enumerate(zip(self.shards, given_here, strict=True)):
            self.row_scores[s] = jax.device_put(given, shard.device)
        self._maximise(
            everything, self._sweeps(everything, self._spreads(False), given=True, far=False), False
        )
        if (
            self._far() or not self.found.all()
        ):  # the means are known now, so the covariances can be had about them
            self.bad[:] = False
            moments = self._sweeps(everything, self._spreads(True), given=True, far=True)
            self._maximise(everything, moments, True)

    def load(self, given: Mapping[int, Given], centres: np.ndarray) -> None:
        """Put the parameters (weights, means, precisions_cholesky) of some mixtures in place."""
        dim, self._held = self.layout.dim, []
        for m, parameters in given.items():
            first = self.layout.component_starts[m]
            slots = slice(first, first + self.layout.components[m])
            self.weights[slots], means, factors = given_parameters(parameters)
            self.means[slots, :dim] = means - centres[m]
            if self.tied:
                self.factors[m] = np.eye(self.layout.padded_dim)
                self.factors[m, :dim, :dim] = factors.T
            else:
                self.factors[slots] = 1.0
                self.factors[slots, :dim] = factors if self.kind == "diag" else factors[:, None]
            self.stale[m] = True
            self.bad[m] = False

    def step(self, following: np.ndarray, *, maximise: bool = True) -> np.ndarray:
        """As `full.FullEngine.step`."""
        todo = self.stale.copy()
        if todo.any():
            far = self._far()
            moments = self._sweeps(todo, self._spreads(far), given=False, far=far)
            self.stale[:] = False
            if maximise and (todo & following).any():
                self._maximise(todo & following, moments, far)
        return mean_densities(self.everywhere, self.norms, self.row_weights, self.masses)

    def _sweeps(
        self, mixtures: np.ndarray, spreads: Spreads, *, given: bool, far: bool
    ) -> list[tuple[jax.Array, ...]]:
        """Moments of each shard's rows of the chosen mixtures."""
        return [self._sweep_shard(s, mixtures, spreads, given, far) for s in range(len(self.shards))]

    def _sweep_shard(
        self, s: int, mixtures: np.ndarray, spreads: Spreads, given: bool, far: bool
    ) -> tuple[jax.Array, ...]:
        shard, slots, dim = self.shards[s], self.layout.slots, self.layout.padded_dim
        widths, rows, weights = self.layout.components.astype(np.int32), shard.rows(), self._placed_weights[s]
        state = (
            self.row_norms[s],
            self.row_scores[s],
            zeros(slots, np.float64, shard.device),
            zeros((slots, dim), np.float64, shard.device),
            zeros(self._squares_shape(far), np.float64, shard.device),
        )
        for block, listed in self._listed(shard, mixtures):
            for count, (chunk,) in in_chunks((listed,), max(16, shard.capacity // 512)):
                state = _sweep(
                    rows,
                    state,
                    spreads,
                    widths,
                    weights,
                    chunk,
                    count,
                    block=block,
                    columns=self.layout.columns,
                    tied=self.tied,
                    given=given,
                    far=far,
                )
        self.row_norms[s], self.row_scores[s] = state[:2]
        return state[2:]

    def _squares_shape(self, far: bool) -> tuple[int, ...]:
        if not self.tied:
            return self.means.shape
        return self.factors.shape if far else (1, 1)

    def _listed(self, shard: Shard, mixtures: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
        firsts, big = self.layout.component_starts, self.layout.big_block
        for block, blocks in zip((big, SMALL_BLOCK), row_blocks(shard, mixtures, big), strict=True):
            yield block, np.column_stack([blocks, firsts[blocks[:, 3]]]).astype(np.int32)

    def _far(self) -> bool:
        """Whether a mean lies so far from the centre that products cancel what matters."""
        mixture = np.minimum(self.mixture_of, len(self.layout.sizes) - 1)
        white = (
            np.einsum("cij,cj->ci", self.factors[mixture], self.means)
            if self.tied
            else self.means * self.factors
        )
        blur = np.finfo(np.float64).eps * (white * white).sum(axis=1)[: self.used]
        return bool((blur > _BLUR).any())

    def _spreads(self, far: bool) -> Spreads:
        """Parameters in the E step's form."""
        mixture = np.minimum(self.mixture_of, len(self.layout.sizes) - 1)
        if self.tied:
            roots: np.ndarray = np.ones((self.layout.slots, 1))
            white = np.einsum("cij,cj->ci", self.factors[mixture], self.means)
            log_det = np.log(np.maximum(np.einsum("mii->mi", self.factors), 1e-300)).sum(axis=1)[mixture]
            precisions, transforms = np.ones_like(self.means), self.factors.transpose(0, 2, 1)
        else:
            roots = self.factors
            white = self.means * roots
            log_det = np.log(np.maximum(self.factors, 1e-300))[:, : self.layout.dim].sum(axis=1)
            precisions, transforms = roots * roots, np.zeros((1, 1, 1))
        constant = np.log(np.maximum(self.weights, 1e-300)) + log_det
        constant -= 0.5 * self.layout.dim * np.log(2 * np.pi)
        offsets = constant if far else constant - 0.5 * np.sum(white * white, axis=1)
        transforms = np.ascontiguousarray(transforms)
        return Spreads(precisions, white * roots, offsets, transforms, self.means)

    def _maximise(self, mixtures: np.ndarray, moments: Sequence[tuple[jax.Array, ...]], far: bool) -> None:
        """The M step of the chosen mixtures from the moments about zero or, with `far`, about the means."""
        rows, dim = self.means.shape
        shapes = ((rows,), (rows, dim), self._squares_shape(far))
        parts = [sum((np.asarray(m[i]) for m in moments), np.zeros(s)) for i, s in enumerate(shapes)]
        counts, sums, squares = all_reduce(self.everywhere[0].devices, parts)
        mixtures = mixtures & self._renewed([] if far else [counts, sums, squares])
        if not mixtures.any():
            return
        slots = np.append(mixtures, False)[self.mixture_of]
        totals = np.bincount(self.mixture_of, counts, len(mixtures) + 1)
        counts = counts + 10 * np.finfo(np.float64).eps
        shifts = sums / counts[:, None]
        self.weights = np.where(slots, counts / np.maximum(totals[self.mixture_of], 1e-300), self.weights)
        self.means = np.where(slots[:, None], self.means + shifts if far else shifts, self.means)
        if self.tied:
            if not far:
                squares = self.grams = self._all_grams() if self.grams is None else self.grams
            self._update_tied(mixtures, counts, shifts, squares)
        else:
            second = squares / counts[:, None]
            variances = (second - shifts**2)[:, : self.layout.dim]
            rounding = 4 * np.finfo(np.float64).eps * second[:, : self.layout.dim]
            variances = np.where(variances > rounding, variances, 0.0)
            if self.kind == "spherical":
                variances = np.broadcast_to(variances.mean(axis=1, keepdims=True), variances.shape)
            variances = variances + self.reg_covar
            bad = slots & (variances <= 0).any(axis=1)
            self.bad[self.mixture_of[bad]] = True
            roots = np.ones(self.means.shape)
            roots[:, : self.layout.dim] = 1.0 / np.sqrt(np.where(variances > 0, variances, 1.0))
            self.factors = np.where(slots[:, None], roots, self.factors)
        self.stale |= mixtures

    def _renewed(self, moments: list[np.ndarray]) -> np.ndarray:
        """(M,) mixtures whose moments are not those that their parameters are from; keeps them to tell.

        Args:
            moments: about the centres, an array over components each (or none); an empty list if about means.
        """
        before, self._held = self._held, [moment for moment in moments if len(moment) == len(self.means)]
        renewed = np.ones(len(self.layout.sizes) + 1, bool)
        if before and self._held:
            pairs = zip(before, self._held, strict=True)
            same = [(old == new).reshape(len(new), -1).all(axis=1) for old, new in pairs]
            renewed[:] = False
            renewed[self.mixture_of[~np.all(same, axis=0)]] = True
        return renewed[:-1]

    def _update_tied(
        self, mixtures: np.ndarray, counts: np.ndarray, shifts: np.ndarray, grams: np.ndarray
    ) -> None:
        """Factors of the chosen mixtures, from moments and shifts about the same centre or centres."""
        unit = np.arange(self.layout.padded_dim) >= self.layout.dim
        covariances = np.zeros_like(grams)
        squares = np.zeros(covariances.shape[:2])
        for m in np.flatnonzero(mixtures):
            first = self.layout.component_starts[m]
            slots = slice(first, first + self.layout.components[m])
            outer = (counts[slots, None] * shifts[slots]).T @ shifts[slots]
            covariances[m] = (grams[m] - outer) / counts[slots].sum()
            squares[m] = np.diagonal(grams[m]) / counts[slots].sum()
        factors, found = (np.asarray(v) for v in _factors(covariances, squares, self.reg_covar, unit))
        self.bad |= mixtures & ~found
        self.found = np.where(mixtures, found, self.found)
        self.factors = np.where(mixtures[:, None, None], factors, self.factors)

    def _all_grams(self) -> np.ndarray:
        total = np.zeros((len(self.layout.sizes), *(self.layout.padded_dim,) * 2))
        for shard, weights in zip(self.shards, self._placed_weights, strict=True):
            rows, grams = shard.rows(), zeros(total.shape, np.float64, shard.device)
            for block, listed in self._listed(shard, np.ones(len(total), bool)):
                for count, (chunk,) in in_chunks((listed,), max(16, shard.capacity // 512)):
                    grams = _gram(rows, grams, weights, chunk, count, block=block)
            total += np.asarray(grams)
        return all_reduce(self.everywhere[0].devices, total)

    @property
    def norms(self) -> list[np.ndarray]:
        """Log densities of every shard's samples."""
        return [np.asarray(n)[: s.count] for n, s in zip(self.row_norms, self.shards, strict=True)]

    def scores(self) -> list[np.ndarray]:
        """Log weighted densities (K, rows) of every shard's samples."""
        return [np.asarray(v)[:, : s.count] for v, s in zip(self.row_scores, self.shards, strict=True)]

    def failed(self) -> np.ndarray:
        """(M,) bool: mixtures with a component of zero variance."""
        return self.bad

    def parameters(self, m: int, centre: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Weights (K,), means (K, D) and precisions_cholesky of mixture `m`, as scikit-learn shapes them."""
        first, dim = self.layout.component_starts[m], self.layout.dim
        slots = slice(first, first + self.layout.components[m])
        if self.tied:
            factor = self.factors[m, :dim, :dim].T
        else:
            factor = self.factors[slots, :dim] if self.kind == "diag" else self.factors[slots, 0]
        return self.weights[slots].copy(), self.means[slots, :dim] + centre, factor.copy()
