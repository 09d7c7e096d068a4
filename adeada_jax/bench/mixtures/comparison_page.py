"""The comparison's table, JSON and plot."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from adeada_jax.bench.mixtures.agreement import Buy, bought, likelihood_losses, overlap, rank_correlations
from adeada_jax.bench.mixtures.fits import Run
from adeada_jax.bench.mixtures.problem import DOMAINS, Problem

Row = dict[str, str | float | None]  # of the table, by key of COLUMNS

REFERENCE = "scikit-learn float64"
COLUMNS = (
    ("contender", "contender", "{}"),
    ("seconds", "wall s", "{:.2f}"),
    ("cpu_seconds", "CPU s", "{:.1f}"),
    ("speedup", "speed-up", "{:.1f}x"),
    ("milliseconds_per_iteration", "ms/iter.", "{:.1f}"),
    ("gflops", "GFLOP/s*", "{:.0f}"),
    ("matmul_share", "of matmul", "{:.2f}"),
    ("peak_megabytes", "peak MB", "{:.0f}"),
    ("iterations", "iter.", "{}"),
    ("failures", "failed", "{}"),
    ("worst_loss_percent", "loss %", "{:.4f}"),
    ("worst_rank_correlation", "pi corr.", "{:.5f}"),
    ("overlap_percent", "bought %", "{:.2f}"),
    ("error", "", "{}"),
)


def summarise(
    problem: Problem, runs: Sequence[Run], importances: list[np.ndarray | None], buy: Buy
) -> list[Row]:
    """A row of figures for every run; the reference's figures where it ran.

    Args:
        problem: the job.
        runs: what workers wrote, each with "label", "seconds", "fits" or "error".
        importances: pi (N_T,) of every run, or None.
        buy: how regions are bought.
    """
    by_label = {run["label"]: i for i, run in enumerate(runs)}
    base = next((r for r in runs if r["label"] == "scikit-learn float32" and "fits" in r), None)
    at = by_label.get(REFERENCE)
    reference = runs[at] if at is not None and "fits" in runs[at] else None
    known = importances[at] if at is not None and reference is not None else None
    rows = []
    for run, importance in zip(runs, importances, strict=True):
        row: Row = {"contender": run["label"], "error": run.get("error", "")}
        rows.append(row)
        if "fits" not in run:
            continue
        fits, seconds = run["fits"], run["seconds"][-1]
        flops = sum(f["iterations"] * problem.flops(f["domain"], f["of_class"]) for f in fits)
        iterations = sum(f["iterations"] for f in fits)
        row |= {
            "seconds": seconds,
            "cpu_seconds": run["cpu_seconds"][-1],
            "speedup": base["seconds"][-1] / seconds if base else None,
            "milliseconds_per_iteration": 1e3 * seconds / max(iterations, 1),
            "gflops": flops / seconds / 1e9,
            "matmul_share": flops / seconds / run["matmul_rate"],
            "peak_megabytes": run["peak_above_base"] / 1e6,
            "iterations": iterations,
            "failures": sum(bool(f["failure"]) for f in fits),
        }
        if reference is not None:
            losses = likelihood_losses(fits, reference["fits"])
            row["worst_loss_percent"] = 100 * max(losses) if losses else None
        if known is not None and importance is not None:
            correlations = rank_correlations(problem, importance, known)
            row["worst_rank_correlation"] = float(np.nanmin(correlations))
            both = (bought(problem, pi, buy) for pi in (importance, known))
            row["overlap_percent"] = 100 * overlap(*both)
    return rows


def as_table(rows: Sequence[Row]) -> str:
    """The rows as text."""
    cells = [[title for _, title, _ in COLUMNS]]
    for row in rows:
        values = (row.get(key) for key, _, _ in COLUMNS)
        cells.append(
            ["-" if v is None else f.format(v) for v, (_, _, f) in zip(values, COLUMNS, strict=True)]
        )
    widths = [max(len(line[i]) for line in cells) for i in range(len(COLUMNS))]
    lines = []
    for line in cells:
        padded = [c.rjust(w) if i else c.ljust(w) for i, (c, w) in enumerate(zip(line, widths, strict=True))]
        lines.append("  ".join(padded))
    lines.insert(1, "-" * len(lines[0]))
    lines.append(
        "* of the 4 N K D^2 FLOPs that an iteration done in full would take; loss, pi and bought: "
        f"against {REFERENCE}"
    )
    return "\n".join(line.rstrip() for line in lines)


def write(
    directory: Path,
    problem: Problem,
    rows: Sequence[Row],
    runs: Sequence[Run],
    about: Mapping[str, object],
) -> None:
    """Write compare.json and compare.png."""
    sizes = [[int(np.sum(problem.classes[d] == c)) for c in range(len(problem.components))] for d in (0, 1)]
    described = {"sizes": dict(zip(DOMAINS, sizes, strict=True)), "components": problem.components.tolist()}
    content = {**about, **described, "rows": rows, "runs": runs}
    (directory / "compare.json").write_text(json.dumps(content, indent=1), encoding="utf-8")
    _plot(directory / "compare.png", rows, runs)


def _plot(path: Path, rows: Sequence[Row], runs: Sequence[Run]) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 4.2), layout="constrained")
    FigureCanvasAgg(figure)
    times, quality = figure.subplots(1, 2)
    timed = [row for row in rows if "seconds" in row]
    bars = times.barh([row["contender"] for row in timed], [row["seconds"] for row in timed], color="#4477aa")
    times.bar_label(bars, fmt="%.2f s", padding=3)
    times.set(xlabel="wall time (s), log scale", xscale="log")
    times.invert_yaxis()
    times.margins(x=0.25)
    reference = next((run for run in runs if run["label"] == REFERENCE and "fits" in run), None)
    for run in runs:
        if reference is not None and "fits" in run and run is not reference:
            losses = 100 * np.array(likelihood_losses(run["fits"], reference["fits"]), float)
            quality.plot(np.sort(losses), ".-", label=run["label"])
    quality.axhline(0.1, color="grey", linestyle=":", label="0.1 %")
    quality.set_yscale("symlog", linthresh=1e-4)
    quality.set(xlabel="class and domain, sorted", ylabel=f"log-likelihood lost against\n{REFERENCE} (%)")
    quality.legend(fontsize="small")
    figure.savefig(path, dpi=120)
