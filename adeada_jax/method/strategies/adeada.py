"""ADeADA (Section 3, Algorithm 1): dense in the target and rare in the source, then uncertain."""

from dataclasses import dataclass

import numpy as np

from adeada_jax.method import budgets as allocation
from adeada_jax.method import schedule
from adeada_jax.method.ingredients.density_difference import divergence
from adeada_jax.method.regions import Regions
from adeada_jax.method.strategy import Pick, Request, Selection, buy_ranked


@dataclass(frozen=True)
class Adeada:
    """Density-aware selection with category-balanced budgets, then entropy on what is left.

    Attributes:
      alpha: balance coefficient (Eq. 7).
      beta: decay rate (Eq. 7).
      schedule: see `schedule.SCHEDULES`.
      class_balance: weigh classes by their KL divergence (Eq. 6) instead of equally.
    """

    alpha: float = 1.0
    beta: float = 1.0
    schedule: str = "half"
    class_balance: bool = True

    needs = ("probabilities", "entropy", "density")

    def select(self, regions: Regions, request: Request) -> Selection:
        share = schedule.density_share(self.schedule, request.round, alpha=self.alpha, beta=self.beta)
        density_budget = int(share * request.budget)
        dense, budgets = self._density_picks(regions, density_budget)
        left = regions.buy([pick.index for pick in dense], round=request.round, budget=density_budget)
        spent = left.labelled_pixels - regions.labelled_pixels
        # What density could not spend (no class has a density, regions ran out) goes to uncertainty.
        uncertain = buy_ranked(left, regions["entropy"], method="entropy", budget=request.budget - spent)
        return Selection(dense + uncertain, budgets)

    def _density_picks(self, regions: Regions, budget: int) -> tuple[tuple[Pick, ...], np.ndarray]:
        importance, classes = regions["density"], regions.classes
        kl = divergence(importance, classes, regions["probabilities"].shape[1])
        weights = allocation.class_weights(kl, class_balance=self.class_balance)
        budgets = allocation.class_budgets(weights, budget)
        scored = np.isfinite(importance)
        score = np.where(scored, importance, 0.0)
        orders = [regions.ranked(score, scored & (classes == c)) for c in range(len(kl))]
        bought = allocation.buy_by_class(orders, regions.pixels, budgets, budget)
        return tuple(Pick(index, "density", float(importance[index])) for index in bought), budgets
