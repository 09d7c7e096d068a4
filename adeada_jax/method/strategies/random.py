"""RAND (supplement B): regions in random order."""

import numpy as np

from adeada_jax.method.regions import Regions
from adeada_jax.method.strategy import OneScore, Request


class Random(OneScore):
    """Every available region is as likely as every other; the draw depends on seed and round alone."""

    name = "random"

    def score(self, regions: Regions, request: Request) -> np.ndarray:
        return np.random.default_rng([request.seed, request.round]).random(len(regions))
