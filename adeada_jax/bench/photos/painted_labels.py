"""Class ids of Cityscapes' label colours where these were stored as JPEG.

JPEG changes every colour a little, and blurs borders between two into colours that may look like a third
class's. So a pixel may only be of a class that is plainly there, within two pixels of it; it is ignored where no
such colour is near enough, or two of different classes are about as near.
"""

import cv2
import numpy as np

from adeada_jax.types import IGNORE_LABEL

# Cityscapes' published colours, and what IDD-lite's seven classes make of them. Thin ones may be few pixels wide.
ROAD, VERGE, LIVING, VEHICLE, ROADSIDE, FAR, SKY = range(7)
_COLORS = {
    (128, 64, 128): ROAD, (250, 170, 160): ROAD,  # parking
    (244, 35, 232): VERGE, (230, 150, 140): VERGE, (152, 251, 152): VERGE,  # sidewalk, rail track, terrain
    (220, 20, 60): LIVING, (255, 0, 0): LIVING,  # person, rider
    (0, 0, 142): VEHICLE, (0, 0, 70): VEHICLE, (0, 60, 100): VEHICLE,  # car, truck, bus
    (0, 0, 90): VEHICLE, (0, 0, 110): VEHICLE, (0, 80, 100): VEHICLE,  # caravan, trailer, train
    (0, 0, 230): VEHICLE, (119, 11, 32): VEHICLE,  # motorcycle, bicycle
    (102, 102, 156): ROADSIDE, (190, 153, 153): ROADSIDE, (180, 165, 180): ROADSIDE,  # wall, fence, guard rail
    (153, 153, 153): ROADSIDE, (250, 170, 30): ROADSIDE, (220, 220, 0): ROADSIDE,  # pole, light, sign
    (70, 70, 70): FAR, (150, 100, 100): FAR, (150, 120, 90): FAR,  # building, bridge, tunnel
    (107, 142, 35): FAR, (70, 130, 180): SKY,  # vegetation; sky
    (0, 0, 0): IGNORE_LABEL, (111, 74, 0): IGNORE_LABEL, (81, 0, 81): IGNORE_LABEL,  # unknown, dynamic, ground
}  # fmt: skip
_THIN = {
    (153, 153, 153),
    (250, 170, 30),
    (220, 220, 0),
    (220, 20, 60),
    (255, 0, 0),
    (0, 0, 230),
    (119, 11, 32),
}

_PALETTE = np.array(list(_COLORS), np.float32)
_CLASSES = np.array(list(_COLORS.values()), np.uint8)
_IS_THIN = np.array([color in _THIN for color in _COLORS])

# Distances of colours are Euclidean, in steps of 1/255. A pixel is plainly of a colour within the first (of a
# thin thing's within the second), if so many of the 3x3 pixels around it are; another may be as far as the third.
_PLAIN, _PLAIN_THIN, _FARTHEST = 20.0, 40.0, 100.0
_NEIGHBOURS, _NEIGHBOURS_THIN, _LEAST_PIXELS = 4, 3, 6
_REACH = np.ones((5, 5), np.uint8)
# Of the distances to the nearest class and to the next: above it nobody can tell them apart.
_AMBIGUOUS = 0.8


def decode(colors: np.ndarray) -> np.ndarray:
    """`(H, W)` uint8 class ids, 255 = ignore, of an `(H, W, 3)` uint8 RGB picture of labels that was a JPEG."""
    distances = _distances(colors.astype(np.float32))
    nearest, least = distances.argmin(axis=-1), distances.min(axis=-1)
    by_class: dict[int, np.ndarray] = {}
    for i in np.unique(nearest[least <= _PLAIN]):
        near = _near(nearest, least, i)
        if near is not None:
            own = np.where(near, distances[..., i], np.inf)
            label = int(_CLASSES[i])
            by_class[label] = np.minimum(by_class.get(label, np.inf), own)
    if not by_class:
        return np.full(nearest.shape, IGNORE_LABEL, np.uint8)
    labels = np.array(list(by_class), np.uint8)
    # One more that is nowhere, so that there always is a second.
    table = np.stack([*by_class.values(), np.full(nearest.shape, np.inf, np.float32)], axis=-1)
    first, second = np.moveaxis(np.partition(table, 1, axis=-1)[..., :2], -1, 0)
    known = (first <= _FARTHEST) & (first <= _AMBIGUOUS * second)
    return np.where(known, labels[np.minimum(table.argmin(axis=-1), len(labels) - 1)], IGNORE_LABEL)


def _distances(colors: np.ndarray) -> np.ndarray:
    """`(H, W, colours)`, by products: the squares are whole numbers that float32 holds exactly."""
    squares = (colors**2).sum(axis=-1, keepdims=True) + (_PALETTE**2).sum(axis=-1) - 2 * colors @ _PALETTE.T
    return np.sqrt(squares)


def _near(nearest: np.ndarray, least: np.ndarray, i: int) -> np.ndarray | None:
    """Where colour i is plainly there within two pixels; None where it is too small to be meant."""
    limit, needed = (_PLAIN_THIN, _NEIGHBOURS_THIN) if _IS_THIN[i] else (_PLAIN, _NEIGHBOURS)
    mask = ((nearest == i) & (least <= limit)).astype(np.uint8)
    around = cv2.boxFilter(mask, -1, (3, 3), normalize=False, borderType=cv2.BORDER_CONSTANT)
    solid = mask * (around >= needed).astype(np.uint8)
    return cv2.dilate(solid, _REACH).astype(bool) if solid.sum() >= _LEAST_PIXELS else None
