"""Training batches that depend on nothing but the seed and the step."""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import Any, Protocol

import grain
import numpy as np

from adeada_jax.data import transforms
from adeada_jax.errors import InputError

# Examples until the end; grain's own endless repetition overflows an index for some sizes.
_ENDLESS = 2**50


class Source(Protocol):
    """Anything with random access to examples: dicts with `image` and perhaps `label`."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> dict[str, Any]: ...


def training_batches(
    source: Source, *, batch_size: int, seed: int, height: int, width: int, augment: bool = True,
    start_step: int = 0, threads: int = 1, prefetch: int = 16,
) -> Iterator[dict[str, np.ndarray]]:  # fmt: skip
    """Endless shuffled batches, made by background threads.

    The batch of step t is a pure function of the source, the options and (seed, t): `start_step=t` goes on
    exactly where a killed run stopped. Each epoch visits every example once, in an order of its own;
    batches run on across the border of two epochs.

    Args:
      source: of examples.
      batch_size: images a batch.
      seed: at least 0.
      height: of the images handed out, in pixels.
      width: of the images handed out, in pixels.
      augment: whether `transforms.augment` is applied.
      start_step: the step of the first batch.
      threads: that read and transform.
      prefetch: batches kept ready.

    Yields:
      `image` `(B, height, width, 3)` and, if the source gives labels, `label` `(B, height, width)`, uint8.

    Raises:
      InputError: the source is empty.
    """
    if not len(source):
        raise InputError("there is no image to train on")

    def transform(example: dict[str, Any], rng: np.random.Generator) -> dict[str, np.ndarray]:
        resized = transforms.resize(example, height=height, width=width)
        return transforms.augment(resized, rng) if augment else resized

    dataset = grain.MapDataset.source(source).seed(seed % 2**32).shuffle().repeat(_ENDLESS // len(source) + 1)
    dataset = dataset.random_map(transform).batch(batch_size)
    dataset = dataset.slice(slice(start_step, len(dataset)))
    options = grain.ReadOptions(num_threads=threads, prefetch_buffer_size=prefetch)
    return iter(dataset.to_iter_dataset(options))


def joined(
    first: Iterator[dict[str, np.ndarray]], second: Iterator[dict[str, np.ndarray]]
) -> Iterator[dict[str, np.ndarray]]:
    """Batches of which the first half comes from one stream and the second from the other."""
    for one, other in zip(first, second, strict=True):
        yield {key: np.concatenate([one[key], other[key]]) for key in one}


class _Concatenation:
    """Several sources one after another."""

    def __init__(self, sources: Sequence[Source]):
        self._sources = tuple(sources)
        self._ends = list(accumulate(len(source) for source in self._sources))

    def __len__(self) -> int:
        return self._ends[-1] if self._ends else 0

    def __getitem__(self, index: int) -> dict[str, Any]:
        if not 0 <= index < len(self):
            raise IndexError(f"index {index} of {len(self)} examples")
        which = bisect_right(self._ends, index)
        return self._sources[which][index - (self._ends[which] - len(self._sources[which]))]


def concatenate(sources: Sequence[Source]) -> Source:
    """The union of sources, e.g. D_S and D_T^L: their examples one after another."""
    return _Concatenation(sources)


class _Cached:
    """Keeps what was read once; of use where all examples fit in memory."""

    def __init__(self, source: Source):
        self._source = source
        self._examples: dict[int, dict[str, Any]] = {}

    def __len__(self) -> int:
        return len(self._source)

    def __getitem__(self, index: int) -> dict[str, Any]:
        if index not in self._examples:
            self._examples[index] = self._source[index]
        return self._examples[index]


def cached(source: Source) -> Source:
    """A source that keeps its decoded examples in memory (128x256 pixels: 0.26 MB each)."""
    return _Cached(source)
