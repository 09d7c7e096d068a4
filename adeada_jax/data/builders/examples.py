"""What the records of every prepared data set hold, and the work of making them over processes."""

import multiprocessing
import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from typing import Any, TypeVar

import cv2
import numpy as np

from adeada_jax import interrupt
from adeada_jax.data.images import encode_png
from adeada_jax.partitions.slic import slic_regions

T = TypeVar("T")
R = TypeVar("R")

# Starting processes costs more than making this many examples.
_WORTH_PROCESSES = 32
_MOST_PROCESSES = 16


def encode_example(
    name: str, image: np.ndarray, label: np.ndarray, *, num_segments: int, compactness: float
) -> dict[str, Any]:
    """Divides an image into regions and encodes everything as it is stored.

    Args:
      name: of the image, unique in its split.
      image: `(H, W, 3)` uint8 RGB.
      label: `(H, W)` uint8 trainIds, 255 = ignore.
      num_segments: of SLIC.
      compactness: of SLIC.

    Returns:
      `name` and the PNG bytes `image`, `label` (uint8), `regions` (uint16).
    """
    regions = slic_regions(image, num_segments=num_segments, compactness=compactness)
    return {
        "name": name,
        "image": encode_png(image),
        "label": encode_png(label),
        "regions": encode_png(regions.astype(np.uint16)),
    }


def ordered_map(
    function: Callable[[T], R], items: Iterable[T], *, processes: int | None = None
) -> Iterator[R]:
    """`map` over all processor cores, with the results in the order of the items.

    Short lists are worked on in this process. Processes are spawned, not forked, since this one may have
    threads; so a script that gets here needs the usual `if __name__ == "__main__"`.

    Args:
      function: importable by name (or a `functools.partial` of such), free of side effects.
      items: that can be pickled.
      processes: instead of one a core, at most 16.

    Yields:
      `function(item)`, with at most a few results waiting in memory.
    """
    items = list(items)
    processes = processes or min(len(os.sched_getaffinity(0)), _MOST_PROCESSES)
    if len(items) < _WORTH_PROCESSES or processes == 1:
        yield from map(function, items)
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, mp_context=context, initializer=_start_worker) as pool:
        waiting: deque[Future[R]] = deque()
        try:
            for item in items:
                with interrupt.left_to_this_process():  # which starts its processes there
                    waiting.append(pool.submit(function, item))
                if len(waiting) > 8 * processes:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


def _start_worker() -> None:
    cv2.setNumThreads(1)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """Ends this worker when its parent is gone; one that was killed could not tell it to."""
    multiprocessing.parent_process().join()
    os._exit(1)
