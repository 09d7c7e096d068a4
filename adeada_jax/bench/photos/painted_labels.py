"""Class ids of Cityscapes' label colours where these were stored as JPEG.

JPEG changes every colour a little, and blurs borders between two into colours that may look like a third
class's. So a pixel may only be of a class that is plainly there, within two pixels of it. It is ignored where
no such colour is near enough, or two of different classes are about as near.
"""

import cv2
import numpy as np
from PIL import ImageColor

from adeada_jax.types import IGNORE_LABEL

# Cityscapes' published colours by what IDD-lite's seven classes make of them.
ROAD, VERGE, LIVING, VEHICLE, ROADSIDE, FAR, SKY = range(7)
_COLORS = {
    ROAD: "#804080 #faaaa0",  # road, parking
    VERGE: "#f423e8 #e6968c #98fb98",  # sidewalk, rail track, terrain
    LIVING: "#dc143c #ff0000",  # person, rider
    # Car, truck, bus, caravan, trailer, train, motorcycle, bicycle.
    VEHICLE: "#00008e #000046 #003c64 #00005a #00006e #005064 #0000e6 #770b20",
    # Wall, fence, guard rail, pole, traffic light, traffic sign.
    ROADSIDE: "#66669c #be9999 #b4a5b4 #999999 #faaa1e #dcdc00",
    FAR: "#464646 #966464 #96785a #6b8e23",  # building, bridge, tunnel, vegetation
    SKY: "#4682b4",
    IGNORE_LABEL: "#000000 #6f4a00 #510051",  # none, dynamic, ground
}
# Of things that may be few pixels wide: poles, lights, signs, people, cycles.
_THIN = ("#999999", "#faaa1e", "#dcdc00", "#dc143c", "#ff0000", "#0000e6", "#770b20")

_NAMES = [color for colors in _COLORS.values() for color in colors.split()]
_PALETTE = np.array([ImageColor.getrgb(color) for color in _NAMES], np.float32)
_CLASSES = np.array([label for label, colors in _COLORS.items() for _ in colors.split()], np.uint8)
_IS_THIN = np.array([color in _THIN for color in _NAMES])

# Distances of colours are Euclidean, in steps of 1/255. A pixel is plainly of a colour within the first (of a
# thin thing's within the second), if so many of the 3x3 pixels around it are. Others may be as far as the
# third.
_PLAIN, _PLAIN_THIN, _FARTHEST = 20.0, 40.0, 100.0
_NEIGHBOURS, _NEIGHBOURS_THIN, _LEAST_PIXELS = 4, 3, 6
_REACH = np.ones((5, 5), np.uint8)
# Of the distances to the nearest class and to the next: above it nobody can tell them apart.
_AMBIGUOUS = 0.8


def decode(colors: np.ndarray) -> np.ndarray:
    """`(H, W)` uint8 class ids, 255 = ignore, of an `(H, W, 3)` uint8 RGB picture of labels from a JPEG."""
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
