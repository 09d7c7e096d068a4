"""A fitted mixture and the log densities it gives."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import jax
import numpy as np

from adeada_jax.density.engines import Options, make_engine, plan_groups
from adeada_jax.density.peers import completed

FITTED = "fitted"
TOO_FEW = "too few samples"
ILL_DEFINED = "ill-defined covariance"


@dataclass(frozen=True)
class Mixture:
    """One fitted Gaussian mixture, or why there is none.

    Attributes:
        status: "fitted", or the reason for having no density: "too few samples" (fewer than two),
            "ill-defined covariance" (a covariance stayed singular however much it was regularised).
        covariance_type: "full", "tied", "diag" or "spherical".
        num_samples: N of the fit.
        num_features: D.
        weights: (K,), summing to one.
        means: (K, D).
        precisions_cholesky: (K, D, D), (D, D), (K, D) or (K,) by covariance type, as scikit-learn
            holds it: upper triangular U with U U^T the precision.
        converged: whether the lower bound's change fell below `tol`.
        n_iter: iterations done.
        lower_bounds: (n_iter,) mean log-likelihood in nats before each iteration's M step.
        log_densities: (N,) log densities in nats of the samples themselves under the final parameters.
        labels: (N,) int32 component of the highest responsibility.
        padded_share: share of the fit's products that was spent on padding (of its whole group).
    """

    status: str
    covariance_type: str
    num_samples: int
    num_features: int
    weights: np.ndarray | None = None
    means: np.ndarray | None = None
    precisions_cholesky: np.ndarray | None = None
    converged: bool = False
    n_iter: int = 0
    lower_bounds: np.ndarray = field(default_factory=lambda: np.zeros(0))
    log_densities: np.ndarray | None = None
    labels: np.ndarray | None = None
    padded_share: float = 0.0

    @property
    def log_likelihood(self) -> float:
        """Mean log density in nats of the fit's own samples under the final parameters, or NaN."""
        return float(np.mean(self.log_densities, dtype=np.float64)) if self.status == FITTED else float("nan")

    @property
    def covariances(self) -> np.ndarray | None:
        """Covariances, computed from their factors: (K, D, D), (D, D), (K, D) or (K,) by covariance type."""
        if self.precisions_cholesky is None:
            return None
        factors = np.asarray(self.precisions_cholesky, np.float64)
        if self.covariance_type in ("diag", "spherical"):
            return (1.0 / factors**2).astype(self.precisions_cholesky.dtype)
        roots = np.linalg.inv(factors)
        return np.matmul(np.swapaxes(roots, -1, -2), roots).astype(self.precisions_cholesky.dtype)

    def score_samples(self, features: np.ndarray) -> np.ndarray:
        """Log densities (N,) in nats of features (N, D); NaN where there is no density."""
        return score_mixtures([self], [features])[0]

    def component_scores(self, features: np.ndarray) -> np.ndarray:
        """Log of weight times density (N, K) of features (N, D) under every component."""
        return _score([self], [features], every_pair=True)[0][1]


def score_mixtures(
    mixtures: Sequence[Mixture],
    features: Sequence[np.ndarray],
    *,
    devices: Sequence[jax.Device] | None = None,
) -> list[np.ndarray]:
    """Log densities (N_i,) in nats of features[i] (N_i, D) under mixtures[i].

    Args:
        mixtures: of one dimension and covariance type.
        features: one array a mixture; NaN is returned where the mixture has no density.
        devices: as of `fit_mixtures`.
    """
    return [norms for norms, _ in _score(mixtures, features, every_pair=False, devices=devices)]


def _score(
    mixtures, features, *, every_pair: bool, devices=None
) -> list[tuple[np.ndarray, np.ndarray | None]]:
    result = [(np.full(len(f), np.nan), None) for f in features]
    usable = [i for i, m in enumerate(mixtures) if m.status == FITTED and len(features[i])]
    if not usable:
        return result
    options = Options(mixtures[usable[0]].covariance_type, devices=tuple(devices) if devices else None)
    sizes = [len(features[i]) for i in usable]
    components = [len(mixtures[i].weights) for i in usable]
    dtype = np.result_type(*(mixtures[i].precisions_cholesky.dtype for i in usable))
    with jax.enable_x64(True):
        for group in plan_groups(sizes, components, mixtures[usable[0]].num_features, dtype, options):
            members = [usable[i] for i in group.members]
            fitted = [mixtures[i] for i in members]
            centres = np.stack([m.weights @ m.means.astype(np.float64) for m in fitted])
            engine = make_engine(
                group, [features[i] for i in members], centres, options, every_pair=every_pair
            )
            engine.load(dict(enumerate(fitted)), centres)
            engine.step(np.zeros(len(members), bool), maximise=False)
            norms = completed(engine.everywhere, engine.norms, np.float64)
            norms = group.split(engine.everywhere, norms)
            scores = group.split(engine.everywhere, engine.scores()) if every_pair else [None] * len(members)
            for i, norm, score in zip(members, norms, scores, strict=True):
                kept = None if score is None else score[: len(mixtures[i].weights)].T.copy()
                result[i] = (np.asarray(norm, np.float64), kept)
    return result
