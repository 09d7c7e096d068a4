"""Where an EM iteration's time goes: the engine's programs and host work, each timed and counted.

Each program is waited for, so that a sum over the stages is a little more than the iteration takes by itself.
"""

import functools
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, ParamSpec, TypeVar

import jax
import numpy as np

from adeada_jax.mixtures import engines, full, kmeans, packing, programs
from adeada_jax.mixtures.programs import Components, Moments
from adeada_jax.types import PyTree

# Seconds until a call returns (launches, and uploads of NumPy arguments), and from then until its end.
P = ParamSpec("P")
T = TypeVar("T")

FIELDS = ("calls", "dispatch_seconds", "wait_seconds", "flops", "bytes")


class StageClock:
    """Sums by stage, for the phase at hand; `take` gives them and begins a new phase."""

    def __init__(self) -> None:
        self._stages: dict[str, dict[str, float]] = {}

    def add(self, stage: str, dispatch: float, wait: float, flops: float = 0.0, size: float = 0.0) -> None:
        sums = self._stages.setdefault(stage, dict.fromkeys(FIELDS, 0.0))
        for field, value in zip(FIELDS, (1, dispatch, wait, flops, size), strict=True):
            sums[field] += float(value)

    def take(self) -> dict[str, dict[str, float]]:
        taken, self._stages = self._stages, {}
        return taken


def _size(tree: PyTree) -> int:
    return sum(getattr(leaf, "nbytes", 0) for leaf in jax.tree.leaves(tree))


def _tails(
    rows: jax.Array,
    scores: jax.Array,
    exact: jax.Array,
    parts: Components,
    changed: jax.Array,
    blocks: jax.Array,
    count: jax.Array,
    *,
    block: int,
) -> tuple[float, float]:
    tail, dim = parts.tails.shape[1:]
    number, columns = int(count) * block, scores.shape[0]
    pair = 2 * (scores.dtype.itemsize + exact.dtype.itemsize)
    return 2.0 * number * dim * tail * columns, number * (rows.dtype.itemsize * dim + pair * columns)


def _heads(
    rows: jax.Array,
    scores: jax.Array,
    exact: jax.Array,
    parts: Components,
    task_rows: jax.Array,
    components: jax.Array,
    columns: jax.Array,
    count: jax.Array,
    *,
    width: int,
) -> tuple[float, float]:
    pairs, head = int(count) * task_rows.shape[1], parts.heads.shape[1]
    item = rows.dtype.itemsize
    return 2.0 * pairs * head**2, item * (pairs * (head + 2) + int(count) * head**2)


def _moments(
    rows: jax.Array,
    changes: jax.Array,
    moments: Moments,
    centres: jax.Array,
    task_rows: jax.Array,
    components: jax.Array,
    columns: jax.Array,
    count: jax.Array,
    *,
    width: int,
) -> tuple[float, float]:
    pairs, dim = int(count) * task_rows.shape[1], rows.shape[1]
    return 2.0 * pairs * dim**2, rows.dtype.itemsize * pairs * (dim + 1) + int(count) * 16 * dim**2


def _factors(
    parts: Components,
    moments: Moments,
    centres: jax.Array,
    mixture: jax.Array,
    chosen: jax.Array,
    count: jax.Array,
    dim: int,
    reg_covar: float,
    *,
    width: int,
    prior: str,
) -> tuple[float, float]:
    size = centres.shape[1]
    return 4.0 * int(count) * size**3, int(count) * size**2 * (8 + parts.means.dtype.itemsize)


def _centres(
    rows: jax.Array,
    responsibilities: jax.Array,
    sums: jax.Array,
    blocks: jax.Array,
    count: jax.Array,
    *,
    block: int,
) -> tuple[float, float]:
    number = int(count) * block
    return 2.0 * number * rows.shape[1] * len(responsibilities), number * rows.dtype.itemsize * rows.shape[1]


def _all(*arguments: object, **_: object) -> tuple[float, float]:
    return 0.0, _size(arguments)


# By program: the stage, what a call computes and moves at least, and which of its results go to the host.
PROGRAMS: dict[str, tuple[str, Callable[..., tuple[float, float]], str]] = {
    "bound_scores": ("tails", _tails, ""),
    "complete_scores": ("heads", _heads, ""),
    "accumulate": ("moments", _moments, ""),
    "update_components": ("factors", _factors, ""),
    "first_moments": ("centres", _centres, ""),
    "likely_pairs": ("masks", _all, "all"),
    "doubtful_pairs": ("masks", _all, "all"),
    "normalise": ("responsibilities", _all, "norms and mask"),
}
# Host work: module or class, function, stage.
HOST: tuple[tuple[object, str, str], ...] = (
    (full, "pair_tasks", "task lists"),
    (full, "row_blocks", "block lists"),
    (full.FullEngine, "_tolerances", "tolerances"),
    (full, "mean_densities", "means of log densities"),
    (full.FullEngine, "_slots", "slots"),
    (packing.Shard, "rows", "samples to the device"),
    (kmeans, "kmeans_plusplus", "seeding"),
    (kmeans, "_assign_all", "assignments"),
)


def _program(clock: StageClock, name: str, function: Callable[..., PyTree]) -> Callable[..., PyTree]:
    stage, cost, to_host = PROGRAMS[name]

    def call(*arguments: Any, **options: Any) -> Any:
        flops, size = cost(*arguments, **options)
        begin = time.perf_counter()
        found = function(*arguments, **options)
        called = time.perf_counter()
        jax.block_until_ready(found)
        ended = time.perf_counter()
        clock.add(stage, called - begin, ended - called, flops, size)
        return _fetched(clock, found, to_host) if to_host else found

    return call


def _fetched(clock: StageClock, found: PyTree, which: str) -> PyTree:
    """The results with those that the engine reads on the host there."""
    begin = time.perf_counter()
    if which == "all":
        moved: PyTree = np.asarray(found)
        found = moved
    else:
        norms, mask, changes, responsibilities = found
        moved = (np.asarray(norms), np.asarray(mask))
        found = (*moved, changes, responsibilities)
    clock.add("device to host", time.perf_counter() - begin, 0.0, 0.0, _size(moved))
    return found


def _host(clock: StageClock, stage: str, function: Callable[P, T]) -> Callable[P, T]:
    @functools.wraps(function)
    def call(*arguments: P.args, **options: P.kwargs) -> T:
        begin = time.perf_counter()
        found = function(*arguments, **options)
        clock.add(stage, time.perf_counter() - begin, 0.0)
        return found

    return call


@contextmanager
def stages_timed() -> Iterator[StageClock]:
    """While it lasts, engines with full covariances, and k-means, are timed by stage.

    All of it is by compiled programs, though on a CPU small mixtures and k-means would be done in NumPy.
    """
    clock = StageClock()
    places: list[tuple[object, str, Callable[..., object]]]
    places = [(programs, name, _program(clock, name, getattr(programs, name))) for name in PROGRAMS]
    places += [(where, name, _host(clock, stage, getattr(where, name))) for where, name, stage in HOST]
    places += [(engines, "is_small", lambda *_: False), (kmeans, "in_numpy", lambda _: False)]
    before = [(where, name, getattr(where, name)) for where, name, _ in places]
    try:
        for place in places:
            setattr(*place)
        yield clock
    finally:
        for place in before:
            setattr(*place)
