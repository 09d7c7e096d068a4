"""Weights of samples: a sample of weight w counts as w equal ones, and one of weight zero is not there.

Samples without weight are left out before anything is computed, so that nothing depends on them. They get
their densities and labels when the fit is done.
"""

from collections.abc import Sequence

import numpy as np

from adeada_jax.mixtures.packing import Rows, Samples


def checked_weights(
    weights: Sequence[np.ndarray | None], arrays: Sequence[Samples]
) -> list[np.ndarray] | None:
    """Weights (n,) float64 of every sample set, or None where all samples of all sets count as one.

    Args:
        weights: (n,) of every sample set; None counts its samples as one each.
        arrays: the sample sets (n, D).

    Raises:
        ValueError: not one for each sample, negative, or not finite; names the sample set.
    """
    if len(weights) != len(arrays):
        raise ValueError(f"sample_weight has {len(weights)} entries for {len(arrays)} sets of features")
    found = []
    for i, (given, array) in enumerate(zip(weights, arrays, strict=True)):
        weight = np.ones(len(array)) if given is None else np.asarray(given, np.float64)
        if weight.shape != (len(array),):
            raise ValueError(f"sample_weight[{i}] must have shape {(len(array),)}, got {weight.shape}")
        if not np.isfinite(weight).all() or (weight < 0).any():
            raise ValueError(f"sample_weight[{i}] must be finite and not negative")
        found.append(weight)
    return None if all((weight == 1).all() for weight in found) else found


def present_rows(array: Samples, weight: np.ndarray) -> tuple[Samples, np.ndarray]:
    """The samples whose weight is not zero, read as they are asked for, and their indices."""
    rows = np.flatnonzero(weight > 0)
    if len(rows) == len(weight):
        return array, rows
    return (Rows(array.array, array.rows[rows]) if isinstance(array, Rows) else Rows(array, rows)), rows


def scaled(weights: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Weights with a mean of one in each set, which neither overflow nor vanish beside rounding."""
    # By the largest first, since the sum of large weights may be infinite.
    small = (weight / weight.max() if len(weight) else weight for weight in weights)
    return [weight / weight.mean() if len(weight) else weight for weight in small]


def first_seeds(generators: Sequence[np.random.Generator], weights: Sequence[np.ndarray]) -> list[int]:
    """Index of every sample set's first k-means++ seed, in proportion to the weights.

    Whole weights draw what so many repeated samples in a row would.
    """
    found = []
    for generator, weight in zip(generators, weights, strict=True):
        ends = np.cumsum(weight)
        whole = ends[-1] < 2**53 and (weight == np.floor(weight)).all()
        at = generator.integers(int(ends[-1])) if whole else generator.random() * ends[-1]
        found.append(min(int(np.searchsorted(ends, at, side="right")), len(weight) - 1))
    return found


def chosen_seeds(
    generator: np.random.Generator, weight: np.ndarray | None, size: int, number: int
) -> np.ndarray:
    """Indices (number,) of different samples, drawn in proportion to the weights."""
    if weight is None or (weight == weight[0]).all():  # as without weights, whatever others have
        return generator.choice(size, size=number, replace=False)
    (shares,) = scaled([weight])
    shares = shares / shares.sum()
    return generator.choice(size, size=number, replace=False, p=shares)
