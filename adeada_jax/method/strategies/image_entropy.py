"""Whole images by their entropy: what image-level selection buys, as a baseline."""

import numpy as np

from adeada_jax.method.regions import Regions
from adeada_jax.method.strategy import Request, Selection, buy_ranked


class ImageEntropy:
    """Images by the mean entropy of all their pixels, the highest first, each bought whole.

    Of the image that what is left cannot pay, the regions that it pays for, by id. The usual baseline of
    papers that compare with image-level selection; it has no single source.
    """

    needs = ("entropy",)

    def select(self, regions: Regions, request: Request) -> Selection:
        entropy = np.bincount(regions.image, regions["entropy"] * regions.pixels)
        pixels = np.bincount(regions.image, regions.pixels)
        score = (entropy / np.maximum(pixels, 1))[regions.image]
        return Selection(buy_ranked(regions, score, method="image_entropy", budget=request.budget))
