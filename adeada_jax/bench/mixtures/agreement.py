"""How far two contenders' results are one: likelihoods, pi, and what would be bought."""

from collections.abc import Callable, Iterable, Sequence

import numpy as np
from scipy.stats import spearmanr

from adeada_jax.bench.mixtures.fits import FitRecord
from adeada_jax.bench.mixtures.problem import Problem

# buy(kl (C,), every class's regions in order of pi, budget in regions) -> regions bought
Buy = Callable[[np.ndarray, list[np.ndarray], int], Iterable[int]]


def likelihood_losses(fits: Sequence[FitRecord], reference: Sequence[FitRecord]) -> list[float]:
    """Relative losses of final mean log-likelihood against the reference; negative where it is better."""
    theirs = {(f["domain"], f["of_class"]): f["log_likelihood"] for f in reference}
    losses = []
    for fit in fits:
        expected = theirs.get((fit["domain"], fit["of_class"]))
        if fit["log_likelihood"] is not None and expected is not None:
            losses.append((expected - fit["log_likelihood"]) / max(abs(expected), 1e-9))
    return losses


def rank_correlations(problem: Problem, importance: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Spearman's correlation of pi in every class (C,); NaN where either has none or under 3 regions."""
    result = np.full(len(problem.components), np.nan)
    for c in np.flatnonzero(problem.components):
        rows = problem.classes[1] == c
        both = rows & np.isfinite(importance) & np.isfinite(reference)
        if both.sum() >= 3:
            result[c] = spearmanr(importance[both], reference[both]).statistic
    return result


def bought(problem: Problem, importance: np.ndarray, buy: Buy, share: float = 0.05) -> set[int]:
    """Regions bought for a budget of `share` of all target regions, all at the same price (Eq. 2, 5, 6)."""
    number = len(problem.components)
    rows = [np.flatnonzero((problem.classes[1] == c) & np.isfinite(importance)) for c in range(number)]
    kl = np.array([importance[r].mean() if len(r) else np.nan for r in rows])
    orders = [r[np.lexsort((r, -importance[r]))] for r in rows]
    return set(buy(kl, orders, int(share * len(importance))))


def overlap(first: set[int], second: set[int]) -> float:
    """Share of the second set that the first holds too."""
    return len(first & second) / len(second) if second else float("nan")
