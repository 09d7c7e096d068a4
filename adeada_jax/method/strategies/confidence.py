"""CONF (supplement B, Eq. 9): regions whose likeliest class is the least likely."""

import numpy as np

from adeada_jax.method.regions import Regions
from adeada_jax.method.strategy import OneScore, Request


class Confidence(OneScore):
    """The smallest mean largest softmax probability first."""

    name, needs = "confidence", ("confidence",)

    def score(self, regions: Regions, request: Request) -> np.ndarray:
        return -regions["confidence"]
