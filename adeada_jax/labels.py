"""Cityscapes' 19 classes: names, palette, id maps and the subsets SYNTHIA is evaluated on."""

import cv2
import numpy as np

from adeada_jax.types import IGNORE_LABEL

CLASS_NAMES = (
    "road", "sidewalk", "building", "wall", "fence", "pole", "traffic light", "traffic sign",
    "vegetation", "terrain", "sky", "person", "rider", "car", "truck", "bus", "train",
    "motorcycle", "bicycle",
)  # fmt: skip

# RGB, in the order of CLASS_NAMES (the palette of Cityscapes' own tools).
PALETTE = np.array(
    [
        [128, 64, 128], [244, 35, 232], [70, 70, 70], [102, 102, 156], [190, 153, 153],
        [153, 153, 153], [250, 170, 30], [220, 220, 0], [107, 142, 35], [152, 251, 152],
        [70, 130, 180], [220, 20, 60], [255, 0, 0], [0, 0, 142], [0, 0, 70], [0, 60, 100],
        [0, 80, 100], [0, 0, 230], [119, 11, 32],
    ],
    dtype=np.uint8,
)  # fmt: skip

# SYNTHIA has no terrain, truck or train (16 classes, mIoU); mIoU* also leaves out wall, fence, pole.
SYNTHIA_16 = tuple(i for i in range(19) if i not in (9, 14, 16))
SYNTHIA_13 = tuple(i for i in SYNTHIA_16 if i not in (3, 4, 5))

# Values of `shared_classes` in a configuration: the means of a round's result by name, each over its classes
# (None = all). Those of `miou` are what source and target share: only they are evaluated and have densities.
SHARED_CLASSES: dict[str, dict[str, tuple[int, ...] | None]] = {
    "all": {"miou": None},
    "synthia": {"miou": SYNTHIA_16, "miou_13": SYNTHIA_13},
}


def colorize(labels: np.ndarray, palette: np.ndarray = PALETTE) -> np.ndarray:
    """Paints a label map.

    Args:
      labels: `(..., H, W)` integers; IGNORE_LABEL (and any id beyond the palette) becomes black.
      palette: `(C, 3)` uint8 RGB.

    Returns:
      `(..., H, W, 3)` uint8 RGB.
    """
    table = np.zeros((IGNORE_LABEL + 1, 3), np.uint8)
    table[: len(palette)] = palette
    ids = np.ascontiguousarray(labels, np.uint8)
    painted = np.empty((*ids.shape, 3), np.uint8)
    for channel in range(3):  # Indexing the table by NumPy would take 8 bytes a pixel.
        painted[..., channel] = cv2.LUT(ids.reshape(-1), table[:, channel]).reshape(ids.shape)
    return painted
