"""K-means: k-means++ seeding and Lloyd's iterations."""

import numpy as np


def _squared_distances(features: np.ndarray, centres: np.ndarray) -> np.ndarray:
    distances = -2.0 * (features @ centres.T)
    distances += np.einsum("nd,nd->n", features, features)[:, None]
    distances += np.einsum("kd,kd->k", centres, centres)
    return np.maximum(distances, 0.0)


def kmeans_plusplus(rng: np.random.Generator, features: np.ndarray, num_clusters: int) -> np.ndarray:
    """Indices (K,) of seeds: each drawn in proportion to the squared distance from those before.

    Args:
        rng: generator of the draws.
        features: (N, D).
        num_clusters: K, at most N.
    """
    chosen = [int(rng.integers(len(features)))]
    nearest = _squared_distances(features, features[chosen])[:, 0]
    trials = 2 + int(np.log(num_clusters))
    for _ in range(1, num_clusters):
        cumulative = np.cumsum(nearest, dtype=np.float64)
        drawn = np.searchsorted(cumulative, rng.random(trials) * cumulative[-1], side="right")
        drawn = np.minimum(drawn, len(features) - 1)
        candidates = np.minimum(nearest[:, None], _squared_distances(features, features[drawn]))
        best = int(np.argmin(candidates.sum(axis=0)))
        chosen.append(int(drawn[best]))
        nearest = candidates[:, best]
    return np.array(chosen)


def kmeans(
    rng: np.random.Generator, features: np.ndarray, num_clusters: int, *, max_iter: int = 300, tol: float = 1e-4
) -> np.ndarray:
    """Cluster of every sample, (N,) int, by k-means++ and Lloyd's iterations.

    Args:
        rng: generator of the seeding.
        features: (N, D).
        num_clusters: K, at most N.
        max_iter: most Lloyd iterations.
        tol: stop when the centres' squared shift is below `tol` times the mean variance.
    """
    features = features - features.mean(axis=0)
    centres = features[kmeans_plusplus(rng, features, num_clusters)]
    threshold = tol * features.var(axis=0).mean()
    labels = None
    for _ in range(max_iter):
        previous, labels = labels, np.argmin(_squared_distances(features, centres), axis=1)
        if previous is not None and np.array_equal(previous, labels):
            break
        onehot = np.eye(num_clusters, dtype=features.dtype)[labels]
        counts = onehot.sum(axis=0)
        updated = np.where(counts[:, None] > 0, onehot.T @ features / np.maximum(counts, 1)[:, None], centres)
        shift = np.sum((updated - centres) ** 2)
        centres = updated
        if shift <= threshold:
            labels = np.argmin(_squared_distances(features, centres), axis=1)
            break
    return labels
