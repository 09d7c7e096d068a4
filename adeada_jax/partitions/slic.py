"""Regions of an image: SLIC superpixels (Achanta et al. 2012), the paper's Section 3.

Plain SLIC at full resolution is slow and returns two thirds of the regions it is asked for, since patches
that are not connected to the rest of their region go to a neighbour. Here SLIC divides a reduced image into
more regions than asked, and the most similar neighbours are merged until as many are left. docs/regions.md
has the figures.
"""

from collections.abc import Mapping
from typing import Any

import cv2
import numpy as np
from skimage.color import rgb2lab
from skimage.segmentation import slic

from adeada_jax.partitions.grid import grid_regions

# SLIC's image has at most so many pixels: 181 x 362 of 1024 x 2048.
_PIXELS = 2**16
# SLIC is asked for so many times the regions wanted, and again for twice as many while it gives too few.
_SURPLUS = 2
_ATTEMPTS = 4


class Slic:
    """SLIC superpixels, the paper's."""

    def __init__(self, options: Mapping[str, Any]):
        self._number = int(options["num_segments"])
        self._compactness = float(options["compactness"])
        self.settings = {"num_segments": self._number, "compactness": self._compactness}

    def divide(self, image: np.ndarray, name: str) -> np.ndarray:
        return slic_regions(image, num_segments=self._number, compactness=self._compactness)


def slic_regions(image: np.ndarray, *, num_segments: int = 40, compactness: float = 10.0) -> np.ndarray:
    """Divides an image into connected regions of similar colour.

    Args:
      image: `(H, W, 3)` uint8 RGB.
      num_segments: regions wanted, at least 1; an image gives exactly as many, or fewer where it has too few
        pixels for them.
      compactness: weight of nearness in space against likeness in colour (CIELAB).

    Returns:
      `(H, W)` int32 region ids 0..R-1; every id occurs and is one 4-connected patch.

    Raises:
      ValueError: the image is not `(H, W, 3)` uint8.
    """
    image = np.asarray(image)
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise ValueError(f"image must be (H, W, 3) uint8, not {image.shape} {image.dtype}")
    height, width = image.shape[:2]
    small = _reduced(image, max(_PIXELS, num_segments))
    if small.shape[0] * small.shape[1] <= num_segments:
        regions = np.arange(small.shape[0] * small.shape[1]).reshape(small.shape[:2])
    else:
        regions = _merged(small, _oversegmented(small, num_segments, compactness), num_segments, compactness)
    # Nearest neighbours turn pixels into blocks, so connected patches stay connected.
    scaled = cv2.resize(regions.astype(np.float32), (width, height), interpolation=cv2.INTER_NEAREST)
    return scaled.astype(np.int32)


def _reduced(image: np.ndarray, pixels: int) -> np.ndarray:
    height, width = image.shape[:2]
    scale = min(1.0, np.sqrt(pixels / (height * width)))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return image if scale == 1.0 else cv2.resize(image, size, interpolation=cv2.INTER_AREA)


def _oversegmented(image: np.ndarray, num_segments: int, compactness: float) -> np.ndarray:
    """SLIC's connected patches, numbered from 0: at least `num_segments`, which the image has pixels for."""
    for attempt in range(_ATTEMPTS):
        segments = slic(
            image,
            n_segments=num_segments * _SURPLUS * 2**attempt,
            compactness=compactness,
            start_label=0,
            enforce_connectivity=True,
            channel_axis=-1,
        )
        _, regions = np.unique(segments, return_inverse=True)
        if regions.max() + 1 >= num_segments:
            return regions.reshape(segments.shape)
    # Colours that change from pixel to pixel leave SLIC no patches: all pixels go to one neighbour.
    height, width = image.shape[:2]
    return grid_regions(height, width, min(num_segments * _SURPLUS, height * width))


def _merged(image: np.ndarray, regions: np.ndarray, number: int, compactness: float) -> np.ndarray:
    """Merges neighbours, each time the two whose merger adds least to the sum of squared distances (Ward).

    Distances are SLIC's: of CIELAB colours and, weighted by the compactness, of places.
    """
    size, mean = _statistics(image, regions, number, compactness)
    neighbours = _neighbours(regions, len(size))
    cost = np.where(neighbours, _costs(size, mean, slice(None)), np.inf)
    parent = np.arange(len(size))
    for _ in range(len(size) - number):
        kept, gone = divmod(int(cost.argmin()), len(size))
        mean[kept] = (size[kept] * mean[kept] + size[gone] * mean[gone]) / (size[kept] + size[gone])
        size[kept] += size[gone]
        parent[parent == gone] = kept
        neighbours[kept] |= neighbours[gone]
        neighbours[kept, [kept, gone]] = False
        neighbours[:, kept] = neighbours[kept]
        neighbours[gone] = neighbours[:, gone] = False
        cost[kept] = np.where(neighbours[kept], _costs(size, mean, kept), np.inf)
        cost[:, kept] = cost[kept]
        cost[gone] = cost[:, gone] = np.inf
    _, merged = np.unique(parent[regions], return_inverse=True)
    return merged.reshape(regions.shape)


def _statistics(
    image: np.ndarray, regions: np.ndarray, number: int, compactness: float
) -> tuple[np.ndarray, np.ndarray]:
    """Sizes `(R,)` in pixels and means `(R, 5)` of colour and weighted place."""
    height, width = regions.shape
    weight = compactness / np.sqrt(height * width / number)
    place = np.mgrid[:height, :width] * weight
    values = [*np.moveaxis(rgb2lab(image), -1, 0), *place]
    flat = regions.ravel()
    size = np.bincount(flat).astype(np.float64)
    return size, np.stack([np.bincount(flat, value.ravel()) / size for value in values], axis=1)


def _neighbours(regions: np.ndarray, number: int) -> np.ndarray:
    """`(R, R)` bool: which regions share a border."""
    neighbours = np.zeros((number, number), bool)
    for one, other in ((regions[1:], regions[:-1]), (regions[:, 1:], regions[:, :-1])):
        neighbours[one, other] = neighbours[other, one] = True
    np.fill_diagonal(neighbours, False)
    return neighbours


def _costs(size: np.ndarray, mean: np.ndarray, rows: slice | int) -> np.ndarray:
    """What merging the given rows' regions with each region adds to the sum of squared distances."""
    apart = ((mean[rows][..., None, :] - mean) ** 2).sum(axis=-1)
    return apart * (size[rows][..., None] * size / (size[rows][..., None] + size))
