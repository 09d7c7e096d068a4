"""The one table of regions: which there are, what they cost, which are bought, and what is known of them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from adeada_jax.errors import InputError
from adeada_jax.method import ranking
from adeada_jax.method.selection_csv import Purchase

KNOWN = -1


@dataclass(frozen=True)
class Regions:
    """The regions of a domain's images, a row each, by image, then region id.

    Attributes:
      names: image names; `image` indexes them.
      image: `(N,)` int32.
      region: `(N,)` int32, the region's id in its image's region map.
      pixels: `(N,)` int64, the price.
      bought: `(N,)` int32, the round in which the region was bought, 0 where it was not, KNOWN where its
        label is known without that.
      columns: what is known of the regions besides, `(N, ...)` by ingredient (`method.ingredients`).
    """

    names: tuple[str, ...]
    image: np.ndarray
    region: np.ndarray
    pixels: np.ndarray
    bought: np.ndarray
    columns: Mapping[str, np.ndarray] = field(default_factory=dict)

    @classmethod
    def unbought(
        cls,
        names: Sequence[str],
        image: np.ndarray,
        region: np.ndarray,
        pixels: np.ndarray,
        **columns: np.ndarray,
    ) -> "Regions":
        """Regions of which none is bought yet, in order of image and region id."""
        return cls(tuple(names), image, region, pixels, np.zeros(len(image), np.int32), columns)

    @classmethod
    def from_counts(cls, names: Sequence[str], counts: Sequence[np.ndarray]) -> "Regions":
        """Regions from each image's pixel counts by region id; ids without pixels are no regions."""
        present = [np.flatnonzero(count) for count in counts]
        image = np.repeat(np.arange(len(counts), dtype=np.int32), [len(ids) for ids in present])
        region = np.concatenate(present).astype(np.int32)
        pixels = np.concatenate([count[ids] for count, ids in zip(counts, present, strict=True)])
        return cls.unbought(names, image, region, pixels.astype(np.int64))

    def __len__(self) -> int:
        return len(self.image)

    def __getitem__(self, name: str) -> np.ndarray:
        """A column.

        Raises:
          InputError: there is none of this name.
        """
        if name not in self.columns:
            raise InputError(
                f"regions have no column '{name}', but {', '.join(self.columns) or 'none'}; a strategy gets "
                "those that its `needs` name"
            )
        return self.columns[name]

    @property
    def classes(self) -> np.ndarray:
        """`(N,)` int32: c, the class with the largest mean probability."""
        return self["probabilities"].argmax(axis=1).astype(np.int32)

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

    def ranked(self, score: np.ndarray, where: np.ndarray | None = None) -> np.ndarray:
        """Positions of the available regions by descending score; ties by image name, then region id."""
        chosen = self.available if where is None else self.available & where
        return ranking.ranked(score, chosen, self.names, self.image, self.region)

    def budget(self, fraction: float) -> int:
        """A round's budget in pixels: the fraction of all pixels, rounded down."""
        return int(fraction * self.total_pixels)

    def buy(self, positions: Sequence[int], *, round: int, budget: int) -> "Regions":
        """Marks regions as bought.

        Args:
          positions: rows of this table.
          round: number of the round, from 1 on.
          budget: pixels that may be spent.

        Raises:
          ValueError: a region is bought twice, or the regions cost more than the budget.
        """
        rows = np.asarray(positions, np.int64)
        if len(rows) and not 0 <= rows.min() <= rows.max() < len(self):
            raise ValueError(f"round {round}: regions are numbered from 0 to {len(self) - 1}")
        if len(np.unique(rows)) < len(rows) or not self.available[rows].all():
            raise ValueError(f"round {round}: a region would be bought twice")
        spent = int(self.pixels[rows].sum())
        if spent > budget:
            raise ValueError(f"round {round}: {spent} pixels would exceed the budget of {budget}")
        bought = self.bought.copy()
        bought[rows] = round
        return replace(self, bought=bought)

    def replay(self, purchases: Iterable[Purchase]) -> "Regions":
        """The regions after purchases read back from selection.csv files.

        Raises:
          InputError: a purchase names a region that is not here.
        """
        images = {name: i for i, name in enumerate(self.names)}
        bought = self.bought.copy()
        for purchase in purchases:
            position = self._find(images.get(purchase.image, -1), purchase.region)
            if position is None or self.pixels[position] != purchase.pixels:
                raise InputError(
                    f"selection.csv of round {purchase.round}: image '{purchase.image}' has no region "
                    f"{purchase.region} of {purchase.pixels} pixels; was the target prepared anew? "
                    "Start in another workdir"
                )
            bought[position] = purchase.round
        return replace(self, bought=bought)

    def rows_in(self, other: "Regions") -> np.ndarray:
        """`(N,)` int64: the row of each region in another table, -1 where it is not there."""
        if not len(other):
            return np.full(len(self), -1)
        index = {name: i for i, name in enumerate(other.names)}
        image = np.array([index.get(name, -1) for name in self.names], np.int64)[self.image]
        span = 1 + max(int(self.region.max(initial=0)), int(other.region.max()))
        keys, known = image * span + self.region, other.image.astype(np.int64) * span + other.region
        rows = np.minimum(np.searchsorted(known, keys), len(known) - 1)
        return np.where(known[rows] == keys, rows, -1)

    def with_known(self, known: Mapping[str, Iterable[int]]) -> "Regions":
        """The regions, of which some are labelled that nobody bought: by image name their ids."""
        images, bought = {name: i for i, name in enumerate(self.names)}, self.bought.copy()
        for name, regions in known.items():
            positions = [self._find(images[name], int(region)) for region in regions]
            chosen = np.array([p for p in positions if p is not None and bought[p] == 0], np.int64)
            bought[chosen] = KNOWN
        return replace(self, bought=bought)

    def with_columns(self, **columns: np.ndarray) -> "Regions":
        """The same regions with more columns, or others of the same names."""
        return replace(self, columns={**self.columns, **columns})

    def with_columns_of(self, other: "Regions") -> "Regions":
        """The same regions with another table's columns, too.

        Raises:
          InputError: the tables list other images, regions or prices.
        """
        differing = [] if self.names == other.names else ["images"]
        for name, what in (("image", "images' regions"), ("region", "regions"), ("pixels", "prices")):
            if not np.array_equal(getattr(self, name), getattr(other, name)):
                differing.append(what)
        if differing:
            raise InputError(
                f"the target's region table and pool.safetensors differ in {', '.join(differing)}: the "
                "target's data changed under the run; start it in another --workdir"
            )
        return self.with_columns(**other.columns)

    def _find(self, image: int, region: int) -> int | None:
        """Position of a region; None if it is not there."""
        low, high = np.searchsorted(self.image, np.array([image, image + 1], self.image.dtype))
        position = low + np.searchsorted(self.region[low:high], self.region.dtype.type(region))
        return position if position < high and self.region[position] == region else None
