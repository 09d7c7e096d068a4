"""How good a purchase is without a training: what was wrong, rare, new, uncertain and mixed in it.

"wrong": a region whose predicted class c (the largest mean probability) is not the class that most of its
pixels have; a pixel whose class is not that predicted for its region.
"rare": pixels of classes that have less than RARE of the target's pixels.
"new": pixels of things that the source has none of (`Judged`).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from adeada_jax.method.regions import Regions
from adeada_jax.method.strategies import ripu
from adeada_jax.study.truth import Truth
from adeada_jax.types import Json

# A class is rare that has less than this share of the target's pixels.
RARE = 0.01

# What is measured, by key of JSON: a heading and the unit.
MEASURES = {
    "wrong_regions": ("wrong regions", "%"),
    "wrong_pixels": ("wrong pixels", "%"),
    "rare_pixels": ("rare classes", "%"),
    "new_pixels": ("new things", "%"),
    "entropy": ("entropy", "nats"),
    "impurity": ("impurity", "nats"),
}


@dataclass(frozen=True)
class Judged:
    """What the model said of every region of the pool before a round, and what is true.

    Attributes:
      pixels: `(N,)` prices.
      predicted: `(N,)` classes.
      counts: `(N, C)` pixels by their true class; those without one are in no column.
      rare: `(C,)` bool.
      new: `(N,)` pixels of things that the source has none of; None where that is not known.
      entropy: `(N,)` mean entropy of a region's pixels in nats (Eq. 10).
      impurity: `(N,)` see `impurity`.
    """

    pixels: np.ndarray
    predicted: np.ndarray
    counts: np.ndarray
    rare: np.ndarray
    new: np.ndarray | None
    entropy: np.ndarray
    impurity: np.ndarray

    @property
    def known(self) -> np.ndarray:
        """`(N,)` int64, a region's pixels that have a class."""
        return self.counts.sum(axis=1, dtype=np.int64)

    @property
    def wrong(self) -> np.ndarray:
        """`(N,)` bool, regions with known pixels most of which are of another class than the predicted."""
        return (self.known > 0) & (self.counts.argmax(axis=1) != self.predicted)


def judge(regions: Regions, truth: Truth, rare: np.ndarray, lacking: np.ndarray) -> Judged:
    """Puts together what a round's table says with what is true.

    Args:
      regions: with the columns that every table has.
      truth: of the same regions.
      rare: `(C,)` bool.
      lacking: `(C,)` bool, classes that the source has none of, where kinds of things are not known.
    """
    new = truth.new
    if new is None and lacking.any():
        new = truth.counts[:, lacking].sum(axis=1, dtype=np.int64)
    return Judged(
        pixels=np.asarray(regions.pixels),
        predicted=regions.classes,
        counts=truth.counts,
        rare=rare,
        new=new,
        entropy=np.asarray(regions["entropy"], np.float64),
        impurity=impurity(regions),
    )


def rare_classes(counts: np.ndarray) -> np.ndarray:
    """`(C,)` bool: classes that occur, but have less than RARE of all pixels of `(N, C)` counts."""
    totals = counts.sum(axis=0, dtype=np.int64)
    return (totals > 0) & (totals < RARE * totals.sum())


def impurity(regions: Regions) -> np.ndarray:
    """`(N,)` nats: how many classes the model sees in a region, as entropy of the classes' shares.

    RIPU (Xie et al. 2022) counts the classes predicted for a region's pixels. Tables that have these as
    `predicted_shares` give it; of others, which hold no pixels, it is the entropy of the mean probabilities.
    """
    known = "predicted_shares" in regions.columns
    return ripu.impurity(regions["predicted_shares" if known else "probabilities"])


def measure(judged: Judged, chosen: np.ndarray) -> dict[str, Json]:
    """The measures of some regions.

    Args:
      judged: all regions.
      chosen: `(N,)` bool.

    Returns:
      `regions` and `pixels` chosen, and each of MEASURES: percent of the regions or pixels whose class is
      known, and means over regions in nats. None where there is nothing to divide by, or nothing is known.
    """
    known = judged.known
    right = np.take_along_axis(judged.counts, judged.predicted[:, None], axis=1)[:, 0]
    total, certain = int(known[chosen].sum()), chosen & (known > 0)
    new = None if judged.new is None else int(judged.new[chosen].sum())
    return {
        "regions": int(chosen.sum()),
        "pixels": int(judged.pixels[chosen].sum()),
        "wrong_regions": _percent(int(judged.wrong[chosen].sum()), int(certain.sum())),
        "wrong_pixels": _percent(total - int(right[chosen].sum()), total),
        "rare_pixels": _percent(int(judged.counts[chosen][:, judged.rare].sum()), total),
        "new_pixels": None if new is None else _percent(new, total),
        "entropy": _mean(judged.entropy[chosen]),
        "impurity": _mean(judged.impurity[chosen]),
    }


def by_class(judged: Judged, chosen: np.ndarray, class_names: tuple[str, ...]) -> Mapping[str, Any]:
    """The measures of some regions, by the class predicted for them; classes without any are left out."""
    parts = {name: chosen & (judged.predicted == c) for c, name in enumerate(class_names)}
    return {name: measure(judged, part) for name, part in parts.items() if part.any()}


def _percent(part: int, whole: int) -> float | None:
    return 100.0 * part / whole if whole else None


def _mean(values: np.ndarray) -> float | None:
    return float(values.mean()) if len(values) else None
