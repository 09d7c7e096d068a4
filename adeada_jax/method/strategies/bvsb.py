"""BvSB with class balance (Joshi et al., CVPR 2009; Cai et al., CVPR 2021): close calls, rare classes."""

import numpy as np

from adeada_jax.method.regions import Regions
from adeada_jax.method.strategy import Request, Selection, buy_ranked


class Bvsb:
    """The best class versus the second best, weighed by how rare a region's class is among all regions.

    The score is u exp(-n_c / N): u the mean ratio of a pixel's second largest probability to its largest,
    moved so that the least of all regions is 0, and n_c / N the share of the regions whose predicted class
    is c. Joshi et al. take the difference, which is `margin`; Cai et al. the ratio. Their class of a region
    is that of most pixels, here it is c of the table.
    """

    needs = ("second_best", "probabilities")

    def select(self, regions: Regions, request: Request) -> Selection:
        ratio, classes = np.asarray(regions["second_best"], np.float64), regions.classes
        share = np.bincount(classes, minlength=1)[classes] / max(len(regions), 1)
        score = (ratio - ratio.min(initial=1.0)) * np.exp(-share)
        return Selection(buy_ranked(regions, score, method="bvsb", budget=request.budget))
