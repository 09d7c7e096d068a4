"""The points of a scaling experiment, each in its own process, and what is made of them."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from itertools import product
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from rich import box
from rich.table import Table

from adeada_jax.bench.scaling.workloads import Point
from adeada_jax.errors import InputError

Result = dict[str, Any]


def points(
    *,
    stages: Sequence[str],
    devices: Sequence[int],
    batches: Sequence[int],
    regions: int,
    dtypes: Sequence[str],
    **common: Any,
) -> Iterator[Point]:
    """All points: each batch over all devices (strong) or a device (weak); of densities, `regions`."""
    for stage in stages:
        density = stage == "density"
        series = product(["float32"] if density else dtypes, [regions] if density else batches)
        for (dtype, amount), scaling in product(series, ("strong", "weak")):
            for count in devices:
                whole = amount if scaling == "strong" else amount * count
                yield Point(stage, scaling, count, whole, dtype, **common)


def measure(point: Point, *, simulate: bool) -> Result:
    """Runs a point in a process that sees as many devices as it names.

    Args:
      point: what to time.
      simulate: makes CPU devices; else the first devices of the accelerator are used.

    Returns:
      `worker.run`'s result, or the point with `error`.
    """
    environment = dict(os.environ)
    if simulate:
        environment["JAX_PLATFORMS"] = "cpu"
        count = f"--xla_force_host_platform_device_count={point.devices}"
        environment["XLA_FLAGS"] = f"{environment.get('XLA_FLAGS', '')} {count}"
    else:
        own = environment.get("CUDA_VISIBLE_DEVICES")
        visible = own.split(",") if own else [str(i) for i in range(point.devices)]
        environment["CUDA_VISIBLE_DEVICES"] = ",".join(visible[: point.devices])
    done = subprocess.run(
        [sys.executable, "-m", "adeada_jax.bench.scaling.point_worker", json.dumps(asdict(point))],
        env=environment,
        capture_output=True,
        encoding="utf-8",
    )
    if done.returncode:
        said = [line for line in done.stderr.splitlines() if line.strip()] or [f"status {done.returncode}"]
        return {**asdict(point), "error": said[-1]}
    return json.loads(done.stdout.splitlines()[-1])


def devices_here() -> int:
    """Local devices, counted by another process: one that counts them takes hold of their memory."""
    script = "import jax; print(jax.local_device_count())"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, encoding="utf-8")
    if done.returncode:
        raise InputError(f"JAX finds no devices: {done.stderr.strip().splitlines()[-1]}")
    return int(done.stdout.split()[-1])


def with_efficiency(results: Sequence[Result]) -> list[Result]:
    """Adds `efficiency`: the rate a device, over that of the fewest devices of the same series."""
    first: dict[tuple[str | int, ...], float] = {}
    found = []
    for result in results:
        if "error" in result:
            found.append(dict(result))
            continue
        series = _series(result)
        rate = result["rate"] / result["devices"]
        found.append({**result, "efficiency": rate / first.setdefault(series, rate)})
    return found


def _series(result: Result) -> tuple[str | int, ...]:
    """What results have in common that differ in the number of devices alone; last, the batch."""
    amount = result["batch"] if result["scaling"] == "strong" else result["batch"] // result["devices"]
    return (*(result[key] for key in ("stage", "dtype", "scaling")), amount)


def share_of_peak(result: Mapping[str, Any]) -> float | None:
    """A device's FLOP/s over its peak."""
    if not (result.get("flops") and result.get("peak")):
        return None
    return result["flops"] / result["seconds"] / result["peak"]


_COLUMNS = (
    "stage",
    "dtype",
    "scaling",
    "n",
    "batch",
    "s/step",
    "1/s",
    "eff.",
    "compile",
    "GB",
    "peak",
    "TFLOP/s",
)
LEGEND = (
    "n devices; batch in all; 1/s images (of density, regions) a second; eff. the rate a device over that "
    "of the fewest devices; compile in seconds; GB at most, of the device or the process; peak and TFLOP/s "
    "of one device"
)


def rows(results: Sequence[Result]) -> list[tuple[str, ...]]:
    """The table's cells."""
    cells = []
    for result in results:
        name = [str(result[key]) for key in ("stage", "dtype", "scaling", "devices", "batch")]
        if "error" in result:
            cells.append((*name, f"failed: {result['error']}", *[""] * (len(_COLUMNS) - len(name) - 1)))
            continue
        share = share_of_peak(result)
        speed = result["flops"] / result["seconds"] / 1e12 if result["flops"] else None
        cells.append(
            (
                *name,
                f"{result['seconds']:.3f}",
                f"{result['rate']:.1f}",
                f"{result['efficiency']:.2f}",
                f"{result['compile_seconds']:.1f}",
                f"{result['memory'] / 1e9:.1f}",
                "" if share is None else f"{100 * share:.0f} %",
                "" if speed is None else f"{speed:.3f}",
            )
        )
    return cells


def table(results: Sequence[Result]) -> Table:
    """For a terminal of 80 columns: without the last."""
    made = Table(*_COLUMNS[:-1], box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, caption=LEGEND)
    for cells in rows(results):
        made.add_row(*cells[:-1])
    return made


def markdown(results: Sequence[Result]) -> str:
    """For documents."""
    lines = [_COLUMNS, ["---"] * 3 + ["---:"] * (len(_COLUMNS) - 3), *rows(results)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + f"\n\n{LEGEND}.\n"


def plot(results: Sequence[Result], path: Path) -> None:
    """Rates over devices, a panel a stage, a line a type, scaling and batch; dotted: perfect scaling."""
    good = [result for result in results if "error" not in result]
    stages = list(dict.fromkeys(result["stage"] for result in good))
    figure = Figure(figsize=(4 * max(len(stages), 1), 3.4), layout="constrained")
    for panel, stage in enumerate(stages):
        axes = figure.add_subplot(1, len(stages), panel + 1)
        own = [result for result in good if result["stage"] == stage]
        for series in dict.fromkeys(_series(result) for result in own):
            line = [result for result in own if _series(result) == series]
            devices = [r["devices"] for r in line]
            label = ", ".join(map(str, series[1:]))
            axes.plot(devices, [r["rate"] for r in line], marker="o", label=label)
            axes.plot(devices, [line[0]["rate"] * d / devices[0] for d in devices], ":", color="grey")
        axes.set_title(stage)
        axes.set_xlabel("devices")
        axes.set_ylabel("regions a second" if stage == "density" else "images a second")
        axes.set_xscale("log", base=2)
        axes.set_yscale("log", base=2)
        axes.legend(fontsize="small")
    figure.savefig(path, dpi=120)
