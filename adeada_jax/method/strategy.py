"""What every acquisition strategy gets and gives back."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from adeada_jax.method import ranking
from adeada_jax.method.regions import Regions


@dataclass(frozen=True)
class Request:
    """What is to be bought now.

    Attributes:
      round: k, from 1 on.
      budget: pixels.
      seed: the experiment's seed; a strategy that draws numbers derives them from (seed, round).
    """

    round: int
    budget: int
    seed: int


@dataclass(frozen=True)
class Pick:
    """A region to buy: its position in the table, and why."""

    index: int
    method: str
    score: float


@dataclass(frozen=True)
class Selection:
    """A round's purchases in order, and the classes' density budgets where the strategy makes any.

    Attributes:
      picks: pixels sum to at most the request's budget, no region twice.
      class_budgets: `(C,)` pixels (Eq. 6), or None.
    """

    picks: tuple[Pick, ...]
    class_budgets: np.ndarray | None = None


class Strategy(Protocol):
    """One way of choosing regions: from the target's table, no model and no labels.

    Attributes:
      needs: the ingredients (`method.ingredients`) that it looks at; the table has a column of each.
    """

    @property
    def needs(self) -> tuple[str, ...]: ...

    def select(self, regions: Regions, request: Request) -> Selection:
        """Chooses available regions for at most `request.budget` pixels."""
        ...


class OneScore:
    """A strategy of one score a region, bought down from the highest.

    `acquisition.class_shares` can have the same score buy within classes (`strategies.by_class`).

    Attributes:
      name: what selection.csv calls it.
      needs: as of `Strategy`.
    """

    name: str
    needs: tuple[str, ...] = ()

    def score(self, regions: Regions, request: Request) -> np.ndarray:
        """`(N,)` of all regions, finite at those that are available."""
        raise NotImplementedError

    def select(self, regions: Regions, request: Request) -> Selection:
        score = self.score(regions, request)
        return Selection(buy_ranked(regions, score, method=self.name, budget=request.budget))


def buy_ranked(regions: Regions, score: np.ndarray, *, method: str, budget: int) -> tuple[Pick, ...]:
    """Picks down one ranking."""
    order = regions.ranked(score)
    taken = ranking.affordable(order, regions.pixels, budget)
    return tuple(Pick(index, method, float(score[index])) for index in taken)
