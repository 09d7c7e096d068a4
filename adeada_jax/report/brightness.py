"""Photographs that are too dark to be looked at on a page, made brighter."""

import numpy as np

_DARK = 0.2  # median luminance below which a photograph is taken to be one of dusk or night
_WANTED = 0.35
# Of red, green and blue as they are stored (Rec. 709): nearer to what eyes see than the light itself.
_WEIGHTS = np.array([0.2126, 0.7152, 0.0722])


def median_luminance(image: np.ndarray) -> float:
    """Of an `(H, W, 3)` uint8 RGB image, from 0 to 1."""
    step = max(1, min(image.shape[:2]) // 256)  # a sample is enough
    return float(np.median(image[::step, ::step] @ _WEIGHTS)) / 255


def photograph(caption: str, image: np.ndarray) -> tuple[str, np.ndarray]:
    """A panel of a photograph: its caption, which says if it was brightened, and the picture.

    A gamma curve takes a dark image's median luminance to 0.35, and leaves black and white what they are.

    Args:
      caption: of the panel.
      image: `(H, W, 3)` uint8 RGB.
    """
    median = median_luminance(image)
    if median >= _DARK:
        return caption, image
    gamma = np.log(_WANTED) / np.log(max(median, 1 / 255))
    curve = (255 * (np.arange(256) / 255) ** gamma).round().astype(np.uint8)
    return f"{caption}, brightened", curve[image]
