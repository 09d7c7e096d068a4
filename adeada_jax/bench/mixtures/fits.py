"""A contender's outcome."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, NotRequired, TypedDict

import numpy as np
from numpy.typing import DTypeLike

from adeada_jax.bench.mixtures.problem import Problem
from adeada_jax.types import Json


class FitRecord(TypedDict):
    """A `Fit` as JSON; the log-likelihood is None where it is not finite."""

    domain: int
    of_class: int
    log_likelihood: float | None
    iterations: int
    converged: bool
    seconds: float
    failure: str


class Run(TypedDict):
    """What a contender's process found.

    Attributes:
      label: the contender's, as tables have it.
      error: why there are no fits; the rest is of runs that have them.
      seconds, cpu_seconds: of each time that all was fitted.
      fit_seconds: the fits' own, as often; 0 where fits are not timed one by one.
      matmul_rate: FLOP/s of a product there.
      peak_above_base: bytes.
      fits: of the last time.
      out: file (npy) with pi.
    """

    label: str
    error: NotRequired[str]
    seconds: NotRequired[list[float]]
    cpu_seconds: NotRequired[list[float]]
    fit_seconds: NotRequired[list[float]]
    matmul_rate: NotRequired[float]
    peak_above_base: NotRequired[int]
    fits: NotRequired[list[FitRecord]]
    out: NotRequired[str]


@dataclass
class Fit:
    """One mixture's outcome.

    Attributes:
        domain, of_class: whose mixture. log_likelihood: final mean over its own samples, nats.
        iterations, converged. seconds: of this fit alone, 0 where fits are not timed one by one.
        failure: the error's first line, or "".
    """

    domain: int
    of_class: int
    log_likelihood: float = float("nan")
    iterations: int = 0
    converged: bool = False
    seconds: float = 0.0
    failure: str = ""

    def as_json(self) -> Mapping[str, Json]:
        """JSON-able, see `FitRecord`."""
        return {**asdict(self), "log_likelihood": _finite(self.log_likelihood)}


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


# A contender fits all mixtures and returns them with a function that gives pi (N_T,).
Outcome = tuple[list[Fit], Callable[[], np.ndarray]]


def importance_of(problem: Problem, models: Mapping[tuple[int, int], Any], dtype: DTypeLike) -> np.ndarray:
    """Pi (N_T,) from models by (domain, class) with `score_samples`; NaN where one is None or missing."""
    pi = np.full(len(problem.classes[1]), np.nan)
    for c in np.flatnonzero(problem.components).tolist():
        source, target = models.get((0, c)), models.get((1, c))
        if source is not None and target is not None:
            chosen = problem.samples(1, c)
            samples = np.asarray(chosen).astype(dtype)
            pi[chosen.rows] = target.score_samples(samples) - source.score_samples(samples)
    return pi
