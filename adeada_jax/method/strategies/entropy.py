"""ENT (supplement B, Eq. 10): regions with the highest mean softmax entropy."""

from adeada_jax.method.strategy import Candidates, Request, Selection, buy_ranked


class Entropy:
    """The conventional uncertainty measure, ADeADA's second half too (Section 3.3.2)."""

    needs = ()

    def select(self, candidates: Candidates, request: Request) -> Selection:
        return Selection(buy_ranked(candidates, candidates.entropy, method="entropy", budget=request.budget))
