"""Resizing and the training augmentation: random scale, colour jitter, flip.

The augmentation is D2ADA's: scale by 0.5-1.5 and back to the training size, colour jitter of 0.5 in
brightness, contrast and saturation, horizontal flip. An example is a dict with `image`, `(H, W, 3)` uint8
RGB, and, if labels are known, `label`, `(H, W)` uint8.
"""

from collections.abc import Sequence

import cv2
import numpy as np

SCALES = (0.5, 1.5)
JITTER = 0.5

Picture = dict[str, np.ndarray]


def resize(example: Picture, *, height: int, width: int) -> Picture:
    """Resizes the image bilinearly (averaging where it shrinks) and the label to the nearest pixel.

    Args:
      example: `image` and perhaps `label`; other entries are left out.
      height: in pixels.
      width: in pixels.

    Returns:
      `image` `(height, width, 3)` and `label` `(height, width)`, uint8.
    """
    result = {"image": _resize_image(example["image"], height, width)}
    if "label" in example:
        result["label"] = _resize_label(example["label"], height, width)
    return result


def augment(example: Picture, rng: np.random.Generator, *, height: int, width: int) -> Picture:
    """One random variant of a training example.

    The scale is uniform in SCALES (`scale_and_back`); brightness, contrast and saturation factors are each
    uniform in 1 +- JITTER and applied in a random order (`color_jitter`); every other example is mirrored.

    Args:
      example: `image` `(H, W, 3)` uint8 and perhaps `label` `(H, W)` uint8.
      rng: the only source of randomness.
      height: of the result, in pixels.
      width: of the result, in pixels.

    Returns:
      `image` `(height, width, 3)` and perhaps `label` `(height, width)`, uint8; the given example is left as
      it is.
    """
    # All draws come first, so that they do not depend on whether there is a label.
    scale = rng.uniform(*SCALES)
    factors = rng.uniform(1 - JITTER, 1 + JITTER, len(_ADJUSTMENTS))
    order = rng.permutation(len(_ADJUSTMENTS))
    mirrored = rng.random() < 0.5

    result = scale_and_back(example, scale, height=height, width=width)
    result["image"] = color_jitter(result["image"], factors.tolist(), order.tolist())
    if mirrored:
        result = {key: cv2.flip(value, 1) for key, value in result.items()}
    return result


def scale_and_back(example: Picture, scale: float, *, height: int, width: int) -> Picture:
    """Resizes the whole picture to `scale` times its size, then to `(height, width)`.

    What is seen stays the same and fills the frame, so every pixel keeps a label: a scale below 1 takes
    detail away and makes labels coarser.

    Args:
      example: `image` `(H, W, 3)` uint8 and perhaps `label` `(H, W)` uint8.
      scale: factor, above 0.
      height: of the result, in pixels.
      width: of the result, in pixels.

    Returns:
      `image` `(height, width, 3)` and perhaps `label` `(height, width)`, uint8.
    """
    stored_height, stored_width = example["image"].shape[:2]
    rows, columns = max(1, int(stored_height * scale)), max(1, int(stored_width * scale))
    result = resize(example, height=rows, width=columns)
    result["image"] = _resize_image(result["image"], height, width, enlarged=scale > 1)
    if "label" in result:
        result["label"] = _resize_label(result["label"], height, width)
    return result


def _brighten(image: np.ndarray, factor: float) -> np.ndarray:
    """Multiplies all colours by `factor`; `(H, W, 3)` uint8, clipped."""
    return cv2.addWeighted(image, factor, image, 0, 0)


def _change_contrast(image: np.ndarray, factor: float) -> np.ndarray:
    """Moves colours away from the picture's mean grey by `factor`; `(H, W, 3)` uint8, clipped."""
    mean = round(cv2.mean(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY))[0])
    return cv2.addWeighted(image, factor, image, 0, (1 - factor) * mean)


def _saturate(image: np.ndarray, factor: float) -> np.ndarray:
    """Moves each pixel's colour away from its own grey by `factor`; `(H, W, 3)` uint8, clipped."""
    gray = cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    return cv2.addWeighted(image, factor, gray, 1 - factor, 0)


# In the order of `color_jitter`'s factors.
_ADJUSTMENTS = (_brighten, _change_contrast, _saturate)


def color_jitter(image: np.ndarray, factors: Sequence[float], order: Sequence[int]) -> np.ndarray:
    """Changes brightness, contrast and saturation one after another, as torchvision's ColorJitter.

    Args:
      image: `(H, W, 3)` uint8 RGB.
      factors: of brightness, contrast and saturation, at least 0; 1 changes nothing.
      order: a permutation of 0, 1, 2: which of the factors is applied first, second and third.

    Returns:
      `(H, W, 3)` uint8 RGB.
    """
    for i in order:
        image = _ADJUSTMENTS[i](image, float(factors[i]))
    return image


def _resize_image(image: np.ndarray, height: int, width: int, *, enlarged: bool = False) -> np.ndarray:
    """One that was `enlarged` before is smooth: it can be shrunk to a half without averaging."""
    if image.shape[:2] == (height, width):
        return image
    averages = height < image.shape[0] / (2 if enlarged else 1)
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA if averages else cv2.INTER_LINEAR)


def _resize_label(label: np.ndarray, height: int, width: int) -> np.ndarray:
    if label.shape == (height, width):
        return label
    # INTER_NEAREST_EXACT takes the pixel under the centre, as bilinear resizing does.
    return cv2.resize(label, (width, height), interpolation=cv2.INTER_NEAREST_EXACT)
