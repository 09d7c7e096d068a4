"""ENT (supplement B, Eq. 10): regions with the highest mean softmax entropy."""

import numpy as np

from adeada_jax.method.regions import Regions
from adeada_jax.method.strategy import OneScore, Request


class Entropy(OneScore):
    """The conventional uncertainty measure, ADeADA's second half too (Section 3.3.2)."""

    name, needs = "entropy", ("entropy",)

    def score(self, regions: Regions, request: Request) -> np.ndarray:
        return regions["entropy"]
