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
from adeada_jax.method.strategies.random import Random
from adeada_jax.method.strategy import OneScore, Pick, Request, Selection, buy_ranked

# What a class's share of the budget goes by: Eq. 6; each class with a region the same; the inverse of a
# class's number of regions, bought ones included; or that number itself.
SHARES = ("kl", "equal", "rarity", "proportional")


class Density(OneScore):
    """pi, NaN where there is none: an order within classes, since Eq. 2 compares within a class only."""

    name, needs = "density", ("density",)

    def score(self, regions: Regions, request: Request) -> np.ndarray:
        return regions["density"]


@dataclass(frozen=True)
class ByClass:
    """Divides the whole budget among predicted classes and buys each class's share in some order.

    Attributes:
      name: of the strategy, as selection.csv has it.
      share: one of SHARES.
      order: within a class; regions that it has no finite score for are left out.
      rest: the order of all regions in which what the classes leave is spent.
    """

    name: str
    share: str
    order: OneScore
    rest: OneScore

    @property
    def needs(self) -> tuple[str, ...]:
        compared = ("density",) if self.share == "kl" else ()
        return tuple(dict.fromkeys(("probabilities", *compared, *self.order.needs, *self.rest.needs)))

    def select(self, regions: Regions, request: Request) -> Selection:
        weights = self._weights(regions)
        shares = budgets.class_budgets(weights, request.budget)
        score = self.order.score(regions, request)
        usable = np.isfinite(score)
        score = np.where(usable, score, 0.0)
        orders = [regions.ranked(score, usable & (regions.classes == c)) for c in range(len(weights))]
        bought = budgets.buy_by_class(orders, regions.pixels, shares, request.budget)
        picks = tuple(Pick(index, self.name, float(score[index])) for index in bought)
        left = regions.buy(bought, round=request.round, budget=request.budget)
        unspent = request.budget - (left.labelled_pixels - regions.labelled_pixels)
        rest = self.rest.score(regions, request)
        return Selection(picks + buy_ranked(left, rest, method=self.rest.name, budget=unspent), shares)

    def _weights(self, regions: Regions) -> np.ndarray:
        """(C,) shares of the classes, summing to 1, or all 0 where none has any."""
        number = regions["probabilities"].shape[1]
        if self.share == "kl":
            return budgets.class_weights(divergence(regions["density"], regions.classes, number))
        count = np.bincount(regions.classes, minlength=number)
        power = {"equal": 0.0, "rarity": -1.0, "proportional": 1.0}[self.share]
        weights = np.where(count > 0, np.maximum(count, 1) ** power, 0.0)
        return weights / max(weights.sum(), 1e-300)


# By name: what the budget goes by, and the order within a class. The two that are missing of the six are
# ADeADA's own with `schedule=density`, with and without `class_balance`.
BY_CLASS = {
    name: ByClass(name, share, order, Random())
    for name, share, order in (
        ("kl_random", "kl", Random()),
        ("equal_random", "equal", Random()),
        ("rare", "rarity", Random()),
        ("rare_density", "rarity", Density()),
    )
}


def divided(strategy: OneScore, share: str) -> ByClass:
    """A strategy of one score whose budget is divided among predicted classes: `acquisition.class_shares`."""
    return ByClass(strategy.name, share, strategy, strategy)
