"""K-means against scikit-learn's and on degenerate samples."""

import jax
import numpy as np
import pytest
from sklearn.cluster import KMeans

from adeada_jax.mixtures import fit_mixtures
from adeada_jax.mixtures.engines import Options, plan_groups
from adeada_jax.mixtures.kmeans import _assign, _candidate_distances, kmeans, kmeans_plusplus
from adeada_jax.mixtures.packing import make_shards, mean


def prepared(features, components):
    (group,) = plan_groups(
        [len(f) for f in features], components, features[0].shape[1], np.float32, Options()
    )
    ordered = [features[i] for i in group.members]
    shards = make_shards(
        ordered,
        group.layout,
        np.stack([mean(f) for f in ordered]),
        np.float32,
        devices=jax.local_devices()[:1],
        capacity=group.capacity,
        resident_bytes=1 << 30,
    )
    return group, shards


def clusters(features, components, seed=0, run=kmeans):
    group, shards = prepared(features, components)
    generators = [np.random.default_rng([seed, i]) for i in group.members]
    found = run(shards, group.layout, generators)
    return [found[group.members.index(i)] for i in range(len(features))]


def blobs(seed, number, size, dim=5, spread=0.1):
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(number, dim)) * 4
    labels = np.arange(size) % number
    return (centres[labels] + spread * rng.normal(size=(size, dim))).astype(np.float32), labels


def inertia(features, labels):
    return sum(
        np.sum((features[labels == k] - features[labels == k].mean(0)) ** 2) for k in set(labels.tolist())
    )


def test_separated_blobs_are_found_in_all_mixtures_at_once():
    sets = [blobs(1, 4, 700), blobs(2, 3, 200), blobs(3, 1, 40)]
    for (_, truth), labels in zip(sets, clusters([f for f, _ in sets], [4, 3, 1]), strict=True):
        pairs = set(zip(truth.tolist(), labels.tolist(), strict=True))
        assert len(pairs) == len(set(truth.tolist()))


def test_inertia_is_as_low_as_scikit_learns():
    features = np.random.default_rng(0).gamma(1.0, size=(1500, 8)).astype(np.float32)
    ours = np.mean([inertia(features, clusters([features], [8], seed)[0]) for seed in range(4)])
    theirs = np.mean([KMeans(8, n_init=1, random_state=s).fit(features).inertia_ for s in range(4)])
    assert ours < 1.03 * theirs


def test_result_does_not_depend_on_company():
    first, second = blobs(4, 4, 500, spread=2.0)[0], blobs(5, 2, 130, spread=2.0)[0]
    together = clusters([first, second], [4, 2])
    np.testing.assert_array_equal(together[0], clusters([first], [4])[0])
    np.testing.assert_array_equal(together[0], clusters([first, second], [4, 2])[0])


@pytest.mark.parametrize("run", [kmeans, kmeans_plusplus])
def test_fewer_distinct_samples_than_clusters(run):
    features = np.repeat(np.eye(3, dtype=np.float32), 20, axis=0)
    (found,) = clusters([features], [5], run=run)
    assert len(found) == (60 if run is kmeans else 5)
    if run is kmeans:
        assert len({(tuple(f), k) for f, k in zip(features.tolist(), found.tolist(), strict=True)}) >= 3


def test_seeds_are_distinct_samples():
    features, truth = blobs(6, 5, 300)
    (seeds,) = clusters([features], [5], run=kmeans_plusplus)
    assert sorted(truth[seeds].tolist()) == [0, 1, 2, 3, 4]


def test_groups_of_a_call_share_their_programs(engine):
    rng = np.random.default_rng(0)
    samples = [rng.normal(size=(60 + i, 5)) for i in range(12)]
    components = [4, 4, 4, 4, 4, 4, 4, 3, 3, 3, 2, 2]
    groups = plan_groups([len(s) for s in samples], components, 5, np.dtype(np.float64), Options())
    assert [len(group.members) for group in groups] == [9, 3]
    before = [program._cache_size() for program in (_assign, _candidate_distances)]
    fit_mixtures(samples, components, covariance_type="spherical", max_iter=2)
    after = [program._cache_size() for program in (_assign, _candidate_distances)]
    most = 1 if engine == "programs" else 0
    assert max(new - old for old, new in zip(before, after, strict=True)) <= most
