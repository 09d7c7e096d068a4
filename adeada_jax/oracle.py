"""Who gives labels. The only module that opens the target's training labels, and a region at a time."""

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Protocol

import numpy as np

from adeada_jax import processes
from adeada_jax.data import sources
from adeada_jax.data.images import read_png
from adeada_jax.errors import InputError
from adeada_jax.files import write_png_atomic
from adeada_jax.types import IGNORE_LABEL

_IMAGES_AT_ONCE = 4


class Oracle(Protocol):
    """Someone who labels regions: ground truth now, people later. Asked for several images at a time."""

    def reveal(self, image: str, regions: Sequence[int]) -> np.ndarray:
        """Labels the named regions of an image.

        Returns:
          `(H, W)` uint8, IGNORE_LABEL outside the regions.
        """
        ...


class GroundTruthOracle:
    """Answers from a data set that is fully labelled, as the paper's experiments do."""

    def __init__(self, dataset: str, data_dir: str | Path, split: str = "train"):
        self._source = sources.open_labelled(dataset, data_dir, split)
        self._index = {name: i for i, name in enumerate(self._source.names)}

    def reveal(self, image: str, regions: Sequence[int]) -> np.ndarray:
        maps = self._source.maps(self._index[image])
        asked = np.isin(maps["regions"], np.asarray(regions))
        return np.where(asked, maps["label"], IGNORE_LABEL).astype(np.uint8)


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


def buy_labels(oracle: Oracle, regions_by_image: dict[str, list[int]], directory: Path) -> None:
    """Asks the oracle for one round's regions and stores each answer as soon as it is given.

    An image whose answer is already stored is not asked for again, so that a killed run pays for no
    label twice. Of several processes one asks, and all have the answers when this returns.
    """

    def ask(image: str) -> None:
        path = directory / f"{image}.png"
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            write_png_atomic(path, oracle.reveal(image, regions_by_image[image]))

    images = sorted(regions_by_image)
    if processes.is_writer():
        with ThreadPoolExecutor(_IMAGES_AT_ONCE) as threads:
            list(threads.map(ask, images))
    for image in images:
        processes.wait_for(directory / f"{image}.png")


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
