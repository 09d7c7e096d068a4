"""EM of one mixture by samples, and of a whole preset: ours, the plain one, scikit-learn's and torchgmm's."""

import os
import warnings
from collections.abc import Callable
from functools import partial
from types import ModuleType
from typing import Any

os.environ["SCIPY_ARRAY_API"] = "1"  # asked for by scikit-learn on tensors, before SciPy is imported

import jax
import jax.numpy as jnp
import numpy as np

from adeada_jax.bench.gpu.ledger import Ledger, median_seconds, timed
from adeada_jax.bench.mixtures.plain_em import our_engine, plain_iteration
from adeada_jax.bench.mixtures.problem import DOMAINS, Problem, cluster_all
from adeada_jax.bench.mixtures.synthetic import domain_pair
from adeada_jax.types import Json, PyTree

SIZES = (10_000, 100_000, 998_640)
_STEPS = 5
# Seconds that a contender may take for every 100,000 samples: where fewer are left, it is not begun.
_NEEDS = {"scikit-learn, NumPy": 40.0, "torchgmm": 20.0}


def measure(ledger: Ledger) -> None:
    """The preset by others, then an iteration by size, from the clusters of the most samples."""
    if (ledger.scratch / "problem.json").exists():
        problem = Problem.load(ledger.scratch)
        for name, contender in {"scikit-learn on torch": scikit_torch, "torchgmm": torchgmm}.items():
            ledger.row(
                "the preset's mixtures one after another, an iteration",
                name,
                partial(one_by_one, ledger, problem, contender),
            )
    one_mixture(ledger)


def one_by_one(ledger: Ledger, problem: Problem, contender: "Contender") -> dict[str, Json]:
    """The sum of a contender's iterations over a problem's mixtures, the largest first, while time is left.

    A quarter of what is left, as one mixture by size comes behind it.
    """
    end = ledger.left() * 0.75
    jobs = sorted(problem.jobs, key=lambda job: -problem.flops(*job))
    seconds, flops, done = 0.0, 0.0, 0
    for job in jobs:
        found = contender(np.asarray(problem.samples(*job)), problem.responsibilities(*job))
        seconds, flops, done = seconds + found["seconds"], flops + problem.flops(*job), done + 1
        if ledger.left() <= end:
            break
    whole = sum(problem.flops(*job) for job in jobs)
    return {
        "seconds": seconds,
        "mixtures": done,
        "of_mixtures": len(jobs),
        "flops": flops,
        "of_preset_flops": flops / whole,
        "device": found["device"],
    }


def one_mixture(ledger: Ledger) -> None:
    """An iteration by size, the sizes' samples being of one array."""
    sizes, dim, number = ((500, 1000), 32, 3) if ledger.small else (SIZES, 256, 10)
    rows = _features(ledger, max(sizes), dim)
    labels = cluster_all([rows], [number], 0)[0]
    for size in sizes:
        features, start = rows[:size], np.eye(number, dtype=np.float32)[labels[:size]]
        for name, contender in CONTENDERS.items():
            ledger.row(
                "one mixture, an iteration",
                f"{name}, N = {len(features)}",
                partial(contender, features, start),
                needs=2 + _NEEDS.get(name, 3.0) * size / 100_000,
            )


def _features(ledger: Ledger, size: int, dim: int) -> np.ndarray:
    """Up to `size` features (N, D): the source's of the part before, by class, or one class's anew."""
    file = ledger.scratch / f"features_{DOMAINS[0]}.npy"
    if not file.exists() or ledger.small:
        return domain_pair(0, 100, size, num_classes=1, dim=dim)[1].features
    classes = np.load(ledger.scratch / f"classes_{DOMAINS[0]}.npy")
    return np.load(file)[np.argsort(classes, kind="stable")[:size]]


def ours(features: np.ndarray, start: np.ndarray) -> dict[str, Json]:
    """Our engine's iterations after the first, each with its task lists."""
    following = np.ones(1, bool)
    with jax.enable_x64(True):
        compiling, engine = timed(lambda: our_engine(features, start))
        bounds = [float(engine.step(following)[0])]
        times, flops = [], []
        for _ in range(_STEPS):
            before = engine.work.flops

            def step() -> PyTree:
                bounds.append(float(engine.step(following)[0]))
                return engine.parts

            times.append(timed(step)[0])
            flops.append(engine.work.flops - before)
    return {
        "seconds": float(np.median(times)),
        "log_likelihood": bounds[-1],
        "flops": float(np.median(flops)),
        "of_full_flops": float(np.median(flops)) / _full(features, start),
        "start_compiling_seconds": compiling,
        "smallest_cluster": int(start.sum(0).min()),
        "failed": int(np.asarray(engine.parts.failed).sum()),
        "log_likelihoods": bounds,
    }


def _full(features: np.ndarray, start: np.ndarray) -> float:
    return 4.0 * len(features) * start.shape[1] * features.shape[1] ** 2


def plain(features: np.ndarray, start: np.ndarray, precision: str = "highest") -> dict[str, Json]:
    """The plain EM's iterations in JAX."""
    rows, held = jnp.asarray(features), [jnp.asarray(start)]
    bounds = []

    def step() -> jax.Array:
        bound, held[0] = plain_iteration(rows, held[0], precision=precision)
        bounds.append(bound)
        return held[0]

    compiling, _ = timed(step)
    seconds = median_seconds(step, repeat=_STEPS)
    return {
        "seconds": seconds,
        "log_likelihood": float(bounds[-1]),
        "flops": _full(features, start),
        "compiling_seconds": compiling,
    }


def scikit_numpy(features: np.ndarray, start: np.ndarray) -> dict[str, Json]:
    """scikit-learn on the host's cores."""
    return _scikit(features, start, lambda: None) | {"device": f"{os.cpu_count()} cores"}


def scikit_torch(features: np.ndarray, start: np.ndarray) -> dict[str, Json]:
    """scikit-learn on PyTorch's tensors."""
    import sklearn
    import torch

    device = "cuda" if torch.cuda.is_available() else "cpu"
    wait = torch.cuda.synchronize if device == "cuda" else lambda: None
    rows, given = (torch.from_numpy(array).to(device) for array in (features, start))
    with sklearn.config_context(array_api_dispatch=True):
        found = _scikit(rows, given, wait) | {"device": device}
    _release(torch)
    return found


def _scikit(rows: Any, given: Any, wait: Callable[[], object]) -> dict[str, Json]:
    """The difference of fits of some iterations and of one, from given responsibilities."""
    from sklearn.mixture import GaussianMixture

    class FromStart(GaussianMixture):
        def _initialize_parameters(
            self, X: object, random_state: np.random.RandomState, xp: object = None
        ) -> None:
            self._initialize(X, given, xp=xp)

    def fit(iterations: int) -> Any:
        model = FromStart(given.shape[1], init_params="random", max_iter=iterations, tol=0.0)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model.fit(rows)
        wait()
        return model

    fit(1)
    short, _ = timed(lambda: [fit(1), None][1])
    model: list[Any] = []
    long, _ = timed(lambda: model.append(fit(1 + _STEPS)))
    return {
        "seconds": (long - short) / _STEPS,
        "log_likelihood": float(model[0].lower_bound_),
        "flops": _full(rows, given),
    }


def torchgmm(features: np.ndarray, start: np.ndarray) -> dict[str, Any]:
    """torchgmm's, from its own k-means, whose time falls out of the difference."""
    import torch
    from torchgmm.bayes import GaussianMixture

    device = "gpu" if torch.cuda.is_available() else "cpu"
    rows = torch.from_numpy(features)

    def fit(iterations: int) -> Any:
        trainer = {
            "max_epochs": iterations,
            "accelerator": device,
            "devices": 1,
            "logger": False,
            "enable_progress_bar": False,
            "enable_model_summary": False,
            "enable_checkpointing": False,
        }
        model = GaussianMixture(
            start.shape[1],
            covariance_type="full",
            convergence_tolerance=0.0,
            covariance_regularization=1e-6,
            trainer_params=trainer,
        )
        torch.manual_seed(0)
        model.fit(rows)
        return model

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fit(1)
        short, _ = timed(lambda: [fit(1), None][1])
        long, _ = timed(lambda: [fit(1 + _STEPS), None][1])
    found = {
        "seconds": (long - short) / _STEPS,
        "fit_of_one_seconds": short,
        "device": device,
        "flops": _full(features, start),
    }
    _release(torch)
    return found


def _release(torch: ModuleType) -> None:
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


Contender = Callable[[np.ndarray, np.ndarray], dict[str, Any]]
CONTENDERS: dict[str, Contender] = {
    "ours": ours,
    "plain JAX, float32 highest": plain,
    "plain JAX, tf32": lambda features, start: plain(features, start, "default"),
    "scikit-learn, NumPy": scikit_numpy,
    "scikit-learn on torch": scikit_torch,
    "torchgmm": torchgmm,
}
