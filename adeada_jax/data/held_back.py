"""An undivided split as two parts: images to buy labels of, and images held back for the evaluation."""

from collections.abc import Sequence, Set
from typing import Any

import numpy as np

from adeada_jax.data import sources
from adeada_jax.data.fingerprint import digest
from adeada_jax.errors import InputError
from adeada_jax.types import Example


def divide(
    names: Sequence[str], fraction: float, seed: int, later: Set[str] = frozenset()
) -> tuple[list[int], list[int]]:
    """Positions of the images to buy labels of and of those held back.

    An image's name and the seed alone decide, but that there is one of each at least.

    Args:
      names: of all images.
      fraction: of them to hold back, about; more than 0, less than 1.
      seed: of the draw.
      later: those that were added since; they are to buy labels of and move no other.

    Raises:
      InputError: there are fewer than two images.
    """
    first = [i for i, name in enumerate(names) if name not in later]
    if len(first) < 2:
        raise InputError("one image cannot be both labelled and held back for the evaluation; add more")
    draws = {i: int(digest(f"{seed}\0{names[i]}".encode())[:13], 16) / 16**13 for i in first}
    order = sorted(first, key=draws.__getitem__)
    count = min(max(sum(draw < fraction for draw in draws.values()), 1), len(first) - 1)
    held = set(order[:count])
    return [i for i in range(len(names)) if i not in held], sorted(held)


class SplitPart:
    """Some images of a split, with all else as it is of the whole.

    Attributes:
      positions: of the images in the split.
      names, sizes, marks, label_marks: of these images, as of `sources.ImageSource`.
    """

    def __init__(self, source: sources.Images, positions: Sequence[int]):
        self._source, self.positions = source, tuple(positions)
        self.names = tuple(source.names[i] for i in positions)
        self.sizes = tuple(source.sizes[i] for i in positions)
        self.marks = tuple(source.marks[i] for i in positions)
        self.label_marks = tuple(source.label_marks[i] for i in positions)

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (self._source, self.positions)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._source, name)

    def __len__(self) -> int:
        return len(self.positions)

    def __getitem__(self, index: int) -> Example:
        """An example; see `sources.ImageSource`."""
        return self._source[self.positions[index]]

    def label(self, index: int) -> np.ndarray:
        """A label, of a labelled source; see `sources.LabelledSource.label`."""
        labelled: Any = self._source
        return labelled.label(self.positions[index])
