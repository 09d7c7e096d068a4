"""The labels that were bought, and the target's images with them as training examples."""

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from adeada_jax.data.images import read_png
from adeada_jax.data.sources import Images
from adeada_jax.errors import InputError
from adeada_jax.types import IGNORE_LABEL, NO_CLASS, Example

if TYPE_CHECKING:
    from adeada_jax.partitions.store import DividedImages

_IMAGES_AT_ONCE = 4


class LabelStore:
    """The labels that are known, a PNG an image and directory.

    Attributes:
      directories: oldest first, holding `<image name>.png`; if two label a pixel, the later one counts.
      amended: those of the directories whose PNGs take the place of all that came before them.
      beneath: directories of labels that count where the others say nothing.
    """

    def __init__(
        self, directories: Iterable[Path], amended: Iterable[Path] = (), beneath: Iterable[Path] = ()
    ):
        self.directories, self.amended = tuple(map(Path, directories)), frozenset(map(Path, amended))
        self.beneath = tuple(map(Path, beneath))

    def images(self) -> list[str]:
        """Names of all images that hold bought labels, sorted."""
        names = {
            path.relative_to(directory).with_suffix("").as_posix()
            for directory in (*self.beneath, *self.directories)
            for path in directory.rglob("*.png")
        }
        return sorted(names)

    def label(self, image: str, size: tuple[int, int], num_classes: int) -> np.ndarray:
        """All bought labels of an image.

        Args:
          image: its name.
          size: its height and width.
          num_classes: C.

        Returns:
          `(H, W)` uint8, IGNORE_LABEL where nothing is known.

        Raises:
          InputError: nothing was bought of this image; a label is of another size or has ids that are no
            class.
        """
        merged = None
        for directory in self.directories:
            path = directory / f"{image}.png"
            if path.exists():
                label = read_label(path, size, num_classes)
                if merged is None or directory in self.amended:
                    merged = label
                else:
                    merged = np.where(label == IGNORE_LABEL, merged, label)
        for directory in self.beneath:
            path = directory / f"{image}.png"
            if path.exists():
                label = read_label(path, size, num_classes)
                merged = label if merged is None else np.where(merged == IGNORE_LABEL, label, merged)
        if merged is None:
            raise InputError(
                f"image '{image}': no bought labels under {', '.join(map(str, self.directories))}"
            )
        return merged


def read_label(path: Path, size: tuple[int, int], num_classes: int) -> np.ndarray:
    """A bought label, `(H, W)` uint8.

    Raises:
      InputError: it cannot be decoded, is of another size than its image or has ids that are no class; names
        the file.
    """
    label = read_png(path)
    if label.shape != tuple(size):
        raise InputError(
            f"label '{path}' is {label.shape[0]}x{label.shape[1]}, but its image is {size[0]}x{size[1]}; "
            "remove the label to have it made again"
        )
    ids = np.flatnonzero(np.bincount(label.ravel()))
    unknown = ids[(ids >= num_classes) & (ids != IGNORE_LABEL)]
    if len(unknown):
        raise InputError(
            f"label '{path}' has ids that are no class: {', '.join(map(str, unknown[:10]))}; known: 0 to "
            f"{num_classes - 1} and {IGNORE_LABEL} (unknown); remove it to have it made again"
        )
    return label


class PurchasedLabels:
    """Images of the target with the labels that are known so far: D_T^L as training examples.

    Images whose bought labels are IGNORE_LABEL throughout are left out.

    Attributes:
      names: images of which at least one pixel's class is known.
      known: by image that holds a bought region the number of pixels whose class is known.
    """

    def __init__(self, images: Images, store: LabelStore, num_classes: int):
        """Reads and checks every bought label, and keeps the images that have a known pixel.

        Args:
          images: of the target, without labels.
          num_classes: C.
          store: what was bought; every label is read once, so that a wrong one is found before the training.

        Raises:
          InputError: a label belongs to none of these images, has another size or has ids that are no class.
        """
        self._images = images
        self._store, self._num_classes = store, num_classes
        self._index = {name: i for i, name in enumerate(images.names)}
        bought = store.images()
        with ThreadPoolExecutor(_IMAGES_AT_ONCE) as threads:
            counts = threads.map(lambda name: int((self._label(name) != IGNORE_LABEL).sum()), bought)
            self.known = dict(zip(bought, counts, strict=True))
        self.names = tuple(name for name, count in self.known.items() if count)

    @property
    def known_pixels(self) -> int:
        """Pixels that were bought and whose class is known."""
        return sum(self.known.values())

    def _label(self, name: str) -> np.ndarray:
        if name not in self._index:
            raise InputError(
                f"there is a bought label of image '{name}', which the target does not have, under "
                f"{', '.join(map(str, self._store.directories))}"
            )
        return self._store.label(name, self._images.sizes[self._index[name]], self._num_classes)

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, i: int) -> Example:
        example = self._images[self._index[self.names[i]]].copy()
        example["label"] = self._label(self.names[i])
        return example


class PoolLabels:
    """All images of the target with the labels that are known so far, for the teacher step.

    A pixel that was bought and is of no class, or of which the answer was that nobody can tell, is NO_CLASS:
    it differs from one that was not bought, IGNORE_LABEL. Labels that were known before anybody was asked do
    not tell the two apart.
    """

    def __init__(
        self, labels: PurchasedLabels, divided: "DividedImages", bought: Mapping[str, Sequence[int]]
    ):
        """Joins the known labels with the regions that were bought, to tell NO_CLASS from IGNORE_LABEL.

        Args:
          labels: that are known.
          divided: all images with their regions.
          bought: by image the regions that were.
        """
        self._labels, self._divided = labels, divided
        self._bought = {image: np.asarray(regions) for image, regions in bought.items()}
        self._places = {name: i for i, name in enumerate(labels.names)}

    def __len__(self) -> int:
        return len(self._divided.names)

    def __getitem__(self, i: int) -> Example:
        name = self._divided.names[i]
        if name in self._places:
            example = self._labels[self._places[name]]
        else:
            example = self._divided.images[i].copy()
            example["label"] = np.full(example["image"].shape[:2], IGNORE_LABEL, np.uint8)
        if name in self._bought:
            settled = np.isin(self._divided.regions(i), self._bought[name])
            nothing = settled & (example["label"] == IGNORE_LABEL)
            example["label"] = np.where(nothing, np.uint8(NO_CLASS), example["label"])
        return example
