"""Resizing and the training augmentation: random scale, colour jitter, flip.

The augmentation is D2ADA's: scale by 0.5-1.5 and back to the training size, colour jitter of 0.5 in
brightness, contrast and saturation, horizontal flip. An example is a dict with `image`, `(H, W, 3)` uint8
RGB, and, if labels are known, `label`, `(H, W)` uint8.
"""

import cv2
import numpy as np

from adeada_jax.types import IGNORE_LABEL

SCALES = (0.5, 1.5)
JITTER = 0.5

# ImageNet's mean colour, which normalisation makes zero.
_PADDING = (124, 116, 104)
# Luma weights of ITU-R BT.601, as torchvision's and Pillow's grey.
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)

Example = dict[str, np.ndarray]


def resize(example: Example, *, height: int, width: int) -> Example:
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


def augment(example: Example, rng: np.random.Generator) -> Example:
    """One random variant of a training example, of the same size.

    The scale s is uniform in SCALES. For s > 1 a random window of 1/s of the size is enlarged; for s < 1
    the whole is shrunk and put at a random place, and what is left around it gets ImageNet's mean colour
    and the label IGNORE_LABEL. Brightness, contrast and saturation factors are each uniform in 1 +- JITTER,
    applied in that order. Every other example is mirrored.

    Args:
      example: `image` `(H, W, 3)` uint8 and perhaps `label` `(H, W)` uint8.
      rng: the only source of randomness.

    Returns:
      A new example; the given one is left as it is.
    """
    # All draws come first, so that they do not depend on whether there is a label.
    scale = rng.uniform(*SCALES)
    place = rng.random(2)
    brightness, contrast, saturation = rng.uniform(1 - JITTER, 1 + JITTER, 3)
    mirrored = rng.random() < 0.5

    result = random_scale(example, scale, place)
    result["image"] = color_jitter(result["image"], brightness, contrast, saturation)
    if mirrored:
        result = {key: np.ascontiguousarray(value[:, ::-1]) for key, value in result.items()}
    return result


def random_scale(example: Example, scale: float, place: np.ndarray) -> Example:
    """Scales the picture within its frame.

    Args:
      example: `image` and perhaps `label`.
      scale: above 1 a window is enlarged, below 1 the whole is shrunk and padded.
      place: `(2,)` in [0, 1): where the window, or the shrunk picture, lies (vertical, horizontal).

    Returns:
      `image` and perhaps `label`, of the same sizes.
    """
    height, width = example["image"].shape[:2]
    share = 1 / scale if scale > 1 else scale
    rows, columns = max(1, round(height * share)), max(1, round(width * share))
    top, left = int(place[0] * (height - rows + 1)), int(place[1] * (width - columns + 1))
    window = (slice(top, top + rows), slice(left, left + columns))
    if scale > 1:
        return resize({key: example[key][window] for key in example if key in ("image", "label")},
                      height=height, width=width)  # fmt: skip
    result = resize(example, height=rows, width=columns)
    for key, padding in (("image", _PADDING), ("label", IGNORE_LABEL)):
        if key in result:
            frame = np.empty(example[key].shape, np.uint8)
            frame[:] = padding
            frame[window] = result[key]
            result[key] = frame
    return result


def color_jitter(image: np.ndarray, brightness: float, contrast: float, saturation: float) -> np.ndarray:
    """Multiplies by `brightness`; then moves colours away from the mean grey by `contrast` and from their
    own grey by `saturation` (1 changes nothing).

    The three are one affine map of a pixel's colour, rounded and clipped once at its end (torchvision
    clips after each).

    Args:
      image: `(H, W, 3)` uint8 RGB.
      brightness: factor, at least 0.
      contrast: factor, at least 0.
      saturation: factor, at least 0.

    Returns:
      `(H, W, 3)` uint8 RGB.
    """
    mean_gray = float(np.asarray(cv2.mean(image)[:3]) @ _LUMA) * brightness
    matrix = np.empty((3, 4), np.float32)
    matrix[:, :3] = (saturation * np.eye(3) + (1 - saturation) * _LUMA[None, :]) * (brightness * contrast)
    matrix[:, 3] = (1 - contrast) * mean_gray
    return cv2.transform(image, matrix)


def _resize_image(image: np.ndarray, height: int, width: int) -> np.ndarray:
    if image.shape[:2] == (height, width):
        return image
    shrinks = height < image.shape[0]
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)


def _resize_label(label: np.ndarray, height: int, width: int) -> np.ndarray:
    if label.shape == (height, width):
        return label
    # INTER_NEAREST_EXACT takes the pixel under the centre, as bilinear resizing does.
    return cv2.resize(label, (width, height), interpolation=cv2.INTER_NEAREST_EXACT)
