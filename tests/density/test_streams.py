"""Samples in blocks: exact EM against scikit-learn's, online EM against its formulas written out."""

import numpy as np
import pytest
from sklearn.mixture import GaussianMixture as Reference

from adeada_jax.bench.mixtures.failures import groups, on_disk
from adeada_jax.mixtures import GaussianMixture, fit_blocks, fit_mixtures

KINDS = ("full", "tied", "diag", "spherical")


def in_blocks(features: np.ndarray) -> list[np.ndarray]:
    return np.split(features, [70, 103])


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("kind", KINDS)
def test_blocks_are_fitted_as_scikit_learn_fits_all_at_once(kind):
    features = groups(200, apart=2.5)
    (start,) = fit_mixtures([features[:60]], 2, covariance_type=kind, max_iter=1)
    root = start.precisions_cholesky
    precisions = root @ np.swapaxes(root, -1, -2) if kind in ("full", "tied") else root**2
    given = dict(weights_init=start.weights, means_init=start.means, precisions_init=precisions)
    theirs = Reference(2, covariance_type=kind, max_iter=12, tol=0, **given).fit(features)
    ours = fit_blocks(in_blocks(features), 2, covariance_type=kind, max_iter=12, tol=0, start=start)
    np.testing.assert_allclose(ours.lower_bounds, theirs.lower_bounds_, rtol=1e-9)
    np.testing.assert_allclose(ours.means, theirs.means_, rtol=1e-7)
    np.testing.assert_allclose(ours.covariances, theirs.covariances_, rtol=1e-6)
    np.testing.assert_array_equal(ours.labels, theirs.predict(features))
    np.testing.assert_allclose(ours.log_densities, theirs.score_samples(features), rtol=1e-7)


def test_a_file_on_disk_is_read_in_pieces_and_starts_from_its_first():
    features = groups(200)
    ours = fit_blocks(on_disk(features), 2)
    assert ours.converged
    assert ours.log_likelihood == pytest.approx(fit_mixtures([features], 2)[0].log_likelihood, rel=1e-6)


class Averages:
    """Statistics (K,), (K, D), (K, D, D) of online EM about the origin, as the paper writes them."""

    def __init__(self, weights, means, covariances):
        outer = means[:, :, None] * means[:, None, :]
        self.all = [weights, weights[:, None] * means, weights[:, None, None] * (covariances + outer)]

    def step(self, features, resp, step):
        fresh = [resp.sum(0), resp.T @ features, np.einsum("nk,ni,nj->kij", resp, features, features)]
        self.all = [(1 - step) * a + step * b / len(features) for a, b in zip(self.all, fresh, strict=True)]

    def parameters(self, kind):
        weights, sums, squares = self.all
        means = sums / weights[:, None]
        covariances = squares / weights[:, None, None] - means[:, :, None] * means[:, None, :]
        if kind == "tied":
            covariances = np.einsum("k,kij->ij", weights, covariances) / weights.sum()
        if kind == "diag":
            covariances = np.diagonal(covariances, axis1=1, axis2=2)
        return weights, means, covariances


@pytest.mark.parametrize("kind", ["full", "tied", "diag"])
def test_online_em_is_that_of_cappe_and_moulines(kind):
    features = groups(300, apart=2.5)
    blocks = np.split(features, [100, 180])
    model = GaussianMixture(2, covariance_type=kind, random_state=0)
    model.partial_fit(blocks[0])
    added = 1e-6 * (1 if kind == "diag" else np.eye(3))
    first = model.covariances_ - added
    full = {
        "full": lambda c: c,
        "tied": lambda c: np.stack([c] * 2),
        "diag": lambda c: np.stack([np.diag(v) for v in c]),
    }
    averages = Averages(model.weights_, model.means_, full[kind](first))
    for t, block in enumerate(blocks[1:], start=1):
        resp = model.predict_proba(block)
        expected_bound = model.score(block)
        model.partial_fit(block)
        averages.step(block, resp, (t + 1) ** -0.6)
        weights, means, covariances = averages.parameters(kind)
        np.testing.assert_allclose(model.weights_, weights, rtol=1e-7)
        np.testing.assert_allclose(model.means_, means, rtol=1e-7)
        np.testing.assert_allclose(model.covariances_, covariances + added, rtol=1e-6, atol=1e-9)
        assert model.lower_bound_ == pytest.approx(expected_bound, rel=1e-7)


def test_whole_weights_of_a_block_are_repeated_samples():
    first, later = np.split(groups(140, apart=3), 2)
    counts = np.random.default_rng(0).integers(0, 3, 70)
    weighted, repeated = (GaussianMixture(2, random_state=0).partial_fit(first) for _ in range(2))
    weighted.partial_fit(later, sample_weight=counts)
    repeated.partial_fit(np.repeat(later, counts, axis=0))
    np.testing.assert_allclose(weighted.covariances_, repeated.covariances_, rtol=1e-9)


def test_a_stream_comes_to_where_the_groups_are():
    rng = np.random.default_rng(3)
    model = GaussianMixture(2, random_state=0).partial_fit(groups(20))
    for _ in range(30):
        model.partial_fit((rng.normal(size=(60, 3)) + 6 * rng.integers(0, 2, (60, 1))).astype(np.float32))
    np.testing.assert_allclose(np.sort(model.means_[:, 0]), [0, 6], atol=0.3)
    assert len(model.lower_bounds_) == model.n_iter_ > 30


@pytest.mark.parametrize(
    ("blocks", "options", "words"),
    [
        (lambda: (b for b in [groups()]), {}, "must be iterable more than once.* a generator ends after one"),
        (lambda: [groups(), groups(dim=2)], {}, r"blocks\[1\] must have shape \(n, 3\), got \(60, 2\)"),
        (lambda: [groups(), groups() * np.nan], {}, r"blocks\[1\] contains NaN"),
        (lambda: [groups()], {"covariance_type": "round"}, "covariance_type must be one of"),
        (lambda: [groups()], {"n_components": 61}, "n_components = 61, n_samples = 60"),
    ],
)
def test_bad_blocks_are_named(blocks, options, words):
    options = {"n_components": 2, **options}
    with pytest.raises(ValueError, match=words):
        fit_blocks(blocks(), options.pop("n_components"), **options)


def test_what_a_stream_cannot_go_on_with_is_refused():
    model = GaussianMixture(2, random_state=0).partial_fit(groups())
    with pytest.raises(ValueError, match="X has 2 features, but GaussianMixture is expecting 3"):
        model.partial_fit(groups(dim=2))
    with pytest.raises(ValueError, match="takes no covariance_prior, got 'oas'"):
        GaussianMixture(2, covariance_prior="oas").partial_fit(groups())
    (start,) = fit_mixtures([groups()], 2, covariance_type="diag")
    with pytest.raises(ValueError, match=r"are \(2, 'diag'\), not \(3, 'full'\)"):
        fit_blocks([groups()], 3, start=start)


def test_blocks_that_begin_small_are_gathered_for_the_start():
    X = np.random.default_rng(0).normal(size=(50, 2))
    whole = fit_blocks([X], 2, tol=0, max_iter=3)
    for blocks in ([np.zeros((0, 2)), X], [X[:1], X[1:]]):
        found = fit_blocks(blocks, 2, tol=0, max_iter=3)
        assert (found.status, found.num_samples) == (whole.status, 50)
        np.testing.assert_allclose(found.lower_bounds, whole.lower_bounds, rtol=1e-9)
    for wrong in ({"tol": -1.0}, {"max_iter": 0}, {"reg_covar": 0.0}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            fit_blocks([X], 2, start=whole, **wrong)
    with pytest.raises(ValueError, match="must hold samples"):
        fit_blocks([], 2)
