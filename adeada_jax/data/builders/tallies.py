"""Which ids and colours the labels of a folder hold, and how many pixels have each."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from adeada_jax.data.builders.label_files import Stored

_SHOWN = 30  # values that are printed
# Values that are told apart, in a label and in all: photographs among the labels have more than memory holds.
_MOST_IN_ONE, _MOST = 1_000, 100_000

# What a value means, from whether it is a colour and the value.
Meaning = Callable[[bool, int], str]


@dataclass
class Tally:
    """Pixels by stored value.

    Attributes:
      ids: pixels by id.
      colors: pixels by colour, 0xRRGGBB.
      others: pixels of values that are too many to be told apart.
      palette: RGB by id, as PNGs with a palette say; None where they differ.
    """

    ids: Counter[int] = field(default_factory=Counter)
    colors: Counter[int] = field(default_factory=Counter)
    others: int = 0
    palette: dict[int, tuple[int, int, int] | None] = field(default_factory=dict)

    @property
    def total(self) -> int:
        """Pixels in all."""
        return self.ids.total() + self.colors.total() + self.others

    def add(self, other: "Tally") -> None:
        """Counts other labels, too."""
        self.ids.update(other.ids)
        self.colors.update(other.colors)
        self.others += other.others
        for value, color in other.palette.items():
            self.palette[value] = color if self.palette.get(value, color) == color else None
        if len(self.colors) > 2 * _MOST:
            self._forget_rare(_MOST)

    def _forget_rare(self, most: int) -> None:
        kept = Counter(dict(self.colors.most_common(most)))
        self.others += self.colors.total() - kept.total()
        self.colors = kept


def tally_of(stored: Stored) -> Tally:
    """Counts the pixels of one label."""
    flat = stored.values.ravel()
    # Neighbours mostly are alike, so it is faster to count runs than pixels.
    starts = np.concatenate([[0], np.flatnonzero(flat[1:] != flat[:-1]) + 1])
    lengths = np.diff(starts, append=flat.size)
    values, places = np.unique(flat[starts], return_inverse=True)
    counts = np.bincount(places, weights=lengths).astype(np.int64)
    found = Counter(dict(zip(values.tolist(), counts.tolist(), strict=True)))
    if stored.painted:
        tally = Tally(colors=found)
        tally._forget_rare(_MOST_IN_ONE)
        return tally
    return Tally(ids=found, palette={i: stored.palette[i] for i in found if i in stored.palette})


def lines(tally: Tally, meaning: Meaning) -> list[str]:
    """Ids, then colours with their shares of all pixels and their meaning; of many the 30 most frequent.

    Args:
      tally: of all labels.
      meaning: a few words on a value.
    """
    found: list[str] = []
    for painted, counts in ((False, tally.ids), (True, tally.colors)):
        if not counts:
            continue
        shown = sorted(value for value, _ in counts.most_common(_SHOWN))
        found.append(f"{'colours' if painted else 'ids'} in the labels, with their shares of the pixels:")
        for value in shown:
            what = meaning(painted, value)
            share = f"{100 * counts[value] / tally.total:7.3f}%"
            found.append(f"  {value_text(painted, value):>15} {share}  {what}".rstrip())
        if len(counts) > _SHOWN:
            rest = counts.total() - sum(counts[value] for value in shown)
            found.append(f"  and {len(counts) - _SHOWN} more, {100 * rest / tally.total:.3f}%")
    if tally.others:
        found.append(
            f"  and colours of {100 * tally.others / tally.total:.3f}% of the pixels that are not counted"
        )
    return found


def value_text(painted: bool, value: int) -> str:
    """7 for an id, [128, 64, 128] for a colour."""
    return str(list(rgb(value))) if painted else str(value)


def rgb(value: int) -> tuple[int, int, int]:
    """Red, green and blue of 0xRRGGBB."""
    return value >> 16, value >> 8 & 255, value & 255
