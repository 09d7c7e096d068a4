"""The two steps of k-means in NumPy, for CPUs: products of many rows at a time, and nothing to compile."""

from collections.abc import Iterator, Sequence

import numpy as np

_ROWS = 4096  # a product's, so that what comes of it stays in a core's cache


def candidate_distances(
    rows: np.ndarray, squares: np.ndarray, starts: np.ndarray, mixtures: np.ndarray, candidates: np.ndarray
) -> np.ndarray:
    """Squared distances (L, N) of rows to their mixture's candidates, zero where a mixture is not asked for.

    Args:
        rows: (N, D), with their squared norms `squares` (N,).
        starts: (M + 1,) first row of every mixture.
        mixtures: (M,) bool, which are asked for.
        candidates: (M, L, D).
    """
    found = np.zeros((candidates.shape[1], len(rows)), rows.dtype)

    for m, at in _parts(starts, mixtures):
        found[:, at] = _distances(rows[at], squares[at], candidates[m])
    return found


def assign(
    rows: np.ndarray,
    squares: np.ndarray,
    starts: np.ndarray,
    mixtures: np.ndarray,
    state: tuple[np.ndarray, np.ndarray],
    weights: np.ndarray,
    centres: np.ndarray,
    widths: Sequence[int],
) -> tuple[np.ndarray, ...]:
    """One assignment of the rows of some mixtures to their nearest centres.

    Args:
        rows, squares, starts, mixtures: as of `candidate_distances`.
        state: labels and squared distances (N,) before, which those of other mixtures keep.
        weights: (N,) of the rows.
        centres: (M, K, D).
        widths: K of every mixture.

    Returns:
        Labels and squared distances (N,), weighted sums (M, K, D) and counts (M, K) in float64, and how many
        labels changed (M,).
    """
    labels, distances = (np.array(values) for values in state)
    sums, counts = np.zeros(centres.shape), np.zeros(centres.shape[:2])
    moved = np.zeros(len(centres), np.int64)

    for m, at in _parts(starts, mixtures):
        number = widths[m]
        away = _distances(rows[at], squares[at], centres[m, :number])
        label = away.argmin(axis=0)
        moved[m] += np.count_nonzero(label != labels[at])
        labels[at], distances[at] = label, away.min(axis=0)
        members = (label == np.arange(number)[:, None]) * weights[at]
        sums[m, :number] += members @ rows[at]
        counts[m, :number] += members.sum(axis=1, dtype=np.float64)
    return labels, distances, sums, counts, moved


def _parts(starts: np.ndarray, mixtures: np.ndarray) -> Iterator[tuple[int, slice]]:
    """Runs of rows of the chosen mixtures."""
    for m in np.flatnonzero(mixtures).tolist():
        for low in range(int(starts[m]), int(starts[m + 1]), _ROWS):
            yield m, slice(low, min(low + _ROWS, int(starts[m + 1])))


def _distances(rows: np.ndarray, squares: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """Squared distances (K, B) of rows (B, D) to centres (K, D)."""
    found = centres @ rows.T
    found *= -2
    found += np.einsum("ki,ki->k", centres, centres)[:, None]
    found += squares
    return np.maximum(found, 0, out=found)
