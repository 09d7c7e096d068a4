"""RAND (supplement B): regions in random order."""

import numpy as np

from adeada_jax.method.regions import Regions
from adeada_jax.method.strategy import Request, Selection, buy_ranked


class Random:
    """Every available region is as likely as every other; the draw depends on seed and round alone."""

    needs = ()

    def select(self, regions: Regions, request: Request) -> Selection:
        generator = np.random.default_rng([request.seed, request.round])
        score = generator.random(len(regions))
        return Selection(buy_ranked(regions, score, method="random", budget=request.budget))
