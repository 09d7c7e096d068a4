"""CONF (supplement B, Eq. 9): regions whose likeliest class is the least likely."""

from adeada_jax.method.strategy import Candidates, Request, Selection, buy_ranked


class Confidence:
    """The smallest mean largest softmax probability first."""

    needs = ()

    def select(self, candidates: Candidates, request: Request) -> Selection:
        score = -candidates.confidence
        return Selection(buy_ranked(candidates, score, method="confidence", budget=request.budget))
