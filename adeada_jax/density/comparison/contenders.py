"""How every contender fits the problem; each returns its fits and scores the target under the source."""

import os
import time
import warnings
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from adeada_jax.density.comparison.problem import Problem


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

    def as_json(self) -> dict:
        """JSON-able."""
        return {**asdict(self), "log_likelihood": _finite(self.log_likelihood)}


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


# A contender fits all mixtures and returns them with a function that gives pi (N_T,).
Outcome = tuple[list[Fit], Callable[[], np.ndarray]]


def fit_ours(problem: Problem, directory: Path) -> Outcome:
    """All mixtures in one call."""
    from adeada_jax.density import fit_mixtures, score_mixtures

    jobs = problem.jobs
    mixtures = fit_mixtures(
        [problem.samples(d, c) for d, c in jobs],
        [int(problem.components[c]) for _, c in jobs],
        responsibilities=[problem.responsibilities(d, c) for d, c in jobs],
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


def _scikit_one(problem: Problem, domain: int, of_class: int, dtype) -> tuple[Fit, object]:
    """One scikit-learn fit from the given responsibilities, failures caught."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.mixture import GaussianMixture

    samples = np.asarray(problem.samples(domain, of_class)).astype(dtype)
    start = problem.responsibilities(domain, of_class).astype(dtype)

    class FromStart(GaussianMixture):
        def _initialize_parameters(self, X, random_state, xp=None):
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


def _scikit_importance(problem: Problem, models: dict, dtype) -> np.ndarray:
    pi = np.full(len(problem.classes[1]), np.nan)
    for c in np.flatnonzero(problem.components):
        source, target = models.get((0, c)), models.get((1, c))
        if source is not None and target is not None:
            chosen = problem.samples(1, c)
            samples = np.asarray(chosen).astype(dtype)
            pi[chosen.rows] = target.score_samples(samples) - source.score_samples(samples)
    return pi


def fit_scikit(problem: Problem, directory: Path, dtype=np.float32) -> Outcome:
    """scikit-learn, one mixture after the other."""
    fits, models = [], {}
    for d, c in problem.jobs:
        fit, models[d, c] = _scikit_one(problem, d, c, dtype)
        fits.append(fit)
    return fits, lambda: _scikit_importance(problem, models, dtype)


def fit_scikit_float64(problem: Problem, directory: Path) -> Outcome:
    """scikit-learn in float64: the reference."""
    return fit_scikit(problem, directory, np.float64)


def _in_process(arguments):
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
    return fits, lambda: _scikit_importance(problem, models, np.float32)


def _plain_in_process(arguments):
    fit, model = _in_process(arguments)
    return fit, None if model is None else (model.weights_, model.means_, model.precisions_cholesky_)


def _rebuilt(state):
    from sklearn.mixture import GaussianMixture

    model = GaussianMixture(len(state[0]))
    model.weights_, model.means_, model.precisions_cholesky_ = state
    model.n_features_in_ = state[1].shape[1]
    return model


def fit_gmmx(problem: Problem, directory: Path) -> Outcome:
    """gmmx (JAX), one mixture after the other, from the start's means and covariances."""
    from gmmx import EMFitter, GaussianMixtureModelJax

    fits, models = [], {}
    fitter = EMFitter(
        max_iter=problem.options["max_iter"],
        tol=problem.options["tol"],
        reg_covar=problem.options["reg_covar"],
    )
    for d, c in problem.jobs:
        samples = np.asarray(problem.samples(d, c))
        start = problem.responsibilities(d, c)
        began = time.perf_counter()
        try:
            model = GaussianMixtureModelJax.from_responsibilities(
                samples[:, None, :, None], start[:, :, None, None], problem.options["reg_covar"]
            )
            result = fitter.fit(samples, model)
            score = float(result.gmm.score_samples(samples).mean())
        except Exception as error:  # whatever another library raises is its result here
            fits.append(Fit(d, int(c), failure=f"{type(error).__name__}: {str(error)[:80]}"))
            continue
        seconds = time.perf_counter() - began
        failure = "" if np.isfinite(score) else "log-likelihood is not finite"
        models[d, c] = None if failure else _ScoredBy(result.gmm)
        iterations = int(result.n_iter)
        fits.append(Fit(d, int(c), score, iterations, bool(result.converged), seconds, failure))
    return fits, lambda: _scikit_importance(problem, models, np.float32)


@dataclass
class _ScoredBy:
    """Gives a gmmx model scikit-learn's way of scoring."""

    model: object

    def score_samples(self, samples: np.ndarray) -> np.ndarray:
        return np.asarray(self.model.score_samples(samples)).reshape(len(samples))


CONTENDERS: dict[str, Callable[[Problem, Path], Outcome]] = {
    "ours": fit_ours,
    "scikit-learn float32": fit_scikit,
    "scikit-learn float64": fit_scikit_float64,
    "scikit-learn processes": fit_scikit_processes,
    "gmmx": fit_gmmx,
}
