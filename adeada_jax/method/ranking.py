"""Rankings whose ties break by rule, and buying down a ranking within a budget."""

from collections.abc import Sequence

import numpy as np


def ranked(
    score: np.ndarray,
    candidates: np.ndarray,
    image_names: Sequence[str],
    image: np.ndarray,
    region: np.ndarray,
) -> np.ndarray:
    """Candidates by descending score, ties by image name, then region id.

    Args:
      score: `(N,)`, finite at the candidates.
      candidates: `(N,)` bool.
      image_names: names by image index.
      image: `(N,)` image indices.
      region: `(N,)` region ids.

    Returns:
      `(M,)` indices of the candidates.
    """
    order_of_names = np.argsort(np.argsort(np.asarray(image_names)))
    chosen = np.flatnonzero(candidates)
    keys = (region[chosen], order_of_names[image[chosen]], -score[chosen])
    return chosen[np.lexsort(keys)]


def affordable(order: Sequence[int] | np.ndarray, pixels: np.ndarray, budget: int) -> list[int]:
    """Walks down a ranking and takes each region that what is left of the budget still pays for."""
    taken: list[int] = []
    left = budget
    if not len(order):
        return taken
    cheapest = int(pixels[np.asarray(order)].min())
    for index in order:
        if left < cheapest:
            break
        if pixels[index] <= left:
            taken.append(int(index))
            left -= int(pixels[index])
    return taken
