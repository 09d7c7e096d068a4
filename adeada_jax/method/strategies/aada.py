"""AADA (supplement B; Su et al. 2020): uncertain regions that the discriminator finds far from the source."""

import numpy as np

from adeada_jax.method.regions import Regions
from adeada_jax.method.strategy import OneScore, Request

# Keeps the weight finite where the discriminator is certain.
_CERTAIN = 1e-6


class Aada(OneScore):
    """Importance weight D / (1 - D) times entropy, D the probability of being target.

    D comes from the warm-up's discriminator, on the current model's softmax maps, averaged over the region.
    Differs from D2ADA, whose region version ranks by D alone, without the entropy.
    """

    name, needs = "aada", ("entropy", "target_probability")

    def score(self, regions: Regions, request: Request) -> np.ndarray:
        probability = np.clip(regions["target_probability"], _CERTAIN, 1 - _CERTAIN).astype(np.float64)
        return probability / (1 - probability) * regions["entropy"]
