"""A split under the class names and ids of another data set."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from adeada_jax.data.sources import LabelledImages
from adeada_jax.types import IGNORE_LABEL, Example


def relabelled(source: LabelledImages, class_names: Sequence[str], palette: np.ndarray) -> LabelledImages:
    """A source with these classes; itself, where they are its own.

    Args:
      source: of images, with labels or without (`data.sources`), whose classes all occur in `class_names`.
      class_names: of the classes, by id.
      palette: `(C, 3)` uint8 RGB.
    """
    if source.class_names == tuple(class_names):
        return source
    return Relabelled(source, tuple(class_names), palette)


class Relabelled:
    """A source whose labels have other ids: classes are the same by name.

    Attributes:
      class_names: of the classes, by id.
      palette: `(C, 3)` uint8 RGB.
    """

    def __init__(self, source: LabelledImages, class_names: tuple[str, ...], palette: np.ndarray):
        self._source = source
        self.class_names, self.palette = class_names, palette
        self._ids = np.full(IGNORE_LABEL + 1, IGNORE_LABEL, np.uint8)
        self._ids[: len(source.class_names)] = [class_names.index(name) for name in source.class_names]

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (self._source, self.class_names, self.palette)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._source, name)

    def __len__(self) -> int:
        return len(self._source)

    def __getitem__(self, index: int) -> Example:
        """An example; see `sources.ImageSource`."""
        example = self._source[index]
        return {**example, "label": self._ids[example["label"]]} if "label" in example else example

    def label(self, index: int) -> np.ndarray:
        """A label, of a labelled source; see `sources.LabelledSource.label`."""
        return self._ids[self._source.label(index)]
