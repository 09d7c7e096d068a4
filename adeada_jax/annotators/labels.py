"""The labels that were bought, and the target's images with them as training examples."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from adeada_jax.data.images import read_png
from adeada_jax.errors import InputError
from adeada_jax.types import IGNORE_LABEL


class LabelStore:
    """The labels that were bought, a PNG an image and round: written once, never changed.

    Attributes:
      directories: one a round, oldest first, holding `<image name>.png`.
    """

    def __init__(self, directories: Iterable[Path]):
        self.directories = tuple(Path(d) for d in directories)

    def images(self) -> list[str]:
        """Names of all images that hold bought labels, sorted."""
        names = {
            path.relative_to(directory).with_suffix("").as_posix()
            for directory in self.directories
            for path in directory.rglob("*.png")
        }
        return sorted(names)

    def label(self, image: str) -> np.ndarray:
        """`(H, W)` uint8: all bought labels of an image, IGNORE_LABEL elsewhere.

        Raises:
          InputError: nothing was bought of this image.
        """
        merged = None
        for directory in self.directories:
            path = directory / f"{image}.png"
            if path.exists():
                label = read_png(path)
                merged = label if merged is None else np.where(label == IGNORE_LABEL, merged, label)
        if merged is None:
            raise InputError(
                f"image '{image}': no bought labels under {', '.join(map(str, self.directories))}"
            )
        return merged


class PurchasedLabels:
    """The target's images with the labels bought so far: D_T^L as training examples.

    Attributes:
      names: images that hold at least one bought region.
    """

    def __init__(self, images, store: LabelStore):
        """
        Args:
          images: the target's training images, without labels.
          store: what was bought.
        """
        index = {name: i for i, name in enumerate(images.names)}
        self._images = images
        self._store = store
        self.names = tuple(store.images())
        self._positions = [index[name] for name in self.names]

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, i: int) -> dict:
        example = dict(self._images[self._positions[i]])
        example["label"] = self._store.label(self.names[i])
        return example
