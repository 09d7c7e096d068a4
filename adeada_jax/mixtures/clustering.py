"""K-means of one sample set, weighted or not: the mixtures' own k-means for others to use."""

from dataclasses import dataclass

import jax
import numpy as np

from adeada_jax.mixtures.engines import Options, plan_groups
from adeada_jax.mixtures.kmeans import kmeans
from adeada_jax.mixtures.packing import make_shards
from adeada_jax.mixtures.range import centres_of, check_finite, working_types
from adeada_jax.mixtures.small import one_thread


@dataclass(frozen=True)
class Clusters:
    """What k-means found.

    Attributes:
        labels: (N,) int32, the cluster of every sample.
        centres: (K, D) float64, weighted means of the clusters' samples; NaN for an empty cluster.
        distances: (N,) float64, squared distances to the samples' own centres.
    """

    labels: np.ndarray
    centres: np.ndarray
    distances: np.ndarray


def cluster(
    features: np.ndarray,
    number: int,
    *,
    weights: np.ndarray | None = None,
    seed: int | tuple[int, ...] = 0,
    max_iter: int = 300,
    tol: float = 1e-4,
) -> Clusters:
    """Divide samples into clusters: k-means++ seeding, then Lloyd's iterations.

    Args:
        features: (N, D), float32 or float64, finite.
        number: K, from 1 to N.
        weights: (N,), not negative and not all 0; None counts every sample as one.
        seed: of the seeding.
        max_iter: most iterations.
        tol: squared shift of the centres that ends them, over the features' mean variance.

    Raises:
        ValueError: `number` or `weights` out of range; features that are not finite, or too large.
    """
    if not 1 <= number <= len(features):
        raise ValueError(f"number of clusters must be from 1 to {len(features)} samples, not {number}")
    if weights is None:
        weights = np.ones(len(features))
    weights = np.asarray(weights, np.float64)
    if weights.shape != (len(features),) or not (weights >= 0).all() or not weights.sum() > 0:
        raise ValueError("weights must be one for each sample, not negative and not all 0")
    weights = weights / weights.mean()
    options = Options()
    check_finite([features], options.device_list())
    (dtype,) = working_types([features], options.device_list())
    (group,) = plan_groups([len(features)], [number], features.shape[1], dtype, options)
    shards = make_shards(
        [features],
        group.layout,
        centres_of([features], options.device_list()),
        group.dtype,
        devices=options.device_list(),
        capacity=group.capacity,
        resident_bytes=options.resident_limit(),
    )
    with jax.enable_x64(dtype == np.float64), one_thread:
        (labels,) = kmeans(
            shards,
            group.layout,
            [np.random.default_rng(seed)],
            max_iter=max_iter,
            tol=tol,
            weights=[weights.astype(dtype)],
        )
    return _clusters(features, labels, number, weights)


def _clusters(features: np.ndarray, labels: np.ndarray, number: int, weights: np.ndarray) -> Clusters:
    """Centres and distances in float64, a block of rows at a time."""
    sums = np.zeros((number, features.shape[1]))
    mass = np.bincount(labels, weights, minlength=number)
    order = np.argsort(labels, kind="stable")
    bounds = np.searchsorted(labels[order], np.arange(number + 1))
    for k in range(number):
        rows = order[bounds[k] : bounds[k + 1]]
        sums[k] = weights[rows] @ features[rows]
    with np.errstate(invalid="ignore"):
        centres = np.where(mass[:, None] > 0, sums / mass[:, None], np.nan)
    distances = np.empty(len(features))
    for low in range(0, len(features), 4096):
        part = slice(low, low + 4096)
        distances[part] = ((features[part] - centres[labels[part]]) ** 2).sum(axis=1)
    return Clusters(labels, centres, distances)
