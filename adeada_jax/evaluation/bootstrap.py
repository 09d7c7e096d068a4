"""How sure an mIoU is: percentile intervals by bootstrap over images (Efron 1979).

Images are drawn with replacement, as often as there are images, and each draw's mIoU is that of its images
together. What two models get on the same draws gives the interval of the difference.
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
    return _bounds(_means(by_image, classes)) if len(by_image) > 1 else None


def gain_interval(
    before: np.ndarray, after: np.ndarray, classes: Sequence[int] | None = None
) -> tuple[float, float] | None:
    """The interval of how much an mIoU is above another, of the same images in the same order, in points.

    Raises:
      ValueError: the two are of different numbers of images or classes.
    """
    if before.shape != after.shape:
        raise ValueError(f"counts of shape {before.shape} cannot be compared with those of {after.shape}")
    return _bounds(_means(after, classes) - _means(before, classes)) if len(after) > 1 else None


def _means(by_image: np.ndarray, classes: Sequence[int] | None) -> np.ndarray:
    """`(DRAWS,)` mIoU of each draw in percent; the same draws for as many images."""
    counts = by_image if classes is None else by_image[:, :, list(classes)]
    flat = counts.reshape(len(counts), -1).astype(np.float64)
    means = []
    for weights in _draws(len(counts)):
        intersection, union = np.split(weights @ flat, 2, axis=1)
        values = np.divide(intersection, union, out=np.full(union.shape, np.nan), where=union > 0)
        occurs = ~np.isnan(values)
        sums = np.where(occurs, values, 0.0).sum(axis=1)
        means.append(np.divide(100.0 * sums, occurs.sum(axis=1), out=np.full(len(sums), np.nan),
                               where=occurs.any(axis=1)))  # fmt: skip
    return np.concatenate(means)


def _draws(images: int) -> Iterator[np.ndarray]:
    """How often each image is drawn: `(_BLOCK, images)` float64 at a time."""
    generator = np.random.default_rng(0)
    for _ in range(DRAWS // _BLOCK):
        yield generator.multinomial(images, np.full(images, 1 / images), _BLOCK).astype(np.float64)


def _bounds(values: np.ndarray) -> tuple[float, float] | None:
    known = values[~np.isnan(values)]
    if not len(known) or known.min() == known.max():
        return None
    tail = 100 * (1 - COVERAGE) / 2
    low, high = np.percentile(known, [tail, 100 - tail])
    return float(low), float(high)
