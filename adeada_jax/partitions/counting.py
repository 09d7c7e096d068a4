"""What the regions of an image hold, by its label."""

import numpy as np

from adeada_jax.types import IGNORE_LABEL


def region_counts(regions: np.ndarray, label: np.ndarray, num_classes: int) -> np.ndarray:
    """Counts pixels by region and class.

    Args:
      regions: `(H, W)` region ids.
      label: `(H, W)` classes; IGNORE_LABEL is not counted.
      num_classes: C.

    Returns:
      `(R, C)` int32, a row for each id that occurs, in order of ids.
    """
    present, rows = np.unique(regions.ravel(), return_inverse=True)
    columns = np.where(label.ravel() == IGNORE_LABEL, num_classes, label.ravel())
    cells = rows * (num_classes + 1) + columns
    counts = np.bincount(cells, minlength=len(present) * (num_classes + 1))
    return counts.reshape(len(present), num_classes + 1)[:, :num_classes].astype(np.int32)
