"""Which target regions exist, which are bought, and what they cost in pixels."""

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields

import numpy as np

from adeada_jax.errors import InputError


@dataclass(frozen=True)
class Purchase:
    """One row of selection.csv: a region, its price and why it was bought."""

    round: int
    image: str
    region: int
    pixels: int
    class_name: str
    method: str
    score: float


# The CSV's column names are the contract's; `class` is no Python identifier.
_COLUMNS = ("round", "image", "region", "pixels", "class", "method", "score")


@dataclass(frozen=True)
class Pool:
    """All regions of the target's training images and what has been bought of them.

    Attributes:
      names: image names; `image` indexes them.
      image: `(N,)` int32.
      region: `(N,)` int32, the region's id in its image's region map.
      pixels: `(N,)` int64, the price.
      bought: `(N,)` int32, the round in which the region was bought, 0 where it was not.
    """

    names: tuple[str, ...]
    image: np.ndarray
    region: np.ndarray
    pixels: np.ndarray
    bought: np.ndarray

    @classmethod
    def from_regions(
        cls, names: Sequence[str], image: np.ndarray, region: np.ndarray, pixels: np.ndarray
    ) -> "Pool":
        """A pool of which nothing is bought yet. Regions come in order of image and region id."""
        return cls(tuple(names), image, region, pixels, np.zeros(len(image), np.int32))

    @classmethod
    def from_counts(cls, names: Sequence[str], counts: Sequence[np.ndarray]) -> "Pool":
        """A pool from each image's pixel counts by region id; ids without pixels are no regions."""
        present = [np.flatnonzero(count) for count in counts]
        image = np.repeat(np.arange(len(counts), dtype=np.int32), [len(ids) for ids in present])
        region = np.concatenate(present).astype(np.int32)
        pixels = np.concatenate([count[ids] for count, ids in zip(counts, present, strict=True)])
        return cls.from_regions(names, image, region, pixels.astype(np.int64))

    @property
    def available(self) -> np.ndarray:
        """`(N,)` bool: D_T^U, what can still be bought."""
        return self.bought == 0

    @property
    def total_pixels(self) -> int:
        return int(self.pixels.sum())

    @property
    def labelled_pixels(self) -> int:
        return int(self.pixels[~self.available].sum())

    def budget(self, fraction: float) -> int:
        """A round's budget in pixels: the fraction of all target training pixels, rounded down."""
        return int(fraction * self.total_pixels)

    def buy(self, indices: Sequence[int], *, round: int, budget: int) -> "Pool":
        """Marks regions as bought.

        Args:
          indices: positions in this pool.
          round: number of the round, from 1 on.
          budget: pixels that may be spent.

        Raises:
          ValueError: a region is bought twice, or the regions cost more than the budget.
        """
        indices = np.asarray(indices, np.int64)
        if len(np.unique(indices)) < len(indices) or not self.available[indices].all():
            raise ValueError(f"round {round}: a region would be bought twice")
        spent = int(self.pixels[indices].sum())
        if spent > budget:
            raise ValueError(f"round {round}: {spent} pixels would exceed the budget of {budget}")
        bought = self.bought.copy()
        bought[indices] = round
        return Pool(self.names, self.image, self.region, self.pixels, bought)

    def replay(self, purchases: Iterable[Purchase]) -> "Pool":
        """The pool after purchases read back from selection.csv files.

        Raises:
          InputError: a purchase names a region that this pool does not hold.
        """
        images = {name: i for i, name in enumerate(self.names)}
        bought = self.bought.copy()
        for purchase in purchases:
            index = self._find(images.get(purchase.image, -1), purchase.region)
            if index is None or self.pixels[index] != purchase.pixels:
                raise InputError(
                    f"selection.csv of round {purchase.round}: image '{purchase.image}' has no region "
                    f"{purchase.region} of {purchase.pixels} pixels; was the target prepared anew? "
                    "Start in another workdir"
                )
            bought[index] = purchase.round
        return Pool(self.names, self.image, self.region, self.pixels, bought)

    def _find(self, image: int, region: int) -> int | None:
        """Position of a region, which are listed by image, then region id; None if it is not there."""
        low, high = np.searchsorted(self.image, np.array([image, image + 1], self.image.dtype))
        index = low + np.searchsorted(self.region[low:high], self.region.dtype.type(region))
        return index if index < high and self.region[index] == region else None


def purchases_to_csv(purchases: Iterable[Purchase]) -> str:
    """The text of a selection.csv, rows in the order bought; scores to 9 significant digits."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_COLUMNS)
    for row in purchases:
        values = [getattr(row, field.name) for field in fields(row)]
        writer.writerow([*values[:-1], f"{row.score:.9g}"])
    return text.getvalue()


def purchases_from_csv(text: str) -> list[Purchase]:
    """Reads what `purchases_to_csv` wrote."""
    return [
        Purchase(int(row["round"]), row["image"], int(row["region"]), int(row["pixels"]), row["class"],
                 row["method"], float(row["score"]))
        for row in csv.DictReader(io.StringIO(text))
    ]  # fmt: skip
