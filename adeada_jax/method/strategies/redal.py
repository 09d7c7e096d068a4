"""ReDAL (supplement B; Wu et al. 2021): entropy and edges, fewer of the same kind."""

from dataclasses import dataclass

import numpy as np

from adeada_jax.method import ranking
from adeada_jax.method.regions import Regions
from adeada_jax.method.strategy import Pick, Request, Selection
from adeada_jax.mixtures.clustering import cluster


@dataclass(frozen=True)
class Redal:
    """Entropy plus edges, decayed within clusters of similar regions, then one ranking.

    Down the ranking of the plain scores every region's score is multiplied by
    `decay ** (regions of its cluster before it)`; the regions are ranked again and bought.

    Attributes:
      edge_weight: of the share of edge pixels (0 to 1) beside the entropy in nats.
      clusters: of z, by k-means over the available regions.
      decay: factor for each earlier region of the same cluster.
    """

    edge_weight: float = 0.05
    clusters: int = 400
    decay: float = 0.95

    needs = ("features", "entropy", "edges")

    def select(self, regions: Regions, request: Request) -> Selection:
        plain = regions["entropy"] + self.edge_weight * regions["edges"]
        order = regions.ranked(plain)
        if not len(order):
            return Selection(())
        labels = cluster(
            regions["features"][order], min(self.clusters, len(order)), seed=(request.seed, request.round)
        ).labels
        score = np.zeros(len(plain))
        score[order] = plain[order] * self.decay ** earlier_of_same(labels)
        taken = ranking.affordable(regions.ranked(score), regions.pixels, request.budget)
        return Selection(tuple(Pick(index, "redal", float(score[index])) for index in taken))


def earlier_of_same(labels: np.ndarray) -> np.ndarray:
    """`(N,)` for each entry how many before it have the same label."""
    order = np.argsort(labels, kind="stable")
    ordered = labels[order]
    first = np.searchsorted(ordered, ordered)
    counts = np.empty(len(labels), np.int64)
    counts[order] = np.arange(len(labels)) - first
    return counts
