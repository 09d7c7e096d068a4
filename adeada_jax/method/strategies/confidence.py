"""CONF (supplement B, Eq. 9): regions whose likeliest class is the least likely."""

from adeada_jax.method.regions import Regions
from adeada_jax.method.strategy import Request, Selection, buy_ranked


class Confidence:
    """The smallest mean largest softmax probability first."""

    needs = ("confidence",)

    def select(self, regions: Regions, request: Request) -> Selection:
        score = -regions["confidence"]
        return Selection(buy_ranked(regions, score, method="confidence", budget=request.budget))
