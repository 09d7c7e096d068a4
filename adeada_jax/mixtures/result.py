"""A fitted mixture and the log densities it gives."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import jax
import numpy as np

from adeada_jax.mixtures.engines import Options, make_engine, plan
from adeada_jax.mixtures.packing import Samples, given_parameters
from adeada_jax.mixtures.peers import all_gather
from adeada_jax.mixtures.range import check_finite, working_types
from adeada_jax.mixtures.small import one_thread

# Log densities (N,) of samples and, where they are asked for and there are any, scores (N, K) by component.
_Scores = tuple[np.ndarray, np.ndarray | None]
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
        sample_weight: (N,) of the fit's samples, or None where each counts as one.
        from_given: whether it started from responsibilities that were given.
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
    sample_weight: np.ndarray | None = None
    from_given: bool = False

    @property
    def log_likelihood(self) -> float:
        """Mean log density in nats of the fit's own samples under the final parameters, or NaN."""
        if self.status != FITTED:
            return float("nan")
        assert self.log_densities is not None
        if self.sample_weight is None:
            return float(np.mean(self.log_densities, dtype=np.float64))
        return float(np.average(self.log_densities, weights=self.sample_weight))

    @property
    def num_parameters(self) -> int:
        """Free parameters: of the covariances, the means, and all weights but one."""
        assert self.means is not None  # there is a density
        number, dim = self.means.shape
        shape = {
            "full": number * dim * (dim + 1) // 2,
            "tied": dim * (dim + 1) // 2,
            "diag": number * dim,
            "spherical": number,
        }[self.covariance_type]
        return shape + number * dim + number - 1

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

    def score_samples(self, features: Samples) -> np.ndarray:
        """Log densities (N,) in nats of features (N, D); NaN where there is no density."""
        return score_mixtures([self], [features])[0]

    def component_scores(self, features: Samples) -> np.ndarray | None:
        """Log of weight times density (N, K) of features (N, D) under every component; None without any."""
        return _score([self], [features], every_pair=True)[0][1]


def score_mixtures(
    mixtures: Sequence[Mixture],
    features: Sequence[Samples],
    *,
    devices: Sequence[jax.Device] | None = None,
) -> list[np.ndarray]:
    """Log densities (N_i,) in nats of features[i] (N_i, D) under mixtures[i].

    Args:
        mixtures: of one dimension; their covariance types may differ.
        features: one array a mixture; NaN is returned where the mixture has no density.
        devices: as of `fit_mixtures`.

    Raises:
        ValueError: features of another width than the mixture's, or that are not finite; names which.
    """
    return [norms for norms, _ in _score(mixtures, features, every_pair=False, devices=devices)]


def with_absent(
    mixture: Mixture, features: Samples, weight: np.ndarray, devices: Sequence[jax.Device] | None
) -> Mixture:
    """A mixture fitted to the samples whose weight is not zero, with the others' densities and labels.

    Args:
        mixture: of `features` (N, D) without those whose `weight` (N,) is zero.
        devices: as of `fit_mixtures`.
    """
    mixture = replace(mixture, num_samples=len(weight), sample_weight=weight)
    absent = np.flatnonzero(weight == 0)
    if mixture.status != FITTED or not len(absent):
        return mixture
    ((found, scores),) = _score([mixture], [features[absent]], every_pair=True, devices=devices)
    assert scores is not None
    assert mixture.log_densities is not None
    assert mixture.labels is not None
    densities = np.empty(len(weight), mixture.log_densities.dtype)
    labels = np.empty(len(weight), mixture.labels.dtype)
    densities[absent], labels[absent] = found, scores.argmax(axis=1)
    densities[weight > 0], labels[weight > 0] = mixture.log_densities, mixture.labels
    return replace(mixture, log_densities=densities, labels=labels)


def _score(
    mixtures: Sequence[Mixture],
    features: Sequence[Samples],
    *,
    every_pair: bool,
    devices: Sequence[jax.Device] | None = None,
) -> list[_Scores]:
    result: list[_Scores] = [(np.full(len(f), np.nan), None) for f in features]
    usable = [i for i, m in enumerate(mixtures) if m.status == FITTED and len(features[i])]
    _check_widths(mixtures, features, usable)
    own = list(devices) if devices else jax.local_devices()
    check_finite(features, own)
    working = dict(zip(usable, working_types([features[i] for i in usable], own), strict=True))
    alike: dict[tuple[str, np.dtype], list[int]] = {}
    for i in usable:
        dtype = np.result_type(working[i], given_parameters(mixtures[i])[2].dtype)
        alike.setdefault((mixtures[i].covariance_type, dtype), []).append(i)
    for (kind, dtype), members in alike.items():
        options = Options(kind, devices=tuple(devices) if devices else None)
        _score_alike(members, mixtures, features, dtype, options, every_pair, result)
    return result


def _check_widths(mixtures: Sequence[Mixture], features: Sequence[Samples], usable: Sequence[int]) -> None:
    widths = {mixtures[i].num_features for i in usable}
    if len(widths) > 1:
        raise ValueError(f"the mixtures must share one number of features, got {sorted(widths)}")
    for i in usable:
        wanted, shape = mixtures[i].num_features, np.shape(features[i])
        if len(shape) != 2 or shape[1] != wanted:
            raise ValueError(f"features[{i}] must have shape (N, {wanted}), got {shape}")


def _score_alike(
    members: Sequence[int],
    mixtures: Sequence[Mixture],
    features: Sequence[Samples],
    dtype: np.dtype,
    options: Options,
    every_pair: bool,
    result: list[_Scores],
) -> None:
    """Scores mixtures of one covariance type; puts log densities, and scores by component, into `result`."""
    sizes = [len(features[i]) for i in members]
    components = [len(given_parameters(mixtures[i])[0]) for i in members]
    with jax.enable_x64(True):
        for group in plan(sizes, components, mixtures[members[0]].num_features, dtype, options):
            chosen = [members[i] for i in group.members]
            fitted = [mixtures[i] for i in chosen]
            parameters = [given_parameters(m) for m in fitted]
            centres = np.stack([weights @ means.astype(np.float64) for weights, means, _ in parameters])
            engine = make_engine(
                group, [features[i] for i in chosen], centres, options, every_pair=every_pair
            )
            with one_thread:
                engine.load(dict(enumerate(fitted)), centres)
                engine.step(np.zeros(len(chosen), bool), maximise=False)
            norms = all_gather(engine.everywhere, engine.norms, np.float64)
            norms = group.split(engine.everywhere, norms)
            scores: list[np.ndarray] | list[None] = [None] * len(chosen)
            if every_pair:
                columns = (group.layout.columns,)
                everywhere = all_gather(engine.everywhere, engine.scores(), np.float64, columns)
                scores = group.split(engine.everywhere, everywhere)
            for i, norm, score, (weights, _, _) in zip(chosen, norms, scores, parameters, strict=True):
                kept = None if score is None else score[: len(weights)].T.copy()
                result[i] = (np.asarray(norm, np.float64), kept)
