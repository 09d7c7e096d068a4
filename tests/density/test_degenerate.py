"""Inputs at which moments cancel, squares overflow or parameters do not belong together."""

import numpy as np
import pytest
from sklearn.mixture import GaussianMixture as Theirs
from sklearn.mixture._gaussian_mixture import _compute_precision_cholesky, _estimate_gaussian_parameters

from adeada_jax.mixtures import GaussianMixture, fit_mixtures
from adeada_jax.mixtures.clustering import cluster
from adeada_jax.mixtures.em import Options
from adeada_jax.mixtures.engines import make_engine, plan_groups
from adeada_jax.mixtures.result import score_mixtures


def repeated_points(seed, times):
    """Three distinct points, and responsibilities of eight components, of which five must die."""
    random = np.random.default_rng(seed)
    points = np.repeat(random.normal(size=(3, 4)), times, axis=0)
    start = random.random((len(points), 8))
    return points, start / start.sum(axis=1, keepdims=True)


def theirs_from(points, start):
    weights, means, covariances = _estimate_gaussian_parameters(points, start, 1e-6, "full")
    roots = _compute_precision_cholesky(covariances, "full")
    model = Theirs(
        start.shape[1], weights_init=weights / weights.sum(), means_init=means,
        precisions_init=np.einsum("kij,klj->kil", roots, roots),
    )  # fmt: skip
    return model.fit(points)


def test_components_that_lose_their_mass_end_as_scikit_learns_do():
    problems = [repeated_points(seed, 10) for seed in range(4)]
    fits = fit_mixtures([p for p, _ in problems], 8, responsibilities=[s for _, s in problems])
    for (points, start), fit in zip(problems, fits, strict=True):
        theirs = theirs_from(points, start)
        assert fit.status == "fitted"
        assert fit.log_likelihood == pytest.approx(theirs.score(points), abs=1e-4)
        assert np.isfinite(fit.means).all()


def test_random_starts_on_repeated_points_are_fitted():
    sets = [repeated_points(seed, 10)[0] for seed in range(8)]
    fits = fit_mixtures(sets, 8, init_params="random", seed=list(range(8)))
    assert {fit.status for fit in fits} == {"fitted"}


@pytest.mark.one_engine
def test_sums_are_not_made_anew_in_an_ordinary_fit():
    random = np.random.default_rng(0)
    features = random.normal(size=(1000, 4)) + 3 * random.integers(0, 4, (1000, 1))
    (group,) = plan_groups([1000], [4], 4, np.dtype(np.float64), Options())
    import jax

    with jax.enable_x64(True):
        engine = make_engine(group, [features], features.mean(axis=0)[None], Options())
        start = random.random((1000, 4))
        engine.start([start / start.sum(axis=1, keepdims=True)])
        for _ in range(30):
            engine.step(np.ones(1, bool))
    assert engine.renewed == 0


@pytest.mark.parametrize("scale", [1e-15, 1e15, 2.5e17])
@pytest.mark.parametrize("covariance_type", ["full", "tied", "diag", "spherical"])
def test_float32_samples_of_any_size_are_fitted(scale, covariance_type):
    features = np.random.default_rng(0).normal(size=(300, 4)).astype(np.float32)
    features[:100] += 5
    features[100:200] -= 5
    (fit,) = fit_mixtures(
        [features * np.float32(scale)], 3, covariance_type=covariance_type, reg_covar=1e-6 * scale**2
    )
    (plain,) = fit_mixtures([features], 3, covariance_type=covariance_type)
    assert fit.log_likelihood + 4 * np.log(scale) == pytest.approx(plain.log_likelihood, abs=1e-3)


@pytest.mark.parametrize(("dtype", "value"), [("f4", 1e10), ("f4", 1e20), ("f8", 1e20)])
def test_one_huge_value_leaves_the_other_samples_their_density(dtype, value):
    features = np.random.default_rng(0).normal(size=(300, 4)).astype(dtype)
    features[:150] += 8
    (alone,) = fit_mixtures([features[1:]], 2)
    spoilt = features.copy()
    spoilt[0] = value
    (fit,) = fit_mixtures([spoilt], 3)
    expected = alone.log_densities + np.log(299 / 300)
    np.testing.assert_allclose(fit.log_densities[1:], expected, rtol=1e-3, atol=1e-3)
    assert (cluster(spoilt, 2, seed=1).labels[1:] != cluster(spoilt, 2, seed=1).labels[0]).all()


@pytest.mark.one_engine
@pytest.mark.parametrize(
    "fit", [lambda x: fit_mixtures([x], 2), lambda x: cluster(x, 2), GaussianMixture(2).fit]
)
def test_values_whose_squares_no_float_holds_are_refused(fit):
    features = np.random.default_rng(0).normal(size=(30, 4))
    features[3, 1] = 1e200
    with pytest.raises(ValueError, match=r"features\[0\] has values beyond 1e\+140.*scale the samples"):
        fit(features)


def test_mixtures_of_several_covariance_types_are_scored_together_as_alone():
    features = np.random.default_rng(0).normal(size=(200, 3))
    mixtures = [
        fit_mixtures([features], 2, covariance_type=kind)[0] for kind in ("full", "spherical", "tied", "diag")
    ]
    together = score_mixtures(mixtures, [features] * 4)
    for mixture, scores in zip(mixtures, together, strict=True):
        np.testing.assert_allclose(scores, mixture.log_densities, rtol=1e-9)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_samples_that_are_not_finite_are_refused_by_place_not_scored(bad):
    features = np.random.default_rng(0).normal(size=(50, 3))
    (mixture,) = fit_mixtures([features], 2)
    spoilt = features.copy()
    spoilt[4, 1] = bad
    with pytest.raises(ValueError, match=r"features\[1\] contains NaN or infinity"):
        score_mixtures([mixture, mixture], [features, spoilt])
    with pytest.raises(ValueError, match="contains NaN or infinity"):
        cluster(spoilt, 2)


def test_samples_of_another_width_than_the_mixtures_are_refused():
    features = np.random.default_rng(0).normal(size=(50, 3))
    (mixture,) = fit_mixtures([features], 2)
    with pytest.raises(ValueError, match=r"features\[0\] must have shape \(N, 3\), got \(50, 2\)"):
        mixture.score_samples(features[:, :2])


@pytest.mark.parametrize(
    ("change", "words"),
    [({"n_components": 3}, "n_components was 2, but now it is 3"),
     ({"covariance_type": "tied"}, "covariance_type was 'diag', but now it is 'tied'"),
     ({}, "number of features was 2, but now it is 3")],
)  # fmt: skip
def test_a_warm_start_of_another_shape_is_refused_by_name(change, words):
    features = np.random.default_rng(0).normal(size=(50, 3))
    model = GaussianMixture(2, covariance_type="diag", warm_start=True).fit(features[:, : 3 if change else 2])
    model.set_params(**change)
    with pytest.raises(ValueError, match=words):
        model.fit(features)


def test_scores_are_of_the_type_that_was_fitted():
    features = np.random.default_rng(0).normal(size=(50, 2))
    model = GaussianMixture(2, covariance_type="diag", random_state=0).fit(features)
    before = model.score_samples(features)
    model.set_params(covariance_type="tied")  # the shapes are the same
    np.testing.assert_array_equal(model.score_samples(features), before)
    assert model.sample(3)[0].shape == (3, 2)
    assert model._n_parameters() == 2 * 2 + 2 * 2 + 1
