"""MAR (supplement B, Eq. 8): regions whose two likeliest classes are closest."""

import numpy as np

from adeada_jax.method.regions import Regions
from adeada_jax.method.strategy import OneScore, Request


class Margin(OneScore):
    """The smallest mean difference between the two largest softmax probabilities first.

    The paper adds "for each category" but names no budgets by category; one ranking serves all, as in the
    authors' code.
    """

    name, needs = "margin", ("margin",)

    def score(self, regions: Regions, request: Request) -> np.ndarray:
        return -regions["margin"]
