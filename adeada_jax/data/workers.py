"""Work on many images, by the processor's cores or a cluster."""

import multiprocessing
import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from typing import TypeVar

import cv2

from adeada_jax import interrupt
from adeada_jax.errors import InputError

T = TypeVar("T")
R = TypeVar("R")

# Starting processes costs more than working on so many items.
_WORTH_PROCESSES = 32
_MOST_PROCESSES = 16


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
    parent = multiprocessing.parent_process()
    assert parent is not None  # this is a worker
    parent.join()
    os._exit(1)


def on_beam(function: Callable[[T], None], items: Iterable[T], options: Sequence[str]) -> None:
    """Calls a function on all items by the workers of an Apache Beam runner, which see the same directories.

    Raises:
      InputError: Beam is not installed.
    """
    try:
        import apache_beam as beam
        from apache_beam.options.pipeline_options import PipelineOptions
    except ImportError as error:
        raise InputError("--beam_options: Beam is not installed; pip install 'adeada_jax[beam]'") from error
    with beam.Pipeline(options=PipelineOptions(list(options))) as pipeline:
        # Reshuffling spreads the items over the workers; else they stay where they were created.
        _ = pipeline | beam.Create(items) | beam.Reshuffle() | beam.Map(function)
