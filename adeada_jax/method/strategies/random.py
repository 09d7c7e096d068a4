"""RAND (supplement B): regions in random order."""

import numpy as np

from adeada_jax.method.strategy import Candidates, Request, Selection, buy_ranked


class Random:
    """Every available region is as likely as every other; the draw depends on seed and round alone."""

    needs = ()

    def select(self, candidates: Candidates, request: Request) -> Selection:
        generator = np.random.default_rng([request.seed, request.round])
        score = generator.random(len(candidates.image))
        return Selection(buy_ranked(candidates, score, method="random", budget=request.budget))
