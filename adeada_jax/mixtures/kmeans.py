"""K-means of many sample sets at once: k-means++ seeding and Lloyd's iterations, in blocks of rows."""

from collections.abc import Callable, Sequence
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from adeada_jax.mixtures import kmeans_numpy
from adeada_jax.mixtures.packing import SMALL_BLOCK, Layout, Shard, bucket, in_chunks, row_blocks, zeros
from adeada_jax.mixtures.peers import all_gather, all_reduce, own
from adeada_jax.mixtures.programs import HIGHEST

# Of each of this process's shards the labels and squared distances of its rows.
_Array = jax.Array | np.ndarray
_State = list[tuple[_Array, _Array]]


def _distances(x: jax.Array, centres: jax.Array) -> jax.Array:
    """Squared distances (K, B) of x (B, D) to centres (K, D)."""
    cross = lax.dot_general(centres, x, (((1,), (1,)), ((), ())), precision=HIGHEST)
    norms = jnp.sum(centres * centres, axis=1)[:, None] + jnp.sum(x * x, axis=1)
    return jnp.maximum(norms - 2.0 * cross, 0.0)


@partial(jax.jit, static_argnames="block", donate_argnames="nearest")
def _candidate_distances(
    rows: jax.Array,
    nearest: jax.Array,
    candidates: jax.Array,
    blocks: jax.Array,
    count: jax.Array,
    *,
    block: int,
) -> jax.Array:
    """Fill nearest (L, N) with every row's squared distance to its mixture's candidates (M, L, D)."""

    def body(i: jax.Array, nearest: jax.Array) -> jax.Array:
        start, low, high, mixture = blocks[i]
        x = lax.dynamic_slice_in_dim(rows, start, block)
        found = _distances(x, candidates[mixture])
        index = start + jnp.arange(block, dtype=jnp.int32)
        old = lax.dynamic_slice_in_dim(nearest, start, block, axis=1)
        found = jnp.where((index >= low) & (index < high), found, old)
        return lax.dynamic_update_slice_in_dim(nearest, found, start, axis=1)

    return lax.fori_loop(0, count, body, nearest)


@partial(jax.jit, static_argnames="block", donate_argnames=("labels", "distances", "sums", "counts", "moved"))
def _assign(
    rows: jax.Array,
    labels: jax.Array,
    distances: jax.Array,
    sums: jax.Array,
    counts: jax.Array,
    moved: jax.Array,
    weights: jax.Array,
    centres: jax.Array,
    widths: jax.Array,
    blocks: jax.Array,
    count: jax.Array,
    *,
    block: int,
) -> tuple[jax.Array, ...]:
    """One assignment: labels and squared distances (N,), sums (M, K, D), counts (M, K), moved (M,).

    Sums and counts weigh every row by `weights` (N,).
    """
    number = centres.shape[1]
    column = jnp.arange(number, dtype=jnp.int32)[:, None]

    def body(i: jax.Array, carry: tuple[jax.Array, ...]) -> tuple[jax.Array, ...]:
        labels, distances, sums, counts, moved = carry
        start, low, high, mixture = blocks[i]
        x = lax.dynamic_slice_in_dim(rows, start, block)
        away = jnp.where(column < widths[mixture], _distances(x, centres[mixture]), jnp.inf)
        nearest = jnp.min(away, axis=0)
        label = jnp.min(jnp.where(away == nearest, column, number), axis=0)
        index = start + jnp.arange(block, dtype=jnp.int32)
        inside = (index >= low) & (index < high)
        old = lax.dynamic_slice_in_dim(labels, start, block)
        was = lax.dynamic_slice_in_dim(distances, start, block)
        weight = lax.dynamic_slice_in_dim(weights, start, block)
        members = jnp.where((label == column) & inside, weight, 0)
        sums = sums.at[mixture].add(jnp.matmul(members, x, precision=HIGHEST))
        counts = counts.at[mixture].add(jnp.sum(members, axis=1))
        moved = moved.at[mixture].add(jnp.sum(inside & (label != old), dtype=jnp.int32))
        label, nearest = jnp.where(inside, label, old), jnp.where(inside, nearest, was)
        labels = lax.dynamic_update_slice_in_dim(labels, label, start, axis=0)
        distances = lax.dynamic_update_slice_in_dim(distances, nearest, start, axis=0)
        return labels, distances, sums, counts, moved

    return lax.fori_loop(0, count, body, (labels, distances, sums, counts, moved))


def _over_blocks(
    program: Callable[..., tuple[jax.Array, ...]],
    shard: Shard,
    mixtures: np.ndarray,
    block: int,
    state: tuple[_Array, ...],
    *arguments: np.ndarray | jax.Array,
) -> tuple[_Array, ...]:
    """Run `program` over the blocks of the chosen mixtures, large ones first."""
    rows = shard.rows()
    for size, blocks in zip((block, SMALL_BLOCK), row_blocks(shard, mixtures, block), strict=True):
        for count, (chunk,) in in_chunks((blocks,), _chunk(shard)):
            state = program(rows, *state, *arguments, chunk, count, block=size)
    return state


def in_numpy(shard: Shard) -> bool:
    """Whether a shard's rows are clustered in NumPy: on a CPU its products are larger than the programs'."""
    return shard.small or shard.device.platform == "cpu"


def _places(layout: Layout) -> int:
    """Mixtures that arrays have places for: so many that the groups of a call share their programs."""
    return bucket(len(layout.sizes), 16)


def _chunk(shard: Shard) -> int:
    return max(16, shard.capacity // 512)


class _Rows:
    """Rows of a mixture that is spread over shards.

    Attributes:
        weights: for every mixture (n_m,), or None where every sample counts as one.
    """

    def __init__(self, shards: Sequence[Shard], weights: Sequence[np.ndarray] | None = None):
        self.shards = shards
        self.weights = weights

    def weigh(self, mixture: int, values: np.ndarray) -> np.ndarray:
        """Values (..., n_m) times the mixture's weights."""
        return values if self.weights is None else values * self.weights[mixture]

    def weight(self, mixture: int, index: int) -> float:
        """Weight of the mixture's sample `index`."""
        return 1.0 if self.weights is None else float(self.weights[mixture][index])

    def total(self, mixture: int, size: int) -> float:
        """Sum of the mixture's weights."""
        return float(size) if self.weights is None else float(self.weights[mixture].sum(dtype=np.float64))

    def on_devices(self) -> list[jax.Array]:
        """Weights (capacity,) of the rows of each of this process's shards, on its device."""
        placed, done = [], np.zeros(len(self.shards[0].parts), np.int64)
        for shard in self.shards:
            host = np.ones(shard.capacity, shard.dtype)
            for m, (low, part) in enumerate(zip(shard.starts, shard.parts, strict=False)):
                if self.weights is not None:
                    host[low : low + len(part)] = self.weights[m][done[m] : done[m] + len(part)]
                done[m] += len(part)
            if shard.process == jax.process_index():
                placed.append(jax.device_put(host, shard.device))
        return placed

    def locate(self, mixture: int, index: int) -> np.ndarray:
        """Centred features (D,) of the mixture's sample `index`."""
        for shard in self.shards:
            part = shard.parts[mixture]
            if index < len(part):
                return (part[index] - shard.centres[mixture]).astype(shard.dtype)
            index -= len(part)
        raise IndexError(index)

    def gather(self, mixture: int, per_shard: Sequence[np.ndarray]) -> np.ndarray:
        """A mixture's part of arrays (..., rows), one a shard."""
        parts = [
            values[..., shard.starts[mixture] : shard.starts[mixture + 1]]
            for shard, values in zip(self.shards, per_shard, strict=True)
        ]
        return np.concatenate(parts, axis=-1)


def kmeans_plusplus(
    shards: Sequence[Shard],
    layout: Layout,
    generators: Sequence[np.random.Generator],
    weights: Sequence[np.ndarray] | None = None,
    firsts: Sequence[int] | None = None,
) -> list[np.ndarray]:
    """Indices (K_m,) of every mixture's seeds among its samples.

    Each seed is the best of 2 + log K candidates drawn in proportion to the (weighted) squared distance
    from the seeds before (Arthur and Vassilvitskii's greedy variant); the first is given by `firsts`, or
    drawn in proportion to the weights.
    """
    mixtures, rows = len(layout.sizes), _Rows(shards, weights)
    trials = 2 + np.log(layout.components).astype(int)
    most = 2 + int(np.log(layout.columns))
    if firsts is not None:
        chosen = [[int(first)] for first in firsts]
    elif weights is None:
        chosen = [[int(g.integers(n))] for g, n in zip(generators, layout.sizes, strict=True)]
    else:
        chosen = [[int(_draw(g, w, [], 1)[0])] for g, w in zip(generators, weights, strict=True)]
    drawn = [np.array(c) for c in chosen]
    nearest = [np.zeros(0)] * mixtures  # distances to the seeds, once there is one
    for step in range(int(layout.components.max())):
        seeking = layout.components > max(step, 1)
        if not seeking.any():
            break
        candidates = np.zeros((_places(layout), most, layout.padded_dim), shards[0].dtype)
        for m in np.flatnonzero(seeking).tolist():
            for t, index in enumerate(drawn[m]):
                candidates[m, t, : layout.dim] = rows.locate(m, int(index))
        found = [_to_candidates(shard, layout, seeking, candidates) for shard in own(shards)]
        found = all_gather(shards, found, candidates.dtype, (most,))
        for m in np.flatnonzero(seeking).tolist():
            distances = rows.weigh(m, rows.gather(m, found)[: len(drawn[m])])
            if step:
                distances = np.minimum(distances, nearest[m])
                best = int(np.argmin(distances.sum(axis=1, dtype=np.float64)))
                chosen[m].append(int(drawn[m][best]))
                nearest[m] = distances[best]
            else:
                nearest[m] = distances[0]
            drawn[m] = _draw(generators[m], nearest[m], chosen[m], trials[m])
    return [np.array(c[:k]) for c, k in zip(chosen, layout.components, strict=True)]


def _to_candidates(shard: Shard, layout: Layout, seeking: np.ndarray, candidates: np.ndarray) -> np.ndarray:
    """Squared distances (L, rows) of a shard's rows to their mixture's candidates (M, L, D)."""
    if in_numpy(shard):
        rows, mixtures = shard.on_host(), len(layout.sizes)
        return kmeans_numpy.candidate_distances(
            rows, shard.squares(), shard.starts, seeking, candidates[:mixtures]
        )
    (found,) = _over_blocks(
        lambda r, s, *a, **k: (_candidate_distances(r, s, *a, **k),),
        shard,
        seeking,
        layout.big_block,
        (zeros((candidates.shape[1], shard.capacity), shard.dtype, shard.device),),
        candidates,
    )
    return np.asarray(found)


def _draw(generator: np.random.Generator, nearest: np.ndarray, chosen: list[int], trials: int) -> np.ndarray:
    cumulative = np.cumsum(nearest, dtype=np.float64)
    if cumulative[-1] <= 0:  # fewer distinct samples than seeds: any sample not chosen yet
        free = np.setdiff1d(np.arange(len(nearest)), chosen)
        return generator.choice(free if len(free) else len(nearest), size=trials)
    picks = np.searchsorted(cumulative, generator.random(trials) * cumulative[-1], side="right")
    return np.minimum(picks, len(nearest) - 1)


def kmeans(
    shards: Sequence[Shard],
    layout: Layout,
    generators: Sequence[np.random.Generator],
    *,
    max_iter: int = 300,
    tol: float = 1e-4,
    weights: Sequence[np.ndarray] | None = None,
    firsts: Sequence[int] | None = None,
) -> list[np.ndarray]:
    """Cluster (n_m,) int32 of every sample of every mixture.

    Args:
        shards: the samples.
        layout: the mixtures; `components` are the numbers of clusters.
        generators: of the seeding, one a mixture.
        max_iter: most Lloyd iterations.
        tol: a mixture is done when no label changes or the centres' squared shift is below `tol`
            times the features' mean variance.
        weights: of every mixture's samples (n_m,), not negative; None counts each as one.
        firsts: index of every mixture's first seed; None draws it.
    """
    rows, mixtures = _Rows(shards, weights), len(layout.sizes)
    weighed = rows.on_devices()
    dtype = shards[0].dtype
    centres = np.zeros((mixtures, layout.columns, layout.padded_dim), dtype)
    for m, seeds in enumerate(kmeans_plusplus(shards, layout, generators, weights, firsts)):
        for k, index in enumerate(seeds):
            centres[m, k, : layout.dim] = rows.locate(m, int(index))
    thresholds = None
    active = np.ones(mixtures, bool)
    final = np.zeros(mixtures, bool)  # mixtures whose labels await one last assignment
    state: _State = [
        (zeros(s.capacity, np.int32, s.device), zeros(s.capacity, dtype, s.device)) for s in own(shards)
    ]
    for iteration in range(max_iter):
        sums, counts, moved = _assign_all(shards, layout, active, state, weighed, centres)
        if thresholds is None:
            thresholds = tol * _mean_variances(rows, layout, state, sums, counts, centres)
        _relocate_empty(rows, layout, state, active, centres, sums, counts)
        filled = counts[:, :, None] > 0
        updated = np.where(filled, sums / np.where(filled, counts[:, :, None], 1), centres)
        shift = np.sum((updated - centres) ** 2, axis=(1, 2), dtype=np.float64)
        still = ((moved == 0) & (iteration > 0)) | (shift <= thresholds)
        final |= active & still & (moved > 0)
        centres = np.where(active[:, None, None], updated, centres).astype(dtype)
        active &= ~still
        if not active.any():
            break
    if (final | active).any():
        _assign_all(shards, layout, final | active, state, weighed, centres)
    labels = _labels(shards, state)
    return [rows.gather(m, labels) for m in range(mixtures)]


def _assign_all(
    shards: Sequence[Shard],
    layout: Layout,
    active: np.ndarray,
    state: _State,
    weights: Sequence[jax.Array],
    centres: np.ndarray,
) -> list[np.ndarray]:
    """Assign the active mixtures' rows; renew `state` and return sums, counts, moved over all shards."""
    mixtures = len(centres)
    totals: list[np.ndarray] = [np.zeros(centres.shape), np.zeros(centres.shape[:2]), np.zeros(mixtures)]
    pending = []
    for s, shard in enumerate(own(shards)):
        labels, distances, *sums = _assigned(shard, layout, active, state[s], weights[s], centres)
        state[s] = labels, distances
        pending.append(sums)
    for part in pending:
        totals = [t + np.asarray(value)[:mixtures] for t, value in zip(totals, part, strict=True)]
    return all_reduce(shards[0].devices, totals)


def _assigned(
    shard: Shard,
    layout: Layout,
    active: np.ndarray,
    state: tuple[_Array, _Array],
    weights: jax.Array,
    centres: np.ndarray,
) -> tuple[_Array, ...]:
    """`_assign` of a shard's rows, from labels and distances before."""
    if in_numpy(shard):
        before = np.asarray(state[0]), np.asarray(state[1])
        return kmeans_numpy.assign(
            shard.on_host(),
            shard.squares(),
            shard.starts,
            active,
            before,
            np.asarray(weights),
            centres,
            layout.components.tolist(),
        )
    places, columns = _places(layout), centres.shape[1]
    widths = np.zeros(places, np.int32)
    widths[: len(centres)] = layout.components
    placed = np.zeros((places, *centres.shape[1:]), centres.dtype)
    placed[: len(centres)] = centres
    start = (
        *state,
        zeros(placed.shape, shard.dtype, shard.device),
        zeros((places, columns), shard.dtype, shard.device),
        zeros(places, np.int32, shard.device),
    )
    return _over_blocks(_assign, shard, active, layout.big_block, start, weights, placed, widths)


def _labels(shards: Sequence[Shard], state: _State) -> list[np.ndarray]:
    """Labels of all shards' rows, from the state of this process's."""
    return all_gather(shards, [np.asarray(labels) for labels, _ in state], np.int32)


def _nearest(shards: Sequence[Shard], state: _State) -> list[np.ndarray]:
    """Squared distances of all shards' rows to their centres."""
    return all_gather(shards, [np.asarray(distances) for _, distances in state], shards[0].dtype)


def _mean_variances(
    rows: _Rows, layout: Layout, state: _State, sums: np.ndarray, counts: np.ndarray, centres: np.ndarray
) -> np.ndarray:
    """(M,) mean over features of the samples' variance, from the first assignment's distances."""
    distances = _nearest(rows.shards, state)
    variances = np.zeros(len(layout.sizes))
    for m, size in enumerate(layout.sizes):
        # sum |x|^2 = sum |x - c|^2 + 2 c . sum x - n |c|^2, cluster by cluster
        inertia = rows.weigh(m, rows.gather(m, distances)).sum(dtype=np.float64)
        size = rows.total(m, size)
        c = centres[m].astype(np.float64)
        total = inertia + 2 * np.sum(c * sums[m]) - np.sum(counts[m] * np.sum(c * c, axis=1))
        mean = sums[m].sum(axis=0) / size
        variances[m] = max(total / size - mean @ mean, 0.0) / layout.dim
    return variances


def _relocate_empty(
    rows: _Rows,
    layout: Layout,
    state: _State,
    active: np.ndarray,
    centres: np.ndarray,
    sums: np.ndarray,
    counts: np.ndarray,
) -> None:
    """Give every cluster without samples the sample that is farthest from its own centre."""
    empty = active[:, None] & (counts == 0) & (np.arange(centres.shape[1]) < layout.components[:, None])
    if not empty.any():
        return
    labels, distances = _labels(rows.shards, state), _nearest(rows.shards, state)
    for m in np.flatnonzero(empty.any(axis=1)).tolist():
        away, label = rows.gather(m, distances), rows.gather(m, labels)
        farthest = np.argsort(-away, kind="stable")
        for k, index in zip(np.flatnonzero(empty[m]), farthest, strict=False):
            sample = rows.locate(m, int(index)).astype(np.float64)
            old = label[index]
            weight = rows.weight(m, int(index))
            if weight <= 0 or counts[m, old] <= weight:
                continue
            counts[m, old] -= weight
            sums[m, old, : layout.dim] -= weight * sample
            counts[m, k] = weight
            sums[m, k] = 0
            sums[m, k, : layout.dim] = weight * sample
