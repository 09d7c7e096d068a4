"""A region divided into finer cells, for regions that hold several classes: SLIC within the region."""

import numpy as np
from skimage.segmentation import slic

from adeada_jax.annotators.requests import Asked

# Cells per region at the two levels, and the fewest pixels of a cell.
_CELLS = {1: 8, 2: 32}
_LEAST_PIXELS = 6
_COMPACTNESS = 10.0
LEVELS = tuple(_CELLS)


def cells_of(image: np.ndarray, asked: Asked, level: int) -> np.ndarray:
    """Divides a region; the cells of level 2 lie within those of level 1.

    Args:
      image: `(H, W, 3)` uint8 RGB.
      asked: the region.
      level: of LEVELS.

    Returns:
      `(height, width)` int32 of the region's box: ids from 0 on, -1 outside the region.
    """
    part = image[asked.place]
    coarse = _divided(part, asked.inside, _CELLS[1])
    if level == 1:
        return coarse
    share = _CELLS[2] / _CELLS[1]
    fine, count = np.full_like(coarse, -1), 0
    for cell in range(coarse.max() + 1):
        inside = coarse == cell
        own = _divided(part, inside, round(share))
        fine[inside] = own[inside] + count
        count += own.max() + 1
    return fine


def _divided(part: np.ndarray, inside: np.ndarray, count: int) -> np.ndarray:
    """SLIC's cells of the pixels that count: ids from 0 on, -1 elsewhere."""
    pixels = int(inside.sum())
    count = min(count, pixels // _LEAST_PIXELS)
    if count < 2:
        return np.where(inside, 0, -1).astype(np.int32)
    found = slic(
        part, n_segments=count, compactness=_COMPACTNESS, mask=inside, start_label=1, min_size_factor=0.2
    )
    cells = np.full(inside.shape, -1, np.int32)
    cells[inside] = np.unique(found[inside], return_inverse=True)[1]
    return cells
