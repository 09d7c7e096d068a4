"""How well two people agree on the same regions: Cohen's kappa (Cohen 1960), and where they disagree."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from adeada_jax.annotators.answers import SETTLING, Given, Key, State
from adeada_jax.annotators.pixels import values_of
from adeada_jax.annotators.requests import Asked, AskedRound
from adeada_jax.types import IGNORE_LABEL

TOLERANCE = 0.05  # share of a region's pixels that may differ without a third look


@dataclass(frozen=True)
class Agreement:
    """Second opinions against the answers that they stand beside.

    Attributes:
      regions: that two people labelled.
      disputed: of these, where they disagree, whether or not somebody has looked a third time.
      kappa: of the pixels to which both gave a class; None where it is undefined.
      by_class: of each class against all others.
    """

    regions: int
    disputed: int
    kappa: float | None
    by_class: tuple[float | None, ...]


def agreement_of(request: AskedRound, state: State) -> Agreement | None:
    """The agreement in a round's answers; None if there are no second opinions."""
    return _agreement(_pairs(request, state), len(request.class_names))


def pooled(rounds: Iterable[tuple[AskedRound, State]], num_classes: int) -> Agreement | None:
    """The agreement over all rounds together."""
    return _agreement([pair for round in rounds for pair in _pairs(*round)], num_classes)


def disputes(
    request: AskedRound, state: State, known: dict[tuple[str, str], bool] | None = None
) -> dict[Key, tuple[Given, Given]]:
    """Regions whose two answers disagree and that nobody has looked at a third time.

    Args:
      request: what was asked.
      state: what is answered.
      known: by two answers' uuids whether they disagree; what is found is added.
    """
    known = {} if known is None else known
    found: dict[Key, tuple[Given, Given]] = {}
    for asked, first, second in _pairs(request, state):
        counting = state.settled.get((asked.image, asked.region))
        if counting is None or counting.uuid != first.uuid:
            continue
        pair = (first.uuid, second.uuid)
        if pair not in known:
            known[pair] = differ(asked, first, second)
        if known[pair]:
            found[asked.image, asked.region] = (first, second)
    return found


def differ(asked: Asked, first: Given, second: Given) -> bool:
    """Whether two answers to a region disagree: in more than TOLERANCE of its pixels."""
    one, other = (values_of(given, asked)[asked.inside] for given in (first, second))
    return bool((one != other).mean() > TOLERANCE)


def kappa(matrix: np.ndarray) -> float | None:
    """Cohen's kappa of a `(C, C)` matrix of counts; None where chance alone would agree on everything."""
    total = matrix.sum()
    if not total:
        return None
    observed = np.trace(matrix) / total
    chance = float(matrix.sum(0) @ matrix.sum(1)) / float(total) ** 2
    return None if chance >= 1 else float((observed - chance) / (1 - chance))


def _pairs(request: AskedRound, state: State) -> list[tuple[Asked, Given, Given]]:
    """Regions that two people settled, with each one's last answer; unsure answers do not count."""
    newest = {
        (first.image, first.region or 0, second.who): (first, second)
        for first, second in state.opinions
        if first.kind in SETTLING and second.kind in SETTLING and first.who != second.who
    }
    return [
        (request.by_key[image, region], *pair)
        for (image, region, _), pair in newest.items()
        if (image, region) in request.by_key
    ]


def _agreement(pairs: list[tuple[Asked, Given, Given]], num_classes: int) -> Agreement | None:
    if not pairs:
        return None
    matrix = np.zeros((num_classes, num_classes), np.int64)
    for asked, first, second in pairs:
        one, other = (values_of(given, asked)[asked.inside].astype(int) for given in (first, second))
        both = (one != IGNORE_LABEL) & (other != IGNORE_LABEL)
        np.add.at(matrix, (one[both], other[both]), 1)
    disputed = sum(differ(*pair) for pair in pairs)
    by_class = tuple(kappa(_against_others(matrix, c)) for c in range(num_classes))
    return Agreement(len(pairs), disputed, kappa(matrix), by_class)


def _against_others(matrix: np.ndarray, c: int) -> np.ndarray:
    """`(2, 2)`: one class and all the others of a `(C, C)` matrix."""
    both, one, other = matrix[c, c], matrix[c].sum(), matrix[:, c].sum()
    return np.array([[both, one - both], [other - both, matrix.sum() - one - other + both]])
