"""Pictures of a single region: cut out of its image with what is around, outlined, painted."""

import numpy as np
from skimage.segmentation import find_boundaries

from adeada_jax.labels import colorize
from adeada_jax.types import IGNORE_LABEL

_MARGIN = 1.6  # a picture's height and width over the region's
_SHAPE = 1.5  # width over height: pictures side by side and one below the other look alike
_LEAST = 48  # pixels of a picture's height; smaller ones show no surroundings
_PAINT = 0.65  # of a class's colour; the rest is image


def window(box: tuple[slice, slice], height: int, width: int) -> tuple[slice, slice]:
    """The part of an image that shows a region and what is around, as slices of its rows and columns.

    Args:
      box: of the region, in the same form.
      height: of the image in pixels.
      width: in pixels.
    """
    rows, columns = box
    tall = max(_MARGIN * (rows.stop - rows.start), _MARGIN * (columns.stop - columns.start) / _SHAPE, _LEAST)
    return _around(rows, round(tall), height), _around(columns, round(_SHAPE * tall), width)


def _around(extent: slice, length: int, limit: int) -> slice:
    """A slice of this length, at most all, with the extent in its middle as far as the limits allow."""
    length = min(length, limit)
    start = (extent.start + extent.stop - length) // 2
    start = min(max(start, 0), limit - length)
    return slice(start, start + length)


def outlined(image: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """The image with a white line round the region and a black one within, to be seen on any image.

    Args:
      image: `(H, W, 3)` uint8.
      inside: `(H, W)` bool, the region's pixels.
    """
    picture = image.copy()
    picture[find_boundaries(inside, mode="inner") & inside] = 0
    picture[find_boundaries(inside, mode="outer") & ~inside] = 255
    return picture


def painted(image: np.ndarray, inside: np.ndarray, label: np.ndarray, palette: np.ndarray) -> np.ndarray:
    """The region in its classes' colours, black where no class is known, the rest dimmed; outlined.

    Args:
      image: `(H, W, 3)` uint8.
      inside: `(H, W)` bool, the region's pixels.
      label: `(H, W)` class ids.
      palette: `(C, 3)` uint8 RGB.
    """
    colors = colorize(np.where(inside, label, IGNORE_LABEL).astype(np.uint8), palette)
    grey = 40 + 0.4 * image.mean(axis=-1, keepdims=True)
    picture = np.where(inside[..., None], (1 - _PAINT) * image + _PAINT * colors, grey)
    return outlined(picture.round().astype(np.uint8), inside)  # as some classes' colours are grey
