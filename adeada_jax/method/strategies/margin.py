"""MAR (supplement B, Eq. 8): regions whose two likeliest classes are closest."""

from adeada_jax.method.strategy import Candidates, Request, Selection, buy_ranked


class Margin:
    """The smallest mean difference between the two largest softmax probabilities first.

    The paper adds "for each category" but names no budgets by category; one ranking serves all, as in the
    authors' code.
    """

    needs = ()

    def select(self, candidates: Candidates, request: Request) -> Selection:
        return Selection(buy_ranked(candidates, -candidates.margin, method="margin", budget=request.budget))
