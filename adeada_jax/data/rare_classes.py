"""Rare-class sampling: images with rare classes are drawn more often (DAFormer, Hoyer et al., CVPR 2022)."""

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from adeada_jax.data.sources import LabelledImages
from adeada_jax.errors import InputError
from adeada_jax.types import IGNORE_LABEL, Example

# An image has a class if that has this share of its pixels: DAFormer's 3,000 pixels of GTA5's 1914x1052.
LEAST_SHARE = 3_000 / (1914 * 1052)
_AT_ONCE = 4  # labels that are read at the same time


def class_shares(source: LabelledImages, indices: Iterable[int], num_classes: int) -> np.ndarray:
    """`(N, C)` float64: the share of each image's pixels that each class has.

    Args:
      source: of labels, `label(index)`.
      indices: of the images.
      num_classes: C.
    """

    def shares(index: int) -> np.ndarray:
        label = source.label(index)
        return np.bincount(label.ravel(), minlength=IGNORE_LABEL + 1)[:num_classes] / label.size

    with ThreadPoolExecutor(_AT_ONCE) as threads:
        return np.stack(list(threads.map(shares, indices)))


def class_probabilities(shares: np.ndarray, temperature: float) -> np.ndarray:
    """P(c), proportional to exp((1 - f_c) / T), f_c the share of all pixels (DAFormer, Sec. 3.3).

    Args:
      shares: `(N, C)`, of `class_shares`; images count alike, whatever their size.
      temperature: T, above 0.

    Returns:
      `(C,)` float64; 0 for a class that no image has, see LEAST_SHARE.

    Raises:
      InputError: no image has any.
    """
    exponents = (1 - shares.mean(axis=0)) / temperature
    there = (shares >= LEAST_SHARE).any(axis=0)
    if not there.any():
        raise InputError(
            f"config.finetune.rare_class_sampling: no source image has {100 * LEAST_SHARE:.2g}% of its "
            "pixels or more labelled with one class, so none can be drawn by its classes; use 0"
        )
    exponents = np.where(there, exponents, -np.inf)
    weights = np.exp(exponents - exponents.max())
    return weights / weights.sum()


class RareClassImages:
    """As many images as a source has: for each a class is drawn by P(c), then an image that has it.

    The draws are made once; another seed makes others. Some images occur several times, others not at all.
    """

    def __init__(self, source: LabelledImages, shares: np.ndarray, *, temperature: float, seed: int):
        """Draws the images.

        Args:
          source: of examples.
          shares: `(N, C)`, of `class_shares`, of all its images.
          temperature: T, above 0.
          seed: at least 0.
        """
        rng = np.random.default_rng(seed)
        probabilities = class_probabilities(shares, temperature)
        having = [np.flatnonzero(column >= LEAST_SHARE) for column in shares.T]
        classes = rng.choice(len(probabilities), len(source), p=probabilities)
        self._source = source
        self.indices = np.array([rng.choice(having[c]) for c in classes])

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: int) -> Example:
        return self._source[int(self.indices[index])]
