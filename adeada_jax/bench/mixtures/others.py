"""Other Gaussian mixture libraries, where they are installed; whatever they raise is their result."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from adeada_jax.bench.mixtures.fits import Fit, Outcome, importance_of
from adeada_jax.bench.mixtures.problem import Problem


@dataclass
class _Fitted:
    """A model of another library: its log density, and how its fit went."""

    log_density: Callable[[np.ndarray], np.ndarray]
    iterations: int
    converged: bool

    def score_samples(self, samples: np.ndarray) -> np.ndarray:
        """Log densities (N,), as scikit-learn names them."""
        return np.asarray(self.log_density(samples)).reshape(len(samples))


def _fit_each(problem: Problem, fit: Callable[[np.ndarray, np.ndarray], _Fitted]) -> Outcome:
    """Fit one mixture after the other by fit(samples, responsibilities)."""
    fits, models = [], {}
    for d, c in problem.jobs:
        samples, start = np.asarray(problem.samples(d, c)), problem.responsibilities(d, c)
        began = time.perf_counter()
        try:
            model = fit(samples, start)
            seconds = time.perf_counter() - began
            score = float(model.score_samples(samples).mean())
        except Exception as error:  # whatever kind another library chooses
            words = (str(error).splitlines() or [""])[0][:80]
            fits.append(Fit(d, int(c), failure=f"{type(error).__name__}: {words}"))
            continue
        failure = "" if np.isfinite(score) else "log-likelihood is not finite"
        models[d, c] = None if failure else model
        fits.append(Fit(d, int(c), score, model.iterations, model.converged, seconds, failure))
    return fits, lambda: importance_of(problem, models, np.float32)


def fit_gmmx(problem: Problem, directory: Path) -> Outcome:
    """Gmmx (JAX)."""
    from gmmx import EMFitter, GaussianMixtureModelJax

    fitter = EMFitter(**problem.options)

    def fit(samples: np.ndarray, start: np.ndarray) -> _Fitted:
        model = GaussianMixtureModelJax.from_responsibilities(
            samples[:, None, :, None], start[:, :, None, None], problem.options["reg_covar"]
        )
        result = fitter.fit(samples, model)
        return _Fitted(result.gmm.score_samples, int(result.n_iter), bool(result.converged))

    return _fit_each(problem, fit)


def fit_pomegranate(problem: Problem, directory: Path) -> Outcome:
    """Pomegranate (PyTorch), from the start's means and covariances; it does not count its iterations."""
    import torch
    from pomegranate.distributions import Normal
    from pomegranate.gmm import GeneralMixtureModel

    options = problem.options

    def fit(samples: np.ndarray, start: np.ndarray) -> _Fitted:
        counts = start.sum(axis=0)
        parts = []
        for k, count in enumerate(counts):
            members = samples[start[:, k] > 0].astype(np.float64)
            centred = members - members.mean(axis=0)
            covariance = centred.T @ centred / count + options["reg_covar"] * np.eye(samples.shape[1])
            mean = torch.tensor(members.mean(axis=0), dtype=torch.float32)
            parts.append(
                Normal(mean, torch.tensor(covariance, dtype=torch.float32), min_cov=options["reg_covar"])
            )
        priors = torch.tensor(counts / counts.sum(), dtype=torch.float32)
        # Its tolerance is on the sum over samples, not on the mean.
        tol = options["tol"] * len(samples)
        model = GeneralMixtureModel(parts, priors=priors, max_iter=options["max_iter"], tol=tol)
        model.fit(torch.from_numpy(samples))

        def log_density(fresh: np.ndarray) -> np.ndarray:
            with torch.no_grad():
                return model.log_probability(torch.from_numpy(fresh)).numpy()

        return _Fitted(log_density, 0, False)

    return _fit_each(problem, fit)


def fit_scikit_torch(problem: Problem, directory: Path) -> Outcome:
    """scikit-learn on PyTorch tensors, on a GPU where there is one; the process needs SCIPY_ARRAY_API=1."""
    import sklearn
    import torch
    from sklearn.mixture import GaussianMixture

    device = "cuda" if torch.cuda.is_available() else "cpu"

    class FromStart(GaussianMixture):
        def _initialize_parameters(
            self, X: object, random_state: np.random.RandomState, xp: object = None
        ) -> None:
            self._initialize(X, self.start, xp=xp)

    def fit(samples: np.ndarray, start: np.ndarray) -> _Fitted:
        model = FromStart(start.shape[1], init_params="random", **problem.options)
        model.start = torch.from_numpy(start).to(device)
        with sklearn.config_context(array_api_dispatch=True):
            model.fit(torch.from_numpy(samples).to(device))

        def log_density(fresh: np.ndarray) -> np.ndarray:
            with sklearn.config_context(array_api_dispatch=True):
                return model.score_samples(torch.from_numpy(fresh).to(device)).cpu().numpy()

        return _Fitted(log_density, model.n_iter_, bool(model.converged_))

    return _fit_each(problem, fit)


def fit_torchgmm(problem: Problem, directory: Path) -> Outcome:
    """Torchgmm (PyTorch), from the start's means, to which it assigns the samples anew."""
    import torch
    from torchgmm.bayes import GaussianMixture

    options = problem.options
    trainer = {
        "max_epochs": options["max_iter"],
        "accelerator": "gpu" if torch.cuda.is_available() else "cpu",
        "devices": 1,
        "logger": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "enable_checkpointing": False,
    }

    def fit(samples: np.ndarray, start: np.ndarray) -> _Fitted:
        model = GaussianMixture(
            start.shape[1],
            covariance_type="full",
            init_means=torch.from_numpy(start.T @ samples / start.sum(axis=0)[:, None]),
            convergence_tolerance=options["tol"],
            covariance_regularization=options["reg_covar"],
            trainer_params=trainer,
        )
        model.fit(torch.from_numpy(samples))

        def log_density(fresh: np.ndarray) -> np.ndarray:
            return -model.score_samples(torch.from_numpy(fresh)).numpy()

        return _Fitted(log_density, model.num_iter_, bool(model.converged_))

    return _fit_each(problem, fit)
