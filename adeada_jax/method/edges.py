"""Edges in regions: what ReDAL's baseline takes in place of surface variation (supplement B)."""

import cv2
import numpy as np

# The authors' settings: a 5x5 Gaussian blur of the grey image, then Canny with these thresholds.
_BLUR = (5, 5)
_THRESHOLDS = (50, 150)


def edge_map(image: np.ndarray) -> np.ndarray:
    """Edge pixels of an `(H, W, 3)` uint8 RGB image: `(H, W)` bool."""
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    return cv2.Canny(cv2.GaussianBlur(grey, _BLUR, 0), *_THRESHOLDS) > 0


def edge_shares(image: np.ndarray, regions: np.ndarray) -> np.ndarray:
    """Share of edge pixels in each region of an image.

    Args:
      image: `(H, W, 3)` uint8 RGB.
      regions: `(H, W)` ids.

    Returns:
      `(R,)` float32 from 0 to 1 by id, R one more than the largest id; 0 for ids that do not occur.
    """
    flat = regions.ravel()
    counts = np.bincount(flat)
    edges = np.bincount(flat, edge_map(image).ravel(), minlength=len(counts))
    return (edges / np.maximum(counts, 1)).astype(np.float32)
