"""How sure an mIoU is: basic bootstrap intervals over images (Davison and Hinkley 1997, Sec. 5.2).

Images are drawn with replacement, as often as there are images, and each draw's mIoU is that of its images
together. Rare classes are missing in a draw as they are in a small sample, and both are low for it: so what
the draws lie below the value is added to it, which percentiles of the draws alone would count twice. What two
models get on the same draws gives the interval of the difference.
"""

from collections.abc import Iterator, Sequence

import numpy as np

DRAWS = 10_000
COVERAGE = 0.95
_BLOCK = 500  # draws at once


def miou_interval(by_image: np.ndarray, classes: Sequence[int] | None = None) -> tuple[float, float] | None:
    """The interval of an mIoU in percent.

    Args:
      by_image: `(N, 2, C)` pixels of intersection and of union, by image.
      classes: that the mean is over, all if None; those that a draw does not hold are left out of it.

    Returns:
      Its bounds; None for fewer than two images, or where no class occurs.
    """
    if len(by_image) < 2:
        return None
    bounds = _bounds(_means(by_image, classes), _value(by_image, classes))
    return bounds and (max(bounds[0], 0.0), min(bounds[1], 100.0))


def gain_interval(
    before: np.ndarray, after: np.ndarray, classes: Sequence[int] | None = None
) -> tuple[float, float] | None:
    """The interval of how much an mIoU is above another, of the same images in the same order, in points.

    Raises:
      ValueError: the two are of different numbers of images or classes.
    """
    if before.shape != after.shape:
        raise ValueError(f"counts of shape {before.shape} cannot be compared with those of {after.shape}")
    if len(after) < 2:
        return None
    gain = _value(after, classes) - _value(before, classes)
    return _bounds(_means(after, classes) - _means(before, classes), gain)


def _value(by_image: np.ndarray, classes: Sequence[int] | None) -> float:
    """MIoU of all images in percent."""
    return float(_weighted(by_image, classes, np.ones((1, len(by_image))))[0])


def _means(by_image: np.ndarray, classes: Sequence[int] | None) -> np.ndarray:
    """`(DRAWS,)` mIoU of each draw in percent; the same draws for as many images."""
    return np.concatenate([_weighted(by_image, classes, weights) for weights in _draws(len(by_image))])


def _weighted(by_image: np.ndarray, classes: Sequence[int] | None, weights: np.ndarray) -> np.ndarray:
    """`(B,)` mIoU in percent where each image counts as often as `(B, N)` weights say."""
    counts = by_image if classes is None else by_image[:, :, list(classes)]
    intersection, union = np.split(weights @ counts.reshape(len(counts), -1).astype(np.float64), 2, axis=1)
    values = np.divide(intersection, union, out=np.full(union.shape, np.nan), where=union > 0)
    occurs = ~np.isnan(values)
    sums, number = np.where(occurs, values, 0.0).sum(axis=1), occurs.sum(axis=1)
    return np.divide(100.0 * sums, number, out=np.full(len(sums), np.nan), where=number > 0)


def _draws(images: int) -> Iterator[np.ndarray]:
    """How often each image is drawn: `(_BLOCK, images)` float64 at a time."""
    generator = np.random.default_rng(0)
    for _ in range(DRAWS // _BLOCK):
        yield generator.multinomial(images, np.full(images, 1 / images), _BLOCK).astype(np.float64)


def _bounds(values: np.ndarray, value: float) -> tuple[float, float] | None:
    """The draws' percentiles, reflected at the value itself."""
    known = values[~np.isnan(values)]
    if not len(known) or known.min() == known.max():
        return None
    tail = 100 * (1 - COVERAGE) / 2
    low, high = np.percentile(known, [tail, 100 - tail])
    return float(2 * value - high), float(2 * value - low)
