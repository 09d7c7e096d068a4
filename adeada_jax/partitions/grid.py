"""Regions of an image: a grid of nearly square cells, whatever the image shows."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np


class Grid:
    """As many cells as `regions.num_segments`, or a few more."""

    def __init__(self, options: Mapping[str, Any]):
        self.settings = {"num_segments": int(options["num_segments"])}

    def divide(self, image: np.ndarray, name: str) -> np.ndarray:
        height, width = image.shape[:2]
        return grid_regions(height, width, min(self.settings["num_segments"], height * width))


def grid_regions(height: int, width: int, number: int) -> np.ndarray:
    """Divides an area into rectangles, nearly square where that can be.

    Args:
      height: in pixels.
      width: in pixels.
      number: of rectangles at least, at most one a pixel.

    Returns:
      `(height, width)` int32 ids 0..R-1, row by row.
    """
    rows = min(height, math.ceil(math.sqrt(number * height / width)))
    columns = min(width, math.ceil(number / rows))
    rows = max(rows, math.ceil(number / columns))
    ids = (np.arange(height) * rows // height)[:, None] * columns + np.arange(width) * columns // width
    return ids.astype(np.int32)
