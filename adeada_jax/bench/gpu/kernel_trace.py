"""The longest kernels of a train step and of an EM iteration, and how long the device idles meanwhile."""

import gzip
import json
import math
from collections import defaultdict
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np

from adeada_jax.bench.gpu.ledger import Ledger, timed
from adeada_jax.bench.gpu.network_cases import compile_case
from adeada_jax.bench.gpu.network_names import Case, named
from adeada_jax.bench.mixtures.plain_em import our_engine
from adeada_jax.bench.mixtures.problem import cluster_all
from adeada_jax.bench.mixtures.synthetic import domain_pair
from adeada_jax.types import Json, PyTree

_LONGEST = 10
# Lines of a device's trace that name again what its streams show.
_DERIVED = ("XLA Modules", "XLA Ops", "Steps", "Framework", "Source", "TensorFlow")


def measure(ledger: Ledger) -> None:
    """A train step, then an EM iteration."""
    case = named("v3-supervised-bf16-b1", small=ledger.small).case
    for name, prepare in (
        ("train step", lambda: _train_step(case)),
        ("EM iteration", lambda: _em(ledger.small)),
    ):
        rows: list[dict[str, Any]] = []

        def trace(
            name: str = name,
            prepare: Callable[[], Callable[[], PyTree]] = prepare,
            rows: list[dict[str, Json]] = rows,
        ) -> dict[str, Json]:
            values, longest = traced(prepare(), ledger.scratch / f"trace of a {name}")
            rows.extend(longest)
            return values

        ledger.row("trace", name, trace, needs=8)
        for row in rows:
            ledger.row(f"longest kernels, {name}", row.pop("kernel"), partial(dict, row), needs=-math.inf)


def _train_step(case: Case) -> Callable[[], PyTree]:
    return compile_case(case).start()


def _em(small: bool) -> Callable[[], PyTree]:
    """A later iteration of one mixture, its task lists with it."""
    number, dim, components = (1000, 64, 3) if small else (200_000, 256, 10)
    _, source = domain_pair(0, 100, number, num_classes=1, dim=dim)
    start = np.eye(components, dtype=np.float32)[cluster_all([source.features], [components], 0)[0]]
    with jax.enable_x64(True):
        engine = our_engine(source.features, start)

    def step() -> PyTree:
        with jax.enable_x64(True):
            engine.step(np.ones(1, bool))
        return engine.parts

    return step


def traced(step: Callable[[], PyTree], directory: Path) -> tuple[dict[str, Json], list[dict[str, Json]]]:
    """One step under the profiler, after one that compiles and one that warms up.

    Returns:
        Seconds of the step without and with the profiler, the device's busy and idle time within it; and the
        longest kernels.
    """
    timed(step)
    alone, _ = timed(step)
    options = jax.profiler.ProfileOptions()
    options.python_tracer_level = 0  # its events would be most of the trace
    with jax.profiler.trace(str(directory), profiler_options=options):
        seconds, _ = timed(step)
    files = sorted(directory.rglob("*.trace.json.gz"), key=lambda path: path.stat().st_mtime)
    values, longest = summarise(read_events(files[-1]))
    busy = values["busy_seconds"]
    idle = {"idle_share": max(0.0, 1 - busy / alone), "idle_share_traced": max(0.0, 1 - busy / seconds)}
    return {"seconds": alone, "traced_seconds": seconds, **idle, **values}, longest


def read_events(file: Path) -> list[dict[str, Json]]:
    """Events of a trace in Chrome's format, as the profiler writes it."""
    with gzip.open(file, "rt", encoding="utf-8") as text:
        return json.load(text)["traceEvents"]


def summarise(events: Iterable[dict[str, Any]]) -> tuple[dict[str, Any], list[dict[str, Json]]]:
    """Busy and idle time of the devices' streams, or of XLA's threads where there is no accelerator.

    Args:
        events: with `ph` "M" (names) and "X" (complete; `ts` and `dur` in microseconds).

    Returns:
        Sums, and the kernels of the longest time in all, the longest first.
    """
    events = list(events)
    processes = {e["pid"]: e["args"].get("name", "") for e in events if e.get("name") == "process_name"}
    threads = {
        (e["pid"], e.get("tid")): e["args"].get("name", "") for e in events if e.get("name") == "thread_name"
    }
    complete = [e for e in events if e.get("ph") == "X" and e.get("dur", 0) > 0]

    def on_device(event: dict[str, Any]) -> bool:
        line = threads.get((event["pid"], event.get("tid")), "")
        return "/device:" in processes.get(event["pid"], "") and not line.startswith(_DERIVED)

    def of_xla(event: dict[str, Any]) -> bool:
        return "XLA" in threads.get((event["pid"], event.get("tid")), "")

    kernels = [e for e in complete if on_device(e)]
    streams = [e for e in kernels if threads.get((e["pid"], e.get("tid")), "").startswith("Stream")]
    kernels = streams or kernels
    where = "device"
    if not kernels:
        kernels, where = [e for e in complete if of_xla(e)] or complete, "host"
    busy, span = _busy([(e["ts"], e["ts"] + e["dur"]) for e in kernels])
    times: dict[str, list[float]] = defaultdict(list)
    for event in kernels:
        times[event["name"]].append(event["dur"])
    total = sum(map(sum, times.values()))
    longest = sorted(times, key=lambda name: -sum(times[name]))[:_LONGEST]
    rows: list[dict[str, Json]] = [
        {
            "kernel": name[:120],
            "calls": len(times[name]),
            "seconds": sum(times[name]) / 1e6,
            "share": sum(times[name]) / total,
        }
        for name in longest
    ]
    values = {
        "where": where,
        "kernels": len(kernels),
        "names": len(times),
        "busy_seconds": busy / 1e6,
        "span_seconds": span / 1e6,
        "idle_within_span": 1 - busy / span if span else None,
    }
    return values, rows


def _busy(intervals: list[tuple[float, float]]) -> tuple[float, float]:
    """Length of the union of intervals, and from its begin to its end."""
    busy, end = 0.0, -np.inf
    for low, high in sorted(intervals):
        busy += max(0.0, high - max(low, end))
        end = max(end, high)
    return (busy, end - min(low for low, _ in intervals)) if intervals else (0.0, 0.0)
