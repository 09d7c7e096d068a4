"""Training batches that depend on nothing but the seed and the step."""

import multiprocessing
import os
import signal
import threading
from bisect import bisect_right
from collections.abc import Generator, Iterable, Iterator, Sequence
from functools import partial
from itertools import accumulate
from typing import Any, Protocol

import cv2
import grain
import numpy as np
from absl import flags

from adeada_jax.data import transforms
from adeada_jax.errors import InputError
from adeada_jax.types import Example

# Examples until the end; grain's own endless repetition overflows an index for some sizes.
_ENDLESS = 2**50


Batches = Generator[dict[str, np.ndarray], None, None]  # with a method `close`


class Source(Protocol):
    """Anything with random access to examples: dicts with `image` and perhaps `label`."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Example: ...


def training_batches(
    source: Source,
    *,
    batch_size: int,
    seed: int,
    height: int,
    width: int,
    augment: bool = True,
    start_step: int = 0,
    threads: int = 1,
    prefetch: int = 16,
    workers: int = 0,
    process_index: int = 0,
    process_count: int = 1,
) -> Batches:
    """Endless shuffled batches, made by background threads or processes.

    The batch of step t is a pure function of the source, the options and (seed, t), however many threads or
    workers make it: `start_step=t` goes on exactly where a killed run stopped, so the step is all that a
    checkpoint has to hold. Each epoch visits every example once, in an order of its own; batches run on
    across the border of two epochs. Of several processes that train together each gets its rows of the
    very batch that one alone would get.

    Args:
      source: of examples; with workers it is pickled.
      batch_size: images a batch, over all processes.
      seed: at least 0.
      height: of the images handed out, in pixels.
      width: of the images handed out, in pixels.
      augment: whether `transforms.augment` is applied.
      start_step: the step of the first batch.
      threads: that read and transform, where there are no workers.
      prefetch: batches kept ready, where there are no workers; each worker keeps two.
      workers: processes that read and transform, on one core each; 0 = threads of this process.
      process_index: of this process among those that train together, from 0.
      process_count: how many train together.

    Yields:
      `image` `(B / process_count, height, width, 3)` and, if the source gives labels, `label`
      `(B / process_count, height, width)`, uint8; `place` `(B / process_count,)` int32, of the images in the
      whole batch.

    Raises:
      InputError: the source is empty, or the batch cannot be divided among the processes.
    """
    if not len(source):
        raise InputError("there is no image to train on")
    if batch_size % process_count:
        raise InputError(
            f"a batch of {batch_size} images cannot be divided among {process_count} processes; "
            f"make config.data.batch_size a multiple of {process_count}"
        )
    make = transforms.augment if augment else _resize
    dataset = grain.MapDataset.source(source).seed(seed % 2**32).shuffle().repeat(_ENDLESS // len(source) + 1)
    own = batch_size // process_count
    dataset = dataset.random_map(partial(make, height=height, width=width)).batch(own)
    # Part p of batch t is number t * process_count + p.
    dataset = dataset.slice(slice(start_step * process_count + process_index, len(dataset), process_count))
    if not workers:
        options = grain.ReadOptions(num_threads=threads, prefetch_buffer_size=prefetch)
        return _with_places(dataset.to_iter_dataset(options), process_index * own)
    if not flags.FLAGS.is_parsed():  # grain asks absl for an option of its own; only scripts parse options
        flags.FLAGS.mark_as_parsed()
    # A worker reads on its main thread: it has one core, and its processes overlap already.
    parts = dataset.to_iter_dataset(grain.ReadOptions(num_threads=0, prefetch_buffer_size=0))
    options = grain.MultiprocessingOptions(num_workers=workers, per_worker_buffer_size=2)
    return _with_places(parts.mp_prefetch(options, worker_init_fn=_start_worker), process_index * own)


def _with_places(batches: Iterable[dict[str, np.ndarray]], first: int) -> Batches:
    iterator: Any = iter(batches)  # grain's, which can be closed
    try:
        for batch in iterator:
            yield {**batch, "place": first + np.arange(len(batch["image"]), dtype=np.int32)}
    finally:
        iterator.close()  # workers and what they share go with the training, however that ends


def _resize(
    example: transforms.Picture, rng: np.random.Generator, *, height: int, width: int
) -> transforms.Picture:
    """`transforms.resize` as grain calls it: nothing is random."""
    return transforms.resize(example, height=height, width=width)


def _start_worker(index: int, count: int) -> None:
    """Keeps a worker to its core, and lets it end with the training: Ctrl-C is the latter's to handle."""
    cv2.setNumThreads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """A training that was killed cannot stop its workers."""
    parent = multiprocessing.parent_process()
    assert parent is not None  # this is a worker
    parent.join()
    os._exit(1)


def joined(
    first: Iterator[dict[str, np.ndarray]], second: Iterator[dict[str, np.ndarray]], *, size: int
) -> Batches:
    """Batches of which the first half, `size` images over all processes, comes from one stream."""
    for one, other in zip(first, second, strict=True):
        other = {**other, "place": size + other["place"]}
        yield {key: np.concatenate([one[key], other[key]]) for key in one}


class _Concatenation:
    """Several sources one after another."""

    def __init__(self, sources: Sequence[Source]):
        self._sources = tuple(sources)
        self._ends = list(accumulate(len(source) for source in self._sources))

    def __len__(self) -> int:
        return self._ends[-1] if self._ends else 0

    def __getitem__(self, index: int) -> Example:
        if not 0 <= index < len(self):
            raise IndexError(f"index {index} of {len(self)} examples")
        which = bisect_right(self._ends, index)
        return self._sources[which][index - (self._ends[which] - len(self._sources[which]))]


def concatenate(sources: Sequence[Source]) -> Source:
    """The union of sources, e.g. D_S and D_T^L: their examples one after another."""
    return _Concatenation(sources)
