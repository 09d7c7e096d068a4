"""Weighted samples: whole weights are repeated samples, weights of zero are absence."""

import numpy as np
import pytest
from sklearn.mixture._gaussian_mixture import _estimate_gaussian_parameters

from adeada_jax.bench.mixtures.list_place import lists_made_on
from adeada_jax.mixtures import GaussianMixture, fit_mixtures

KINDS = ("full", "tied", "diag", "spherical")
SIZE, DIM, NUMBER = 150, 3, 3


def samples(seed: int = 0, dtype=np.float64) -> tuple[np.ndarray, np.ndarray]:
    """Overlapping groups (SIZE, DIM), and whole weights (SIZE,), some of them zero."""
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(SIZE, DIM)) + 2.5 * (np.arange(SIZE) % NUMBER)[:, None]
    return features.astype(dtype), rng.integers(0, 4, SIZE).astype(float)


def same(ours, other, rtol=1e-6):
    assert ours.n_iter == other.n_iter
    np.testing.assert_allclose(ours.lower_bounds, other.lower_bounds, rtol=rtol)
    np.testing.assert_allclose(ours.weights, other.weights, rtol=rtol)
    np.testing.assert_allclose(ours.means, other.means, rtol=rtol, atol=rtol)
    np.testing.assert_allclose(ours.covariances, other.covariances, rtol=10 * rtol, atol=rtol)


@pytest.mark.parametrize(("kind", "init"), [*((kind, "kmeans") for kind in KINDS), ("full", "k-means++")])
def test_whole_weights_are_repeated_samples(kind, init):
    features, weight = samples()
    options = dict(covariance_type=kind, init_params=init, max_iter=30, seed=3)
    (ours,) = fit_mixtures([features], NUMBER, sample_weight=[weight], **options)
    (repeated,) = fit_mixtures([np.repeat(features, weight.astype(int), axis=0)], NUMBER, **options)
    same(ours, repeated)
    np.testing.assert_allclose(ours.log_likelihood, repeated.log_likelihood, rtol=1e-6)
    where = np.repeat(np.arange(SIZE), weight.astype(int))
    np.testing.assert_array_equal(ours.labels[where], repeated.labels)


@pytest.mark.parametrize("kind", KINDS)
def test_an_m_step_weighs_as_scikit_learns_would(kind):
    features, _ = samples()
    rng = np.random.default_rng(1)
    weight, start = rng.gamma(1.0, 3.0, SIZE), rng.random((SIZE, NUMBER))
    start /= start.sum(axis=1, keepdims=True)
    model = GaussianMixture(NUMBER, covariance_type=kind)
    mass, means, covariances = _estimate_gaussian_parameters(features, start * weight[:, None], 1e-6, kind)
    if kind == "tied":  # theirs divides by the number of samples, which here is the sum of weights
        total = (weight[:, None] * features).T @ features
        covariances = (total - (mass * means.T) @ means) / weight.sum() + 1e-6 * np.eye(DIM)
    (ours,) = fit_mixtures(
        [features], NUMBER, covariance_type=kind, responsibilities=[start], sample_weight=[weight], max_iter=1
    )
    model.weights_, model.means_, model.covariances_ = mass / mass.sum(), means, covariances
    roots = np.linalg.cholesky(np.linalg.inv(covariances)) if kind in ("full", "tied") else covariances**-0.5
    model.precisions_cholesky_, model.n_features_in_, model.converged_ = roots, DIM, True
    # The first bound is that of the start's parameters.
    assert ours.lower_bounds[0] == pytest.approx(model.score(features, sample_weight=weight), rel=1e-7)


def test_shrinkage_counts_weights_as_samples():
    features, weight = samples()
    options = dict(covariance_prior="ledoit_wolf", max_iter=5, tol=0)
    (ours,) = fit_mixtures([features], NUMBER, sample_weight=[weight], **options)
    (repeated,) = fit_mixtures([np.repeat(features, weight.astype(int), axis=0)], NUMBER, **options)
    same(ours, repeated)


@pytest.mark.parametrize("init", ["kmeans", "random", "random_from_data"])
def test_a_sample_of_weight_zero_is_not_there(init):
    features, weight = samples()
    spoilt = features.copy()
    spoilt[weight == 0] = 1e6
    options = dict(init_params=init, max_iter=4, tol=0)
    (ours,) = fit_mixtures([spoilt], NUMBER, sample_weight=[weight], **options)
    (without,) = fit_mixtures([features[weight > 0]], NUMBER, sample_weight=[weight[weight > 0]], **options)
    np.testing.assert_array_equal(ours.precisions_cholesky, without.precisions_cholesky)
    np.testing.assert_array_equal(ours.log_densities[weight > 0], without.log_densities)
    assert (ours.log_densities[weight == 0] < -1e6).all()
    assert ours.labels.shape == (SIZE,)


def test_weights_of_one_change_no_bit():
    features, _ = samples()
    plain, weighted = (fit_mixtures([features], NUMBER, sample_weight=w)[0] for w in (None, [np.ones(SIZE)]))
    np.testing.assert_array_equal(plain.precisions_cholesky, weighted.precisions_cholesky)
    np.testing.assert_array_equal(plain.log_densities, weighted.log_densities)


@pytest.mark.parametrize("factor", [1e-30, 1e30, 1e300])
def test_only_the_ratios_of_weights_matter(factor):
    features, _ = samples()
    weight = np.random.default_rng(2).gamma(1.0, 1.0, SIZE)
    ours, other = (fit_mixtures([features], NUMBER, sample_weight=[w])[0] for w in (weight, weight * factor))
    same(other, ours)


def test_weights_hold_when_streamed_and_beside_other_mixtures():
    (one, weight), (other, _) = samples(0), samples(1)
    options = dict(max_iter=5, tol=0)
    (alone,) = fit_mixtures([one], NUMBER, sample_weight=[weight], **options)
    both = fit_mixtures([one, other], NUMBER, sample_weight=[weight, None], **options)
    with lists_made_on("device"):
        pieces = fit_mixtures(
            [one, other], NUMBER, sample_weight=[weight, None], resident_bytes=4000, **options
        )
    (plain,) = fit_mixtures([np.zeros((0, DIM)), other], NUMBER, **options)[1:]
    for found in (both, pieces):
        same(found[0], alone, 1e-4)
        same(found[1], plain, 1e-4)


def test_the_estimators_scores_and_criteria_count_by_weight():
    features, weight = samples()
    repeated = np.repeat(features, weight.astype(int), axis=0)
    model = GaussianMixture(NUMBER, random_state=0).fit(features, sample_weight=weight)
    theirs = GaussianMixture(NUMBER, random_state=0).fit(repeated)
    np.testing.assert_allclose(model.means_, theirs.means_, rtol=1e-6)
    for name in ("score", "bic", "aic"):
        by_weight = getattr(model, name)(features, sample_weight=weight)
        assert by_weight == pytest.approx(getattr(theirs, name)(repeated), rel=1e-9), name
    labels = GaussianMixture(NUMBER, random_state=0).fit_predict(features, sample_weight=weight)
    np.testing.assert_array_equal(labels, model.predict(features))


@pytest.mark.parametrize(
    ("weights", "words"),
    [
        ([[1.0, -1.0, 1.0]], r"sample_weight\[0\] must be finite and not negative"),
        ([[1.0, np.nan, 1.0]], r"sample_weight\[0\] must be finite and not negative"),
        ([[1.0, 1.0]], r"sample_weight\[0\] must have shape \(3,\), got \(2,\)"),
        ([None, None], "sample_weight has 2 entries for 1 sets"),
        ([[1.0, 1.0, 0.0]], "n_components = 3, n_samples = 2 with weight"),
    ],
)
@pytest.mark.one_engine
def test_bad_weights_are_refused_by_name(weights, words):
    with pytest.raises(ValueError, match=words):
        fit_mixtures([np.eye(3)], 3, sample_weight=weights)


def test_too_little_weight_is_refused_or_no_density():
    features, _ = samples()
    nearly = np.zeros(SIZE)
    nearly[4] = 2
    (mixture,) = fit_mixtures([features], 1, sample_weight=[nearly])
    assert (mixture.status, mixture.num_samples) == ("too few samples", SIZE)
    with pytest.raises(ValueError, match="fewer than 2 samples whose weight is not zero"):
        GaussianMixture().fit(features, sample_weight=nearly)
    for bad in (-np.ones(SIZE), np.full(SIZE, np.inf), np.zeros(SIZE)):
        with pytest.raises(ValueError, match=r"[Nn]egative|infinity|zero"):
            GaussianMixture().fit(features, sample_weight=bad)


def test_random_samples_are_drawn_alike_whatever_weights_others_have():
    X = np.random.default_rng(0).normal(size=(40, 3))
    options = {"init_params": "random_from_data", "max_iter": 2}
    alone = fit_mixtures([X, X], [3, 3], **options)[0]
    beside = fit_mixtures([X, X], [3, 3], sample_weight=[None, np.arange(40.0)], **options)[0]
    np.testing.assert_allclose(beside.lower_bounds, alone.lower_bounds)
    large = fit_mixtures([X], [3], sample_weight=[np.linspace(1, 2, 40) * 8e307], **options)[0]
    assert large.status == "fitted"
