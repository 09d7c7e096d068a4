"""RIPU (Xie et al., CVPR 2022): regions of many predicted classes that the network is unsure of."""

import numpy as np

from adeada_jax.method.regions import Regions
from adeada_jax.method.strategy import OneScore, Request


class Ripu(OneScore):
    """Region impurity times prediction uncertainty, in nats squared.

    Impurity is the entropy of the shares that the classes predicted for a region's pixels have; uncertainty
    the mean entropy of its pixels. The paper's regions are squares around each pixel and each image gives the
    same share of the budget; here they are those of the table, in one ranking.
    """

    name, needs = "ripu", ("predicted_shares", "entropy")

    def score(self, regions: Regions, request: Request) -> np.ndarray:
        return impurity(regions["predicted_shares"]) * regions["entropy"]


def impurity(shares: np.ndarray) -> np.ndarray:
    """`(N,)` float64 nats: the entropy of each row of `(N, C)` shares."""
    shares = np.asarray(shares, np.float64)
    return -np.where(shares > 0, shares * np.log(np.maximum(shares, np.finfo(np.float64).tiny)), 0.0).sum(1)
