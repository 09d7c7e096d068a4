"""From class scores on the network's grid to classes and entropies at an image's size, in little memory."""

from collections.abc import Iterator

import cv2
import numpy as np

# OpenCV 5 resizes at most 128 channels; 4.x took 512.
MOST_CHANNELS = 128
# Up to four channels are resized by a vendor's library (IPP), whose last bits depend on the whole array.
_FEWEST_CHANNELS = 5
_BLOCK_BYTES = 1 << 28


def labels_of(scores: np.ndarray, height: int, width: int) -> np.ndarray:
    """The class of the highest score at every pixel; of equal ones the first.

    The same, bit for bit, as resizing all classes at once (`cv2.INTER_LINEAR`) and taking the largest. But
    the enlarged scores of all classes, 14 GB for 19 of them at 179 megapixels, are never held together: they
    are widened first, a group of classes at a time, then made higher in blocks of columns. Beside the result
    that takes less than a GB, where several groups are needed another 4 bytes a pixel, and with up to four
    classes, which go at once, up to 16.

    Args:
      scores: `(h, w, C)` float32, C up to 255.
      height: of the result, in pixels.
      width: in pixels.

    Returns:
      `(height, width)` uint8.
    """
    labels = np.empty((height, width), np.uint8)
    groups = _groups(scores, width)
    best = np.full((height, width), -np.inf, np.float32) if len(groups) > 1 else None
    first = 0
    for group in groups:
        for columns, part in _enlarged(group, height, width):
            ids = part.argmax(axis=-1) + first
            if best is None:
                labels[:, columns] = ids
                continue
            top = part.max(axis=-1)
            higher = (top > best[:, columns]) | (first == 0)
            np.copyto(best[:, columns], top, where=higher)
            np.copyto(labels[:, columns], ids, where=higher, casting="unsafe")
        first += group.shape[-1]
    return labels


def entropy_of(scores: np.ndarray, height: int, width: int) -> np.ndarray:
    """The entropy of the softmax of the enlarged scores at every pixel, in nats.

    Blocks are as of `labels_of`. Beside the result it takes 16 bytes a pixel and about a GB.

    Args:
      scores: `(h, w, C)` float32.
      height: of the result, in pixels.
      width: in pixels.

    Returns:
      `(height, width)` float32.
    """
    # With m the highest score s so far: sums of exp(s - m), and of exp(s - m) (s - m).
    top = np.full((height, width), -1e30, np.float32)
    mass, moment = np.zeros_like(top), np.zeros_like(top)
    for group in _groups(scores, width):
        for columns, part in _enlarged(group, height, width):
            highest = np.maximum(top[:, columns], part.max(axis=-1))
            part -= highest[..., None]
            weights = np.exp(part)
            # What was summed before was of another m.
            drop = top[:, columns] - highest
            mass[:, columns] *= np.exp(drop)
            moment[:, columns] *= np.exp(drop)
            moment[:, columns] += mass[:, columns] * drop + (weights * part).sum(axis=-1)
            mass[:, columns] += weights.sum(axis=-1)
            top[:, columns] = highest
    return np.log(mass) - moment / mass


def _groups(scores: np.ndarray, width: int) -> list[np.ndarray]:
    """The scores in groups of as many classes as are widened at once."""
    height, _, classes = scores.shape
    most = min(MOST_CHANNELS, max(2 * _FEWEST_CHANNELS, _BLOCK_BYTES // (4 * height * width)))
    return np.array_split(scores, -(-classes // most), axis=-1)


def _enlarged(scores: np.ndarray, height: int, width: int) -> Iterator[tuple[slice, np.ndarray]]:
    """The enlarged scores in blocks of columns: which, and their `(height, columns, C)`."""
    classes = scores.shape[-1]
    at_once = classes < _FEWEST_CHANNELS
    wide = _resize(scores, height if at_once else scores.shape[0], width)
    step = max(1, _BLOCK_BYTES // (4 * classes * height))
    for start in range(0, width, step):
        part = wide[:, start : start + step]
        yield slice(start, start + step), part if at_once else _resize(part, height, part.shape[1])


def _resize(scores: np.ndarray, height: int, width: int) -> np.ndarray:
    resized = cv2.resize(np.ascontiguousarray(scores), (width, height), interpolation=cv2.INTER_LINEAR)
    return resized.reshape(height, width, -1)
