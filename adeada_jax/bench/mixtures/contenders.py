"""How every contender fits the problem; each returns its fits and scores the target under the source."""

import os
import time
import warnings
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import DTypeLike

from adeada_jax.bench.mixtures import others
from adeada_jax.bench.mixtures.fits import Fit, Outcome, importance_of
from adeada_jax.bench.mixtures.problem import Problem

if TYPE_CHECKING:
    from sklearn.mixture import GaussianMixture

_State = tuple[np.ndarray, np.ndarray, np.ndarray]  # a mixture's weights, means and factors


_STREAMED = 256 * 2**20  # bytes of samples that the streamed fit keeps


def fit_ours(problem: Problem, directory: Path, resident_bytes: int | None = None) -> Outcome:
    """All mixtures in one call."""
    from adeada_jax.mixtures import fit_mixtures, score_mixtures

    jobs = problem.jobs
    mixtures = fit_mixtures(
        [problem.samples(d, c) for d, c in jobs],
        [int(problem.components[c]) for _, c in jobs],
        responsibilities=[problem.responsibilities(d, c) for d, c in jobs],
        resident_bytes=resident_bytes,
        **problem.options,
    )
    fits = [
        Fit(d, int(c), m.log_likelihood, m.n_iter, m.converged, 0.0, "" if m.status == "fitted" else m.status)
        for (d, c), m in zip(jobs, mixtures, strict=True)
    ]

    def importance() -> np.ndarray:
        half = len(jobs) // 2
        samples = [problem.samples(1, c) for _, c in jobs[half:]]
        pi = np.full(len(problem.classes[1]), np.nan)
        under = score_mixtures(mixtures[:half], samples)
        for source, target, chosen in zip(under, mixtures[half:], samples, strict=True):
            if target.log_densities is not None:
                pi[chosen.rows] = target.log_densities - source
        return pi

    return fits, importance


def fit_ours_streamed(problem: Problem, directory: Path) -> Outcome:
    """As `fit_ours`, with a quarter of a gibibyte of samples held at a time."""
    return fit_ours(problem, directory, _STREAMED)


def _scikit_one(
    problem: Problem, domain: int, of_class: int, dtype: DTypeLike
) -> "tuple[Fit, GaussianMixture | None]":
    """One scikit-learn fit from the given responsibilities, failures caught."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.mixture import GaussianMixture

    samples = np.asarray(problem.samples(domain, of_class)).astype(dtype)
    start = problem.responsibilities(domain, of_class).astype(dtype)

    class FromStart(GaussianMixture):
        def _initialize_parameters(
            self, X: np.ndarray, random_state: np.random.RandomState, xp: object = None
        ) -> None:
            self._initialize(X, start)

    model = FromStart(start.shape[1], **problem.options)
    began = time.perf_counter()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            model.fit(samples)
    except (ValueError, np.linalg.LinAlgError) as error:
        seconds = time.perf_counter() - began
        return Fit(domain, int(of_class), seconds=seconds, failure=str(error).splitlines()[0]), None
    seconds = time.perf_counter() - began
    score = float(model.score(samples))
    return Fit(domain, int(of_class), score, model.n_iter_, bool(model.converged_), seconds), model


def fit_scikit(problem: Problem, directory: Path, dtype: DTypeLike = np.float32) -> Outcome:
    """scikit-learn, one mixture after the other."""
    fits, models = [], {}
    for d, c in problem.jobs:
        fit, models[d, c] = _scikit_one(problem, d, c, dtype)
        fits.append(fit)
    return fits, lambda: importance_of(problem, models, dtype)


def fit_scikit_float64(problem: Problem, directory: Path) -> Outcome:
    """scikit-learn in float64: the reference."""
    return fit_scikit(problem, directory, np.float64)


def _in_process(arguments: tuple[str, int, int]) -> "tuple[Fit, GaussianMixture | None]":
    directory, domain, of_class = arguments
    return _scikit_one(Problem.load(Path(directory)), domain, of_class, np.float32)


def fit_scikit_processes(problem: Problem, directory: Path) -> Outcome:
    """scikit-learn with a pool of processes, one mixture a task (spawned, where the authors forked)."""
    jobs = [(str(directory), d, c) for d, c in problem.jobs]
    workers = os.cpu_count() or 1
    os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        outcomes = list(pool.map(_plain_in_process, jobs))
    fits = [fit for fit, _ in outcomes]
    models = {(f.domain, f.of_class): _rebuilt(state) for f, state in outcomes if state is not None}
    return fits, lambda: importance_of(problem, models, np.float32)


def _plain_in_process(arguments: tuple[str, int, int]) -> tuple[Fit, _State | None]:
    fit, model = _in_process(arguments)
    return fit, None if model is None else (model.weights_, model.means_, model.precisions_cholesky_)


def _rebuilt(state: _State) -> "GaussianMixture":
    from sklearn.mixture import GaussianMixture

    model = GaussianMixture(len(state[0]))
    model.weights_, model.means_, model.precisions_cholesky_ = state
    model.n_features_in_ = state[1].shape[1]
    return model


CONTENDERS: dict[str, Callable[[Problem, Path], Outcome]] = {
    "ours": fit_ours,
    "ours streamed": fit_ours_streamed,
    "scikit-learn float32": fit_scikit,
    "scikit-learn float64": fit_scikit_float64,
    "scikit-learn processes": fit_scikit_processes,
    "gmmx": others.fit_gmmx,
    "pomegranate": others.fit_pomegranate,
    "scikit-learn torch": others.fit_scikit_torch,
    "torchgmm": others.fit_torchgmm,
}
