"""CLUE (supplement B; Prabhu et al. 2021): k-means of z weighted by entropy."""

import numpy as np

from adeada_jax.method import ranking
from adeada_jax.method.regions import Regions
from adeada_jax.method.strategy import Pick, Request, Selection
from adeada_jax.mixtures.clustering import Clusters, cluster

_ROWS = 4096


class Clue:
    """The nearest region to each centre of as many clusters as regions can be bought.

    As many: the budget over the mean price of the available regions, or fewer, until a region of each
    cluster can be paid. Clusters come in order of their weight, heaviest first; when every cluster gave its
    nearest region and budget is left, they give the second nearest of their own, and so on.
    """

    needs = ("features", "entropy")

    def select(self, regions: Regions, request: Request) -> Selection:
        order = regions.ranked(np.zeros(len(regions)))
        pixels = regions.pixels[order]
        if not len(order) or request.budget < pixels.min():
            return Selection(())
        weights = regions["entropy"][order].astype(np.float64)
        number, found = affordable_clusters(
            regions["features"][order],
            weights,
            pixels,
            budget=request.budget,
            seed=(request.seed, request.round),
        )
        turn = turns(found.labels, found.distances)
        mass = np.bincount(found.labels, weights, minlength=number)[found.labels]
        # Regions of the first turn before those of the second; within a turn the heaviest cluster first.
        queue = np.lexsort((np.arange(len(order)), -mass, turn))
        taken = ranking.affordable(queue, pixels, request.budget)
        return Selection(tuple(Pick(int(order[i]), "clue", float(weights[i])) for i in taken))


def affordable_clusters(
    features: np.ndarray, weights: np.ndarray, pixels: np.ndarray, *, budget: int, seed: tuple[int, ...]
) -> tuple[int, Clusters]:
    """As many clusters as regions can be bought, so that the region nearest to each centre is paid for.

    Args:
      features: `(N, D)`.
      weights: `(N,)` of the regions in k-means; equal if all are zero.
      pixels: `(N,)` prices.
      budget: in pixels.
      seed: of k-means.

    Returns:
      The number of clusters, at least 1, and k-means with that many.
    """
    number = int(np.clip(budget // pixels.mean(), 1, len(pixels)))
    while True:
        found = cluster(features, number, weights=weights if weights.sum() > 0 else None, seed=seed)
        price = int(pixels[turns(found.labels, found.distances) == 0].sum())
        if price <= budget or number == 1:
            return number, found
        number = int(np.clip(number * budget // price, 1, number - 1))


def turns(labels: np.ndarray, distances: np.ndarray) -> np.ndarray:
    """`(N,)` for each sample how many of its own cluster are nearer to the centre; ties by position."""
    order = np.lexsort((np.arange(len(labels)), distances, labels))
    ordered = labels[order]
    result = np.empty(len(labels), np.int64)
    result[order] = np.arange(len(labels)) - np.searchsorted(ordered, ordered)
    return result
