"""Budgets by predicted class, and an order within each: what of ADeADA's purchases is whose work.

Density-aware selection (Section 3.3.1) does two things at once: Eq. 6 says how much of each class is bought,
the ranking by pi says what. KL divergences grow where a class has few regions, so Eq. 6 favours rare classes,
too. Strategies of this module do one without the other. Not in the paper.
"""

from dataclasses import dataclass

import numpy as np

from adeada_jax.method import budgets
from adeada_jax.method.ingredients.density_difference import divergence
from adeada_jax.method.regions import Regions
from adeada_jax.method.strategy import Pick, Request, Selection, buy_ranked


@dataclass(frozen=True)
class ByClass:
    """Divides the whole budget among predicted classes and buys each class's share in some order.

    What the classes leave goes to regions in random order.

    Attributes:
      name: of the strategy, as selection.csv has it.
      share: "kl" (Eq. 6), "equal" (each class with a region the same), or "rarity" (the inverse of a class's
        number of regions, bought ones included).
      order: "density" (pi, largest first) or "random".
    """

    name: str
    share: str
    order: str

    @property
    def needs(self) -> tuple[str, ...]:
        compares = self.share == "kl" or self.order == "density"
        return ("probabilities", "density") if compares else ("probabilities",)

    def select(self, regions: Regions, request: Request) -> Selection:
        weights = self._weights(regions)
        shares = budgets.class_budgets(weights, request.budget)
        drawn = np.random.default_rng([request.seed, request.round]).random(len(regions))
        score = regions["density"] if self.order == "density" else drawn
        usable = np.isfinite(score)
        score = np.where(usable, score, 0.0)
        orders = [regions.ranked(score, usable & (regions.classes == c)) for c in range(len(weights))]
        bought = budgets.buy_by_class(orders, regions.pixels, shares, request.budget)
        picks = tuple(Pick(index, self.name, float(score[index])) for index in bought)
        left = regions.buy(bought, round=request.round, budget=request.budget)
        spent = left.labelled_pixels - regions.labelled_pixels
        rest = buy_ranked(left, drawn, method="random", budget=request.budget - spent)
        return Selection(picks + rest, shares)

    def _weights(self, regions: Regions) -> np.ndarray:
        """(C,) shares of the classes, summing to 1, or all 0 where none has any."""
        number = regions["probabilities"].shape[1]
        if self.share == "kl":
            return budgets.class_weights(divergence(regions["density"], regions.classes, number))
        count = np.bincount(regions.classes, minlength=number)
        weights = (count > 0) / np.maximum(count, 1) if self.share == "rarity" else (count > 0).astype(float)
        return weights / max(weights.sum(), 1e-300)


# By name: what the budget goes by, and the order within a class. The two that are missing of the six are
# ADeADA's own with `schedule=density`, with and without `class_balance`.
BY_CLASS = {
    "kl_random": ("kl", "random"),
    "equal_random": ("equal", "random"),
    "rare": ("rarity", "random"),
    "rare_density": ("rarity", "density"),
}
