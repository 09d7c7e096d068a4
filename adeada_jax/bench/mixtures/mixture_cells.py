"""One mixture by size, N x D x K: every contender from the same start, for the same number of iterations.

A contender that takes too long or too much memory is stopped. Its time is then counted: that of its largest
finished size of as many features, by the numbers of samples and components.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from adeada_jax.bench.mixtures.fits import Run
from adeada_jax.bench.mixtures.problem import Problem, cluster_all
from adeada_jax.bench.mixtures.synthetic import DomainFeatures, domain_pair
from adeada_jax.errors import InputError

_CLUSTERED = 20_000  # samples whose k-means gives everyone's start
_BLOCK = 100_000
_COMPILING = ("ours", "ours streamed", "gmmx")  # these fit twice in one process: compiling, and again

# Runs a contender's process for at most some seconds: run(contender, label, repeats).
RunOne = Callable[[str, str, int], Run]


@dataclass(frozen=True)
class Cell:
    """Samples, features and components of one mixture."""

    samples: int
    dim: int
    components: int

    @classmethod
    def parse(cls, text: str) -> "Cell":
        """A cell of "100000x64x10".

        Raises:
            InputError: of another form, or fewer samples than components.
        """
        parts = text.lower().split("x")
        if len(parts) != 3 or not all(part.isdecimal() and int(part) for part in parts):
            raise InputError(f"--cells: '{text}' is not of the form NxDxK, e.g. 100000x64x10")
        cell = cls(*map(int, parts))
        if cell.samples < cell.components:
            raise InputError(f"--cells: '{text}' has fewer samples than components")
        return cell

    @property
    def pairs(self) -> int:
        """Of a sample and a component."""
        return self.samples * self.components


def cell_problem(cell: Cell, seed: int, reg_covar: float, max_iter: int) -> Problem:
    """A problem of one mixture, whose target has no samples; no tolerance, so all iterate equally often."""
    _, source = domain_pair(seed, 1, cell.samples, num_classes=1, dim=cell.dim)
    rows = source.features
    starts = _nearest(rows, _centres(rows[:_CLUSTERED], cell.components, seed))
    nothing = DomainFeatures(np.zeros((0, cell.dim), np.float32), np.zeros(0, np.int32))
    return Problem(
        features=(rows, nothing.features),
        classes=(source.classes, nothing.classes),
        starts=(starts, np.zeros(0, np.int16)),
        components=np.array([cell.components]),
        options={"reg_covar": reg_covar, "tol": 0.0, "max_iter": max_iter},
    )


def _centres(rows: np.ndarray, number: int, seed: int) -> np.ndarray:
    """Means (K, D) of the k-means clusters of some samples."""
    labels = cluster_all([rows], [number], seed)[0]
    return np.stack([rows[labels == k].mean(axis=0) for k in range(number)])


def _nearest(rows: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """Index (N,) int16 of every sample's nearest centre."""
    norms = 0.5 * (centres**2).sum(axis=1)
    blocks = [rows[i : i + _BLOCK] for i in range(0, len(rows), _BLOCK)]
    return np.concatenate([(norms - block @ centres.T).argmin(axis=1) for block in blocks]).astype(np.int16)


@dataclass(frozen=True)
class CellRun:
    """A contender's run of a cell; `counted` are the seconds that it would take, where it did not end."""

    cell: Cell
    label: str
    run: Run
    counted: float | None = None


class Counter:
    """The seconds that contenders are counted to take, from what they have finished."""

    def __init__(self) -> None:
        self._done: dict[tuple[str, int], tuple[int, float]] = {}

    def note(self, label: str, cell: Cell, seconds: float) -> None:
        """A finished cell; the one of the most pairs of sample and component counts."""
        if cell.pairs >= self._done.get((label, cell.dim), (0, 0.0))[0]:
            self._done[label, cell.dim] = cell.pairs, seconds

    def seconds(self, label: str, cell: Cell) -> float | None:
        """Of a cell, or None where the contender has finished none of as many features."""
        if (label, cell.dim) not in self._done:
            return None
        pairs, seconds = self._done[label, cell.dim]
        return seconds * cell.pairs / pairs


def compare(
    cell: Cell, contenders: Sequence[str], limit: float, counter: Counter, run: RunOne
) -> list[CellRun]:
    """Every contender's run of a cell. One counted to take longer than `limit` seconds is not begun."""
    found = []
    for name in contenders:
        expected = counter.seconds(name, cell)
        if expected is not None and expected > limit:
            found.append(CellRun(cell, name, {"label": name, "error": "not begun"}, expected))
            continue
        one = run(name, name, 2 if name in _COMPILING else 1)
        if "fits" in one and not one["fits"][0]["failure"]:
            counter.note(name, cell, _times(one)[-1])
        if not one.get("error", "").startswith("over"):
            expected = None
        found.append(CellRun(cell, name, one, expected))
    return found


HEADS = ("N", "D", "K", "contender", "first s", "again s", "ratio", "nats", "peak MB", "")


def cell_rows(runs: Sequence[CellRun], base: str = "scikit-learn float32") -> list[tuple[str, ...]]:
    """The table's rows for one cell: `HEADS`.

    `ratio` is the base's seconds over the contender's, counted where the base did not end; `nats` the mean
    log-likelihood of the samples.
    """
    reference = next((_seconds(r) for r in runs if r.label == base), None)
    return [_row(r, reference) for r in runs]


def _seconds(one: CellRun) -> float | None:
    return _times(one.run)[-1] if "fits" in one.run and not _failure(one) else one.counted


def _times(run: Run) -> list[float]:
    """Seconds of every fit; where a fit is timed alone, without the scoring that follows it."""
    return run["fit_seconds"] if all(run["fit_seconds"]) else run["seconds"]


def _failure(one: CellRun) -> str:
    return one.run["fits"][0]["failure"] if "fits" in one.run else one.run.get("error", "")


def _row(one: CellRun, reference: float | None) -> tuple[str, ...]:
    cell, run, failure = one.cell, one.run, _failure(one)
    sizes = (f"{cell.samples:,}", str(cell.dim), str(cell.components), one.label)
    seconds = _seconds(one)
    ratio = "" if reference is None or not seconds else f"{reference / seconds:.2g}"
    if failure:
        told = failure if one.counted is None else f"{failure}; counted: {one.counted:.0f} s"
        return (*sizes, "", "", ratio if one.counted else "", "", "", told)
    times = _times(run)
    again = f"{times[-1]:.2f}" if len(times) > 1 else ""
    nats = run["fits"][0]["log_likelihood"]
    told_nats = "" if nats is None else f"{nats:.4f}"
    return (*sizes, f"{times[0]:.2f}", again, ratio, told_nats, f"{run['peak_above_base'] / 1e6:.0f}", "")


def as_markdown(rows: Sequence[tuple[str, ...]]) -> str:
    """The rows as a table for a page."""
    rule = ["---:"] * 3 + ["---"] + ["---:"] * 5 + ["---"]
    lines = [HEADS, tuple(rule), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
