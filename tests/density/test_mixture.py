"""The estimator against scikit-learn's public behaviour."""

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.mixture import GaussianMixture as Reference
from sklearn.utils.estimator_checks import (
    check_fit_idempotent,
    check_methods_sample_order_invariance,
    check_methods_subset_invariance,
    parametrize_with_checks,
)

from adeada_jax.mixtures import GaussianMixture

KINDS = ("full", "tied", "diag", "spherical")


def blobs(size: int = 240, dim: int = 2, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = np.arange(size) % 3
    centres = np.array([[0.0, 0.0], [6.0, 1.0], [1.0, 7.0]])[:, :dim]
    return centres[labels] + rng.normal(size=(size, dim)), labels


@pytest.fixture(scope="module")
def pairs() -> dict:
    """For every covariance type: our fit and scikit-learn's, from the same parameters."""
    features, labels = blobs()
    means = np.stack([features[labels == k].mean(axis=0) for k in range(3)]) + 0.3
    shapes = {
        "full": np.stack([np.eye(2)] * 3),
        "tied": np.eye(2),
        "diag": np.ones((3, 2)),
        "spherical": np.ones(3),
    }
    fitted = {}
    for kind in KINDS:
        options = dict(covariance_type=kind, weights_init=np.full(3, 1 / 3), means_init=means, tol=1e-9)
        options |= dict(precisions_init=shapes[kind], random_state=0)
        fitted[kind] = tuple(c(3, **options).fit(features) for c in (GaussianMixture, Reference))
    return fitted


@pytest.mark.one_engine
@parametrize_with_checks([GaussianMixture(max_iter=50)])
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning")
def test_scikit_learns_estimator_checks(estimator, check):
    check(estimator)


@pytest.mark.parametrize(
    "check", [check_fit_idempotent, check_methods_sample_order_invariance, check_methods_subset_invariance]
)
def test_scikit_learns_checks_of_what_is_computed(check):
    check("GaussianMixture", GaussianMixture(max_iter=50))


@pytest.mark.parametrize("kind", KINDS)
def test_attributes_and_methods_equal_scikit_learns(pairs, kind):
    ours, theirs = pairs[kind]
    fresh, _ = blobs(seed=1)
    for name in (
        "weights_",
        "means_",
        "covariances_",
        "precisions_",
        "precisions_cholesky_",
        "lower_bounds_",
    ):
        np.testing.assert_allclose(
            getattr(ours, name), getattr(theirs, name), rtol=1e-6, atol=1e-9, err_msg=name
        )
    assert (ours.n_iter_, ours.converged_) == (theirs.n_iter_, theirs.converged_)
    for name in ("score_samples", "predict_proba", "score", "bic", "aic"):
        expected = getattr(theirs, name)(fresh)
        np.testing.assert_allclose(getattr(ours, name)(fresh), expected, rtol=1e-6, atol=1e-12, err_msg=name)
    np.testing.assert_array_equal(ours.predict(fresh), theirs.predict(fresh))


@pytest.mark.parametrize("kind", KINDS)
def test_samples_equal_scikit_learns(pairs, kind):
    ours, theirs = pairs[kind]
    drawn, labels = ours.sample(500)
    expected, expected_labels = theirs.sample(500)
    np.testing.assert_array_equal(labels, expected_labels)
    np.testing.assert_allclose(drawn, expected, rtol=1e-4, atol=1e-4)


def test_fit_predict_equals_fit_then_predict():
    features, truth = blobs()
    model = GaussianMixture(3, random_state=1)
    labels = model.fit_predict(features)
    np.testing.assert_array_equal(labels, clone(model).fit(features).predict(features))
    assert len(set(zip(labels.tolist(), truth.tolist(), strict=True))) <= 6


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_what_comes_back_is_of_the_samples_type(kind, dtype):
    features = blobs()[0].astype(dtype)
    model, theirs = (
        c(2, covariance_type=kind, random_state=0).fit(features) for c in (GaussianMixture, Reference)
    )
    for name in ("weights_", "means_", "covariances_", "precisions_", "precisions_cholesky_"):
        assert getattr(model, name).dtype == getattr(theirs, name).dtype == dtype, name
    for name in ("predict_proba", "score_samples", "predict"):
        assert getattr(model, name)(features).dtype == getattr(theirs, name)(features).dtype, name
    assert model.sample(3)[0].dtype == dtype  # theirs are float64
    assert type(model.score(features)) is type(theirs.score(features)) is float


def test_float64_comes_back_where_float32_cannot_hold_the_covariances():
    features = blobs()[0].astype(np.float32) * np.float32(1e25)
    model = GaussianMixture(2, covariance_type="diag", random_state=0).fit(features)
    assert model.covariances_.dtype == np.float64
    assert np.isfinite(model.covariances_).all()


def test_random_state_decides():
    features, _ = blobs(60)
    first, again, other = (
        GaussianMixture(4, init_params="random", max_iter=3, tol=10, random_state=s).fit(features)
        for s in (0, 0, 1)
    )
    np.testing.assert_array_equal(first.means_, again.means_)
    assert not np.array_equal(first.means_, other.means_)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("kind", ["full", "diag"])
def test_warm_start_goes_on(kind):
    features, _ = blobs()
    options = dict(covariance_type=kind, init_params="random", random_state=3, tol=0.0)
    whole = GaussianMixture(3, max_iter=6, **options).fit(features)
    steps = GaussianMixture(3, max_iter=3, warm_start=True, **options).fit(features)
    before = steps.lower_bound_
    steps.fit(features)
    assert steps.lower_bound_ > before
    np.testing.assert_allclose(steps.means_, whole.means_, rtol=1e-9)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_warm_start_notices_convergence():
    features, _ = blobs()
    model = GaussianMixture(3, max_iter=1, warm_start=True, random_state=0, tol=1e-4)
    fits = 0
    while fits < 50 and not model.fit(features).converged_:
        fits += 1
    assert 0 < fits < 50
    assert model.n_iter_ == 1


def test_no_iterations_leave_the_start():
    features, _ = blobs()
    model = GaussianMixture(3, max_iter=0, random_state=0).fit(features)
    assert (model.n_iter_, model.converged_, model.lower_bounds_) == (0, False, [])
    assert np.isfinite(model.score(features))


def test_unconverged_fit_warns():
    features, _ = blobs()
    with pytest.warns(ConvergenceWarning, match="did not converge. Try different init parameters"):
        GaussianMixture(3, max_iter=1, init_params="random", random_state=0).fit(features)


@pytest.mark.parametrize("kind", KINDS)
def test_singular_covariance_without_regularisation_is_refused(kind):
    features = np.repeat([[0.0, 0.0], [1.0, 1.0]], 10, axis=0)
    with pytest.raises(ValueError, match="ill-defined empirical covariance"):
        GaussianMixture(2, reg_covar=0, covariance_type=kind, random_state=0).fit(features)
    GaussianMixture(2, covariance_type=kind, random_state=0).fit(features)


def test_verbose_prints_iterations(capsys):
    features, _ = blobs()
    GaussianMixture(3, verbose=2, verbose_interval=1, random_state=0).fit(features)
    printed = capsys.readouterr().out
    assert "Initialization 0" in printed
    assert "Iteration 1" in printed
    GaussianMixture(3, random_state=0).fit(features)
    assert not capsys.readouterr().out


@pytest.mark.one_engine
def test_unfitted_estimator_says_so():
    features, _ = blobs()
    for call in ("predict", "predict_proba", "score", "score_samples", "bic", "aic"):
        with pytest.raises(NotFittedError):
            getattr(GaussianMixture(), call)(features)
    with pytest.raises(NotFittedError):
        GaussianMixture().sample()


BAD = [
    ({"n_components": 0}, "'n_components' parameter of GaussianMixture must be an int"),
    ({"tol": -1}, "'tol' parameter"),
    ({"reg_covar": -1e-6}, "'reg_covar' parameter"),
    ({"max_iter": -1}, "'max_iter' parameter"),
    ({"n_init": 0}, "'n_init' parameter"),
    ({"covariance_type": "round"}, "'covariance_type' parameter"),
    ({"init_params": "guess"}, "'init_params' parameter"),
    ({"n_components": 500}, "Expected n_samples >= n_components but got n_components = 500, n_samples = 240"),
    ({"weights_init": [0.5, 0.5]}, "'weights' should have the shape of"),
    ({"weights_init": [0.5, 1.5, -1.0]}, r"'weights' should be in the range \[0, 1\]"),
    ({"weights_init": [0.5, 0.2, 0.2]}, "'weights' should be normalized"),
    ({"means_init": np.zeros((3, 3))}, "'means' should have the shape of"),
    ({"precisions_init": np.ones((3, 3))}, "'full precision' should have the shape of|Expected"),
    (
        {"precisions_init": np.stack([-np.eye(2)] * 3)},
        "'full precision' should be symmetric, positive-definite",
    ),
    (
        {"precisions_init": np.ones((2, 3)), "covariance_type": "tied"},
        "'tied precision' should have the shape",
    ),
    ({"precisions_init": -np.eye(2), "covariance_type": "tied"}, "'tied precision' should be symmetric"),
    ({"precisions_init": -np.ones((3, 2)), "covariance_type": "diag"}, "'diag precision' should be positive"),
    (
        {"precisions_init": np.zeros(3), "covariance_type": "spherical"},
        "'spherical precision' should be positive",
    ),
]


@pytest.mark.one_engine
@pytest.mark.parametrize(("options", "words"), BAD)
def test_bad_parameters_are_named_as_scikit_learn_names_them(options, words):
    features, _ = blobs()
    with pytest.raises(ValueError, match=words):
        GaussianMixture(**{"n_components": 3, **options}).fit(features)
    with pytest.raises(ValueError, match=words):
        Reference(**{"n_components": 3, **options}).fit(features)


@pytest.mark.parametrize("number", [0, -3])
def test_samples_must_be_asked_for(pairs, number):
    with pytest.raises(ValueError, match="Invalid value for 'n_samples'"):
        pairs["full"][0].sample(number)


def test_free_parameters(pairs):
    for kind in KINDS:
        assert pairs[kind][0]._n_parameters() == pairs[kind][1]._n_parameters()
