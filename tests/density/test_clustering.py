"""Weighted k-means against scikit-learn's, and what weights mean."""

import numpy as np
import pytest
from sklearn.cluster import KMeans

from adeada_jax.mixtures.clustering import cluster


@pytest.fixture(name="features")
def make_features():
    return np.random.default_rng(0).gamma(1.0, size=(900, 6)).astype(np.float32)


def inertia(found, weights):
    return float(weights @ found.distances)


def test_weighted_inertia_is_as_low_as_scikit_learns(features):
    weights = np.random.default_rng(1).random(len(features)) ** 3
    ours = [inertia(cluster(features, 7, weights=weights, seed=s), weights) for s in range(5)]
    theirs = [
        KMeans(7, n_init=1, random_state=s).fit(features, sample_weight=weights).inertia_ for s in range(5)
    ]
    assert np.mean(ours) < 1.03 * np.mean(theirs)


def test_integer_weights_are_repetitions(features):
    weights = np.random.default_rng(2).integers(1, 4, len(features))
    found = cluster(features, 5, weights=weights)
    for k in range(5):
        repeated = np.repeat(features[found.labels == k], weights[found.labels == k], axis=0)
        np.testing.assert_allclose(found.centres[k], repeated.mean(axis=0, dtype=np.float64), rtol=1e-6)
    away = ((features[:, None] - found.centres) ** 2).sum(axis=-1)
    # Lloyd has come to rest: every sample is with its nearest centre, but for ties and the tolerance.
    assert (away.argmin(axis=1) == found.labels).mean() > 0.98


def test_weightless_samples_do_not_move_a_centre(features):
    weights = (np.arange(len(features)) < 450).astype(float)
    found = cluster(features, 4, weights=weights)
    used = features[:450]
    for k in range(4):
        np.testing.assert_allclose(found.centres[k], used[found.labels[:450] == k].mean(axis=0), rtol=1e-5)


def test_each_sample_its_own_cluster():
    features = np.arange(12, dtype=np.float32).reshape(6, 2)
    found = cluster(features, 6)
    assert sorted(found.labels.tolist()) == list(range(6))
    np.testing.assert_allclose(found.distances, 0)


@pytest.mark.parametrize(
    ("number", "weights", "words"),
    [(0, None, "from 1 to 4"), (5, None, "not 5"), (2, [1, 1], "one for each"), (2, [0] * 4, "not all 0"),
     (2, [1, -1, 1, 1], "not negative")],
)  # fmt: skip
def test_bad_arguments_are_named(number, weights, words):
    with pytest.raises(ValueError, match=words):
        cluster(np.eye(4, dtype=np.float32), number, weights=weights)
