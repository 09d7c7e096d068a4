"""Expectation-maximisation for Gaussian mixtures."""

from collections.abc import Sequence
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.scipy.linalg import solve_triangular
from jax.scipy.special import logsumexp

from adeada_jax.density.kmeans import kmeans


@dataclass(frozen=True)
class Mixture:
    """One fitted Gaussian mixture, or why there is none.

    Attributes:
        status: "fitted", or the reason for having no density.
        weights: (K,), means: (K, D), covariances and precisions_cholesky: (K, D, D).
        converged: the lower bound's change fell below `tol`.
        n_iter: iterations done.
        lower_bounds: (n_iter,) mean log-likelihood before each iteration's M step.
        num_samples: N of the fit.
    """

    status: str
    weights: np.ndarray | None
    means: np.ndarray | None
    covariances: np.ndarray | None
    precisions_cholesky: np.ndarray | None
    converged: bool
    n_iter: int
    lower_bounds: np.ndarray
    num_samples: int

    def score_samples(self, features: np.ndarray) -> np.ndarray:
        """Log density (N,) in nats of features (N, D); NaN where there is no density."""
        if self.status != "fitted":
            return np.full(len(features), np.nan)
        with jax.enable_x64(True):
            padded, _ = _padded(features)
            scores = _log_probabilities(padded, self.weights, self.means, self.precisions_cholesky)
            return np.asarray(logsumexp(scores, axis=1))[: len(features)]


def _padded(features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    size = 256
    while size < len(features):
        size *= 2
    padded = np.zeros((size, features.shape[1]), np.float64)
    padded[: len(features)] = features
    return padded, np.arange(size) < len(features)


@jax.jit
def _log_probabilities(features, weights, means, whitening):
    def one(arguments):
        weight, mean, factor = arguments
        white = (features - mean) @ factor
        log_det = jnp.sum(jnp.log(jnp.diagonal(factor)))
        constant = jnp.log(weight) + log_det - 0.5 * features.shape[1] * jnp.log(2 * jnp.pi)
        return constant - 0.5 * jnp.sum(white * white, axis=1)

    return lax.map(one, (jnp.asarray(weights), jnp.asarray(means), jnp.asarray(whitening))).T


@jax.jit
def _maximise(features, responsibilities, reg_covar):
    counts = responsibilities.sum(axis=0) + 10 * jnp.finfo(responsibilities.dtype).eps
    means = (responsibilities.T @ features) / counts[:, None]

    def one(arguments):
        resp, mean, count = arguments
        centred = features - mean
        covariance = (centred * resp[:, None]).T @ centred / count
        covariance = covariance + reg_covar * jnp.eye(features.shape[1])
        lower = jnp.linalg.cholesky(covariance)
        inverse = solve_triangular(lower, jnp.eye(features.shape[1]), lower=True)
        return covariance, inverse.T

    covariances, whitening = lax.map(one, (responsibilities.T, means, counts))
    return counts / counts.sum(), means, covariances, whitening


@jax.jit
def _expect(features, mask, weights, means, whitening):
    scores = _log_probabilities(features, weights, means, whitening)
    norm = logsumexp(scores, axis=1)
    resp = jnp.exp(scores - norm[:, None]) * mask[:, None]
    return jnp.sum(jnp.where(mask, norm, 0.0)) / mask.sum(), resp


def _fit_one(features, responsibilities, tol, reg_covar, max_iter) -> Mixture:
    count = len(features)
    with jax.enable_x64(True):
        padded, mask = _padded(features)
        resp = np.zeros((len(padded), responsibilities.shape[1]))
        resp[:count] = responsibilities
        parameters = _maximise(padded, resp, reg_covar)
        bounds: list[float] = []
        converged = False
        while len(bounds) < max_iter and not converged:
            weights, means, _, whitening = parameters
            bound, resp = _expect(padded, mask, weights, means, whitening)
            parameters = _maximise(padded, resp, reg_covar)
            converged = bool(bounds) and abs(float(bound) - bounds[-1]) < tol
            bounds.append(float(bound))
        parameters = [np.asarray(value) for value in parameters]
    return Mixture("fitted", *parameters, converged, len(bounds), np.array(bounds), count)


def fit_mixtures(
    features: Sequence[np.ndarray],
    n_components: int | Sequence[int],
    *,
    tol: float = 1e-3,
    reg_covar: float = 1e-6,
    max_iter: int = 200,
    seed: int = 0,
) -> list[Mixture]:
    """Fit a Gaussian mixture to each of many sets of features.

    Args:
        features: for each mixture, (N_i, D).
        n_components: K, one for all or one for each.
        tol: stop when the mean log-likelihood changes by less (nats).
        reg_covar: added to the covariances' diagonals.
        max_iter: most iterations.
        seed: of the k-means starts.
    """
    components = [n_components] * len(features) if np.ndim(n_components) == 0 else list(n_components)
    mixtures = []
    for index, (samples, number) in enumerate(zip(features, components, strict=True)):
        samples = np.asarray(samples)
        if len(samples) < 2:
            mixtures.append(Mixture("too few samples", None, None, None, None, False, 0, np.zeros(0), len(samples)))
            continue
        rng = np.random.default_rng((seed, index))
        labels = kmeans(rng, samples.astype(np.float64), min(number, len(samples)))
        resp = np.eye(min(number, len(samples)))[labels]
        mixtures.append(_fit_one(samples, resp, tol, reg_covar, max_iter))
    return mixtures
