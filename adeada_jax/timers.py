"""Where this process's time goes: waiting for data, compiling, reading and writing checkpoints.

They are counted from the process's start; who wants those of a stage takes the difference of two `now()`.
No second counts twice: a part within another is the inner one's.
"""

import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import jax

T = TypeVar("T")

PARTS = ("data", "compile", "checkpoint")

# All a new program costs before it runs; the last includes reading it from the cache and writing it there.
_COMPILE_EVENTS = (
    "/jax/core/compile/jaxpr_trace_duration",
    "/jax/core/compile/jaxpr_to_mlir_module_duration",
    "/jax/core/compile/backend_compile_duration",
)

_clock = time.perf_counter
_seconds = dict.fromkeys(PARTS, 0.0)
_lock = threading.Lock()
_spans: list[tuple[float, float]] = []  # when something was compiled: disjoint, in order


@contextmanager
def timed(part: str) -> Iterator[None]:
    """Counts the seconds inside to a part of PARTS, without those that are counted inside; decorates too."""
    start, before = _clock(), sum(_seconds.values())
    try:
        yield
    finally:
        passed = _clock() - start
        with _lock:
            _seconds[part] += max(0.0, passed - (sum(_seconds.values()) - before))


def waited(iterable: Iterable[T]) -> Iterator[T]:
    """Yields from `iterable`; the time until each item is there counts as data."""
    iterator = iter(iterable)
    while True:
        with timed("data"):
            try:
                item = next(iterator)
            except StopIteration:
                return
        yield item


def now() -> dict[str, float]:
    """Seconds so far.

    `seconds` of a clock of which only differences mean anything, `data_seconds`, `compile_seconds`,
    `checkpoint_seconds`.
    """
    return {"seconds": _clock(), **{f"{part}_seconds": _seconds[part] for part in PARTS}}


def between(start: dict[str, float], end: dict[str, float]) -> dict[str, float]:
    """What passed between two `now()`, with the same keys."""
    return {key: end[key] - start[key] for key in start}


def _count_compilation(event: str, duration_secs: float, **_: object) -> None:
    """Told by JAX when something was traced, lowered or compiled, and how long that took.

    One may contain others, which were told before it, and threads compile at the same time; what counts is
    the time in which any did.
    """
    if event not in _COMPILE_EVENTS:
        return
    with _lock:
        end = _clock()
        start, counted = end - duration_secs, 0.0
        while _spans and _spans[-1][1] > start:
            begun, ended = _spans.pop()
            start, counted = min(start, begun), counted + ended - begun
        _spans.append((start, end))
        _seconds["compile"] += end - start - counted


jax.monitoring.register_event_duration_secs_listener(_count_compilation)
