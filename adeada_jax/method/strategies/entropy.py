"""ENT (supplement B, Eq. 10): regions with the highest mean softmax entropy."""

from adeada_jax.method.regions import Regions
from adeada_jax.method.strategy import Request, Selection, buy_ranked


class Entropy:
    """The conventional uncertainty measure, ADeADA's second half too (Section 3.3.2)."""

    needs = ("entropy",)

    def select(self, regions: Regions, request: Request) -> Selection:
        return Selection(buy_ranked(regions, regions["entropy"], method="entropy", budget=request.budget))
