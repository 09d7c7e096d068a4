"""What every acquisition strategy gets and gives back."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from adeada_jax.method import ranking
from adeada_jax.method.density import DensityDifference


@dataclass(frozen=True)
class Candidates:
    """The target's regions as a strategy sees them: arrays over all N regions, no model, no labels.

    Attributes:
      image_names: names by image index.
      image: `(N,)` int32 image indices.
      region: `(N,)` int32 region ids.
      pixels: `(N,)` int64 prices.
      available: `(N,)` bool, D_T^U.
      features: `(N, D)` region features z (Eq. 1).
      probabilities: `(N, C)` mean class probabilities.
      entropy: `(N,)` mean pixel entropy (Eq. 10).
      margin: `(N,)` mean pixel margin (Eq. 8).
      confidence: `(N,)` mean pixel confidence (Eq. 9).
      density: pi and KL of Eq. 2 and 5, for strategies that need "density".
      edges: `(N,)` share of edge pixels, for strategies that need "edges".
      target_probability: `(N,)` the warm-up's discriminator's mean probability that the region is of the
        target, for strategies that need "target_probability".
    """

    image_names: Sequence[str]
    image: np.ndarray
    region: np.ndarray
    pixels: np.ndarray
    available: np.ndarray
    features: np.ndarray
    probabilities: np.ndarray
    entropy: np.ndarray
    margin: np.ndarray
    confidence: np.ndarray
    density: DensityDifference | None = None
    edges: np.ndarray | None = None
    target_probability: np.ndarray | None = None

    @property
    def classes(self) -> np.ndarray:
        """`(N,)` predicted classes c."""
        return self.probabilities.argmax(axis=1).astype(np.int32)

    def ranked(self, score: np.ndarray, where: np.ndarray | None = None) -> np.ndarray:
        """Available regions by descending score; ties by image name, then region id."""
        candidates = self.available if where is None else self.available & where
        return ranking.ranked(score, candidates, self.image_names, self.image, self.region)


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
    """A region to buy: its position in the candidates, and why."""

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


# What a strategy can ask for beyond what every region table holds; names of fields of Candidates.
NEEDS = ("density", "edges", "target_probability")


class Strategy(Protocol):
    """One way of choosing regions.

    Attributes:
      needs: which of NEEDS must be computed for it.
    """

    needs: tuple[str, ...]

    def select(self, candidates: Candidates, request: Request) -> Selection:
        """Chooses available regions for at most `request.budget` pixels."""
        ...


def buy_ranked(candidates: Candidates, score: np.ndarray, *, method: str, budget: int) -> tuple[Pick, ...]:
    """Picks down one ranking: what the single-score strategies do."""
    order = candidates.ranked(score)
    taken = ranking.affordable(order, candidates.pixels, budget)
    return tuple(Pick(index, method, float(score[index])) for index in taken)
