"""EM against scikit-learn in float64 from the same start, its guarantees, and samples that are hard."""

import warnings

import jax
import numpy as np
import pytest
import scipy.stats
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture as Reference

from adeada_jax.mixtures import fit_mixtures, score_mixtures
from adeada_jax.mixtures.engines import Options, make_engine, plan_groups

KINDS = ("full", "tied", "diag", "spherical")


def skewed(seed: int, size: int, dim: int, modes: int = 3) -> np.ndarray:
    """Non-negative, skewed, clustered, of low rank: small cousins of real features."""
    rng = np.random.default_rng(seed)
    kind = rng.integers(modes, size=size)
    latent = rng.normal(size=(size, 4)) @ rng.normal(size=(4, dim)) * 0.3
    raw = rng.gamma(0.7, 1.0, (modes, dim))[kind] + latent + 0.2 * rng.normal(size=(size, dim))
    return np.logaddexp(0, 10 * raw).astype(np.float32) / 10


def random_start(seed: int, size: int, number: int) -> np.ndarray:
    drawn = np.random.default_rng(seed).random((size, number)) ** 4 + 1e-3
    return drawn / drawn.sum(axis=1, keepdims=True)


def reference(features, start, kind="full", **options):
    """scikit-learn's float64 fit from given responsibilities."""

    class FromStart(Reference):
        def _initialize_parameters(self, X, random_state, xp=None):
            self._initialize(X, start.astype(np.float64))

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return FromStart(start.shape[1], covariance_type=kind, **options).fit(features.astype(np.float64))


@pytest.mark.parametrize("dim", [3, 70])
@pytest.mark.parametrize("kind", KINDS)
def test_float32_follows_scikit_learns_float64(kind, dim):
    features, start = skewed(dim, 600, dim), random_start(1, 600, 3)
    theirs = reference(features, start, kind, max_iter=200)
    (ours,) = fit_mixtures([features], 3, covariance_type=kind, responsibilities=[start])
    assert ours.converged
    assert abs(ours.n_iter - theirs.n_iter_) <= 1
    shared = min(ours.n_iter, theirs.n_iter_, 12)  # rounding grows where EM leaves a plateau
    scale = max(1.0, abs(theirs.lower_bound_))
    np.testing.assert_allclose(ours.lower_bounds[:shared], theirs.lower_bounds_[:shared], atol=2e-4 * scale)
    np.testing.assert_allclose(ours.log_likelihood, theirs.score(features), atol=2e-3 + 5e-4 * scale)
    np.testing.assert_allclose(ours.weights, theirs.weights_, atol=2e-3)
    np.testing.assert_allclose(ours.means, theirs.means_, atol=5e-3)


@pytest.mark.parametrize("kind", KINDS)
def test_float64_equals_scikit_learn(kind):
    features, start = skewed(5, 400, 70).astype(np.float64), random_start(2, 400, 4)
    theirs = reference(features, start, kind, max_iter=25, tol=0.0)
    (ours,) = fit_mixtures(
        [features], 4, covariance_type=kind, responsibilities=[start], max_iter=25, tol=0.0
    )
    np.testing.assert_allclose(ours.lower_bounds, theirs.lower_bounds_, rtol=1e-8)
    np.testing.assert_allclose(ours.covariances, theirs.covariances_, rtol=1e-5, atol=1e-8)
    np.testing.assert_allclose(ours.precisions_cholesky, theirs.precisions_cholesky_, rtol=1e-5, atol=1e-5)
    fresh = skewed(6, 50, 70)
    np.testing.assert_allclose(
        ours.score_samples(fresh), theirs.score_samples(fresh.astype(float)), rtol=1e-6
    )


@pytest.mark.parametrize("kind", KINDS)
def test_likelihood_never_decreases(kind):
    sets = [skewed(seed, 320, 70, modes=5) for seed in range(3)]
    for mixture in fit_mixtures(
        sets, [2, 3, 4], covariance_type=kind, init_params="random", tol=0, max_iter=40
    ):
        steps = np.diff(mixture.lower_bounds)
        assert (steps > -2e-5 * np.maximum(1, np.abs(mixture.lower_bounds[1:]))).all()


def test_many_at_once_equal_one_by_one():
    sets = [skewed(1, 500, 70), skewed(2, 150, 70), skewed(3, 41, 70), skewed(4, 300, 70)]
    numbers = [4, 2, 1, 3]
    together = fit_mixtures(sets, numbers, seed=7)
    for i, number in enumerate(numbers):
        empty = np.zeros((0, 70), np.float32)
        alone = fit_mixtures([sets[j] if j == i else empty for j in range(4)], number, seed=7)[i]
        assert together[i].n_iter == alone.n_iter
        np.testing.assert_allclose(together[i].lower_bounds, alone.lower_bounds, rtol=1e-6)
        np.testing.assert_array_equal(together[i].labels, alone.labels)


def test_same_seed_same_result():
    sets = [skewed(1, 500, 70), skewed(2, 90, 70)]
    first, again, other = (fit_mixtures(sets, 3, seed=s) for s in (3, 3, 4))
    for a, b in zip(first, again, strict=True):
        np.testing.assert_array_equal(a.log_densities, b.log_densities)
        np.testing.assert_array_equal(a.precisions_cholesky, b.precisions_cholesky)
    assert any(not np.array_equal(a.means, b.means) for a, b in zip(first, other, strict=True))


@pytest.mark.parametrize("kind", KINDS)
def test_streaming_in_blocks_changes_nothing(kind):
    sets = [skewed(1, 900, 70), skewed(2, 100, 70)]
    starts = [random_start(1, 900, 3), random_start(2, 100, 2)]
    options = dict(covariance_type=kind, responsibilities=starts, max_iter=6)
    whole = fit_mixtures(sets, [3, 2], **options)
    pieces = fit_mixtures(sets, [3, 2], resident_bytes=300 * 96 * 4, **options)
    for a, b in zip(whole, pieces, strict=True):
        np.testing.assert_allclose(a.lower_bounds, b.lower_bounds, rtol=1e-5)
        np.testing.assert_allclose(a.log_densities, b.log_densities, rtol=1e-3, atol=1e-2)


def test_streamed_kmeans_start():
    sets = [skewed(1, 900, 70)]
    whole, pieces = (fit_mixtures(sets, 3, resident_bytes=limit)[0] for limit in (None, 300 * 96 * 4))
    np.testing.assert_allclose(whole.log_likelihood, pieces.log_likelihood, rtol=1e-4)


def test_log_densities_are_those_of_the_mixture():
    features = skewed(3, 500, 70)
    (mixture,) = fit_mixtures([features], 3)
    parts = [
        np.log(w) + scipy.stats.multivariate_normal(m, c).logpdf(features.astype(float))
        for w, m, c in zip(mixture.weights, mixture.means, mixture.covariances.astype(float), strict=True)
    ]
    expected = scipy.special.logsumexp(parts, axis=0)
    np.testing.assert_allclose(mixture.log_densities, expected, rtol=1e-3, atol=0.05)
    np.testing.assert_allclose(mixture.score_samples(features), mixture.log_densities, rtol=1e-4, atol=1e-3)
    np.testing.assert_array_equal(mixture.labels, np.argmax(parts, axis=0))
    np.testing.assert_allclose(mixture.component_scores(features).T, parts, rtol=2e-3, atol=0.1)


def test_scores_of_many_equal_scores_of_each():
    sets = [skewed(1, 300, 70), skewed(2, 200, 70), np.zeros((1, 70), np.float32)]
    mixtures = fit_mixtures(sets, [3, 2, 1])
    fresh = [skewed(9, n, 70) for n in (40, 300, 7)]
    scores = score_mixtures(mixtures, fresh)
    for mixture, samples, score in zip(mixtures[:2], fresh, scores, strict=False):
        np.testing.assert_allclose(score, mixture.score_samples(samples), rtol=1e-5)
    assert np.isnan(scores[2]).all()
    assert len(scores[2]) == 7


@pytest.mark.parametrize("size", [0, 1])
def test_fewer_than_two_samples_have_no_density(size):
    other = skewed(1, 60, 5)
    lonely, fine = fit_mixtures([np.ones((size, 5), np.float32), other], [3, 2])
    assert lonely.status == "too few samples"
    assert lonely.num_samples == size
    assert np.isnan(lonely.log_likelihood)
    assert lonely.covariances is None
    assert fine.status == "fitted"


HARD = {  # three at a time have as many rows and components as the samples above, thus the same programs
    "two samples": np.array([[0.0] * 70, [1.0] * 70]),
    "all equal": np.ones((50, 70)),
    "duplicates": np.repeat(skewed(1, 12, 70), 10, axis=0),
    "constant features": np.concatenate([skewed(2, 200, 35), np.full((200, 35), 3.0)], axis=1),
    "fewer samples than features": skewed(3, 30, 70),
    "scales from 1e-6 to 1e6": skewed(4, 400, 70) * np.logspace(-6, 6, 70),
    "far from the origin": skewed(5, 400, 70) + 1e4,
    "one outlier": np.concatenate([skewed(6, 200, 70), np.full((1, 70), 1e5)]),
    "two far clusters": np.concatenate([skewed(7, 100, 70), skewed(8, 100, 70) + 1e4]),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_hard_samples_give_finite_densities(kind, dtype):
    sets = [np.asarray(samples, dtype) for samples in HARD.values()]
    mixtures = [
        mixture
        for three in (sets[:3], sets[3:6], sets[6:])
        for mixture in fit_mixtures(three, [min(3, len(s)) for s in three], covariance_type=kind, max_iter=20)
    ]
    for name, samples, mixture in zip(HARD, sets, mixtures, strict=True):
        assert mixture.status == "fitted", name
        for values in (mixture.weights, mixture.means, mixture.precisions_cholesky, mixture.log_densities):
            assert np.isfinite(values).all(), name
        assert np.isfinite(mixture.score_samples(samples + 1)).all(), name
        np.testing.assert_allclose(mixture.weights.sum(), 1, rtol=1e-6)


@pytest.mark.parametrize("name", ["fewer samples than features", "far from the origin", "constant features"])
def test_hard_samples_in_float32_score_as_in_float64(name):
    features = HARD[name].astype(np.float32)
    start = np.eye(2)[np.arange(len(features)) % 2]
    theirs = reference(features, start, max_iter=50)
    (ours,) = fit_mixtures([features], 2, responsibilities=[start], max_iter=50)
    assert ours.log_likelihood > theirs.score(features) - 1e-3 * abs(theirs.score(features))


def test_large_features_in_float32_score_as_in_float64():
    features = 10 * skewed(3, 60, 70)
    start = np.eye(2)[np.arange(60) % 2]
    theirs = reference(features, start, max_iter=50)
    (ours,) = fit_mixtures([features], 2, responsibilities=[start], max_iter=50)
    np.testing.assert_allclose(ours.log_likelihood, theirs.score(features), rtol=1e-4)


def test_emptied_component_stays_finite():
    features = skewed(1, 300, 70)
    start = np.zeros((300, 3))
    start[:, 0] = 1.0
    (mixture,) = fit_mixtures([features], 3, responsibilities=[start])
    assert mixture.status == "fitted"
    assert np.isfinite(mixture.log_densities).all()
    np.testing.assert_allclose(mixture.weights, [1, 0, 0], atol=1e-9)


def test_a_start_may_be_given_for_some_mixtures_and_leave_rows_out():
    features, start = skewed(1, 300, 5), np.zeros((300, 3))
    start[:90] = np.eye(3)[np.arange(90) % 3]
    starts = dict(seed=[1, 2], max_iter=1, covariance_type="spherical")
    given, drawn = fit_mixtures([features, features], 3, responsibilities=[start, None], **starts)
    (alone,) = fit_mixtures([features], 3, **starts | {"seed": [2]})
    np.testing.assert_allclose(drawn.lower_bounds, alone.lower_bounds, rtol=1e-12)
    groups = [features[k:90:3].astype(float) for k in range(3)]
    parts = [
        np.log(1 / 3)
        + scipy.stats.multivariate_normal(g.mean(0), (g.var(0).mean() + 1e-6) * np.eye(5)).logpdf(
            features.astype(float)
        )
        for g in groups
    ]
    expected = scipy.special.logsumexp(parts, axis=0).mean()
    assert given.lower_bounds[0] == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("init", ["kmeans", "k-means++", "random", "random_from_data"])
@pytest.mark.parametrize("kind", KINDS)
def test_starts(init, kind):
    (mixture,) = fit_mixtures([skewed(1, 300, 5)], 3, init_params=init, covariance_type=kind, reg_covar=1e-3)
    assert mixture.status == "fitted"
    assert len(mixture.lower_bounds) == mixture.n_iter
    assert len(np.unique(mixture.means, axis=0)) == 3


def test_more_starts_are_never_worse():
    sets = [skewed(s, 200, 6, modes=6) for s in range(4)]
    one = fit_mixtures(sets, 4, init_params="random", seed=1)
    many = fit_mixtures(sets, 4, init_params="random", seed=1, n_init=4)
    gains = [m.lower_bounds[-1] - o.lower_bounds[-1] for m, o in zip(many, one, strict=True)]
    assert min(gains) >= 0
    assert max(gains) > 0


def test_iterations_end_at_max_iter():
    (mixture,) = fit_mixtures([skewed(1, 300, 6)], 3, init_params="random", tol=0.0, max_iter=4)
    assert (mixture.n_iter, mixture.converged) == (4, False)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"n_components": 0}, "n_components"),
        ({"n_components": 11}, "n_components = 11, n_samples = 10"),
        ({"n_components": [1, 2]}, "n_components has 2"),
        ({"covariance_type": "round"}, "covariance_type"),
        ({"reg_covar": 0.0}, "reg_covar"),
        ({"reg_covar": float("nan")}, "reg_covar"),
        ({"tol": -1.0}, "tol"),
        ({"max_iter": 0}, "max_iter"),
        ({"n_init": 0}, "n_init"),
        ({"init_params": "guess"}, "init_params"),
        ({"responsibilities": [np.ones((10, 2))]}, "responsibilities"),
        ({"responsibilities": [np.full((10, 1), np.nan)]}, "responsibilities"),
        ({"features": [np.full((10, 3), np.nan)]}, r"features\[0\] contains NaN"),
        ({"features": [np.full((10, 3), np.inf)]}, r"features\[0\] contains NaN or inf"),
        ({"features": [np.ones(10)]}, r"features\[0\] must have shape"),
        ({"features": [np.ones((10, 3)), np.ones((10, 4))]}, "one width"),
    ],
)
@pytest.mark.one_engine
def test_bad_input_is_named(arguments, words):
    options = {"features": [np.random.default_rng(0).random((10, 3))], "n_components": 1, **arguments}
    with pytest.raises(ValueError, match=words):
        fit_mixtures(options.pop("features"), **options)


@pytest.mark.one_engine
@pytest.mark.parametrize("kind", ["tied", "diag", "spherical"])
def test_a_start_that_failed_does_not_spoil_the_next(kind):
    X = np.array([[0.0, 0], [0, 0], [1, 2], [2, 1], [2, 2]])
    options = Options(kind, reg_covar=0.0)
    (group,) = plan_groups([5], [2], 2, np.dtype(np.float64), options)
    with jax.enable_x64(True):
        engine = make_engine(group, [X], np.zeros((1, 2)), options)
        engine.start([np.eye(2)[[0, 0, 1, 1, 1]] if kind != "tied" else np.full((5, 2), np.nan)])
        assert engine.failed().tolist() == [True]
        engine.start([np.eye(2)[[0, 1, 0, 1, 0]]])
        assert engine.failed().tolist() == [False]
