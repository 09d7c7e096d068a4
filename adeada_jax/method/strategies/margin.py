"""MAR (supplement B, Eq. 8): regions whose two likeliest classes are closest."""

from adeada_jax.method.regions import Regions
from adeada_jax.method.strategy import Request, Selection, buy_ranked


class Margin:
    """The smallest mean difference between the two largest softmax probabilities first.

    The paper adds "for each category" but names no budgets by category; one ranking serves all, as in the
    authors' code.
    """

    needs = ("margin",)

    def select(self, regions: Regions, request: Request) -> Selection:
        return Selection(buy_ranked(regions, -regions["margin"], method="margin", budget=request.budget))
