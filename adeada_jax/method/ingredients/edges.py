"""Edges in regions: what ReDAL's baseline takes in place of surface variation (supplement B)."""

import cv2
import numpy as np

# The authors' settings: a 5x5 Gaussian blur of the grey image, then Canny with these thresholds.
_BLUR = (5, 5)
_THRESHOLDS = (50, 150)


class Edges:
    """A region's share of edge pixels, float32 from 0 to 1; 0 for ids that do not occur."""

    name = "edges"

    def values(self, image: np.ndarray, regions: np.ndarray) -> np.ndarray:
        flat = regions.ravel()
        counts = np.bincount(flat)
        edges = np.bincount(flat, edge_map(image).ravel(), minlength=len(counts))
        return (edges / np.maximum(counts, 1)).astype(np.float32)


def edge_map(image: np.ndarray) -> np.ndarray:
    """Edge pixels of an `(H, W, 3)` uint8 RGB image: `(H, W)` bool."""
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    return cv2.Canny(cv2.GaussianBlur(grey, _BLUR, 0), *_THRESHOLDS) > 0
