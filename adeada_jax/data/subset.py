"""A part of a random-access source."""

from collections.abc import Sequence

from adeada_jax.data.batches import Examples
from adeada_jax.types import Example


class Subset:
    """Some examples of a source, in the order given.

    Attributes:
      names: of those examples.
    """

    def __init__(self, source: Examples, indices: Sequence[int]):
        self._source = source
        self._indices = indices
        self.names = tuple(source.names[i] for i in indices)

    def __len__(self) -> int:
        return len(self._indices)

    def __getitem__(self, i: int) -> Example:
        return self._source[self._indices[i]]
