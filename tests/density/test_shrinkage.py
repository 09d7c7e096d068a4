"""Shrunk covariances against scikit-learn's, with weights against repeated samples, and many at once."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.covariance import OAS, LedoitWolf, empirical_covariance
from sklearn.mixture import GaussianMixture as Reference

from adeada_jax.mixtures import GaussianMixture, fit_mixtures
from adeada_jax.mixtures.shrinkage import central_fourth, ledoit_wolf, oas, shrink

THEIRS = {"ledoit_wolf": LedoitWolf, "oas": OAS}
PRIORS = tuple(THEIRS)


def samples(seed: int, size: int, dim: int) -> np.ndarray:
    """Skewed, of low rank and noise, far from the origin."""
    rng = np.random.default_rng(seed)
    return 3 + rng.normal(size=(size, 4)) @ rng.normal(size=(4, dim)) + rng.gamma(0.5, 0.4, (size, dim))


def soft(seed: int, size: int, number: int) -> np.ndarray:
    drawn = np.random.default_rng(seed).random((size, number)) ** 3 + 0.05
    return drawn / drawn.sum(axis=1, keepdims=True)


def written_out(features: np.ndarray, weights: np.ndarray, prior: str) -> np.ndarray:
    """The shrunk covariance (D, D) of a component, sample by sample as the formulas stand."""
    size, dim = weights.sum(), features.shape[1]
    offsets = features - weights @ features / size
    outer = np.einsum("ni,nj->nij", offsets, offsets)
    covariance = np.einsum("n,nij->ij", weights, outer) / size
    own, scale = (np.trace(covariance) / dim, features.var(axis=0).mean())
    scale = (size * own + scale) / (size + 1)
    if prior == "oas":
        norm, square = (covariance**2).sum(), np.trace(covariance) ** 2
        amount = min(1.0, (norm + square) / ((size + 1) * (norm - square / dim)))
    else:
        away = ((covariance - own * np.eye(dim)) ** 2).sum() / dim
        noise = np.einsum("n,nij->", weights, (outer - covariance) ** 2) / (size**2 * dim)
        amount = max(min(noise, away) / away, 1 / (size + 1))
    return (1 - amount) * covariance + amount * scale * np.eye(dim)


@pytest.mark.parametrize("prior", PRIORS)
@pytest.mark.parametrize(("size", "dim"), [(30, 7), (20, 70), (150, 70), (3, 7)])
def test_one_component_equals_scikit_learn(prior, size, dim):
    features = samples(size, size, dim)
    ours = GaussianMixture(1, covariance_prior=prior, reg_covar=1e-12).fit(features)
    theirs = THEIRS[prior]().fit(features)
    np.testing.assert_allclose(ours.covariances_[0], theirs.covariance_, rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(ours.means_[0], theirs.location_)


@pytest.mark.parametrize("prior", PRIORS)
def test_float32_is_near_float64(prior):
    features, start = samples(3, 40, 70).astype(np.float32), np.eye(2)[np.arange(40) % 3 // 2]
    single, double = (
        fit_mixtures([features.astype(kind)], 2, covariance_prior=prior, responsibilities=[start])[0]
        for kind in (np.float32, np.float64)
    )
    np.testing.assert_allclose(single.covariances, double.covariances, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(single.score_samples(features), double.score_samples(features), rtol=1e-4)


@pytest.mark.parametrize("prior", PRIORS)
def test_an_m_step_shrinks_each_component_by_its_responsibilities(prior):
    features, start = samples(1, 60, 7), soft(2, 60, 3)
    model = Reference(3)  # whose E step says what the engine's second M step is given
    weights = start.sum(axis=0) / 60
    means = start.T @ features / start.sum(axis=0)[:, None]
    covariances = np.stack([written_out(features, start[:, k], prior) for k in range(3)]) + 1e-6 * np.eye(7)
    model.weights_, model.means_ = weights, means
    model.precisions_cholesky_ = np.stack([np.linalg.cholesky(np.linalg.inv(c)) for c in covariances])
    (ours,) = fit_mixtures([features], 3, covariance_prior=prior, responsibilities=[start], max_iter=1)
    following = model.predict_proba(features)
    expected = [written_out(features, following[:, k], prior) + 1e-6 * np.eye(7) for k in range(3)]
    np.testing.assert_allclose(ours.covariances, expected, rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize(("size", "number"), [(60, 3), (6, 2)])
def test_an_m_step_after_an_inverse_wishart_prior_is_fraleys_and_rafterys(size, number):
    features, start, dim = samples(1, size, 7), soft(2, size, number), 7
    options = dict(covariance_prior="inverse_wishart", responsibilities=[start], max_iter=1)
    (ours,) = fit_mixtures([features], number, reg_covar=1e-12, **options)
    mass = start.sum(axis=0)
    model = Reference(number)
    model.weights_, model.means_ = mass / size, start.T @ features / mass[:, None]
    scale = features.var(axis=0).mean() / number ** (2 / dim) * np.eye(dim)

    def likeliest(weights: np.ndarray) -> np.ndarray:
        offsets = features - weights @ features / weights.sum()
        scatter = (weights[:, None] * offsets).T @ offsets
        return (scale + scatter) / (weights.sum() + (dim + 2) + dim + 1)

    covariances = [likeliest(start[:, k]) for k in range(number)]
    model.precisions_cholesky_ = np.stack([np.linalg.cholesky(np.linalg.inv(c)) for c in covariances])
    following = model.predict_proba(features)
    expected = [likeliest(following[:, k]) for k in range(number)]
    np.testing.assert_allclose(ours.covariances, expected, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("prior", PRIORS)
@pytest.mark.parametrize("dim", [1, 8])
def test_whole_weights_are_repeated_samples(prior, dim):
    features, counts = samples(4, 25, dim), np.random.default_rng(0).integers(0, 4, 25)
    (weighted,) = _shrunk([features], [counts.astype(float)], prior)
    repeated = THEIRS[prior]().fit(np.repeat(features, counts, axis=0))
    np.testing.assert_allclose(weighted, repeated.covariance_, rtol=1e-9, atol=1e-12)


def _shrunk(sets, weights, prior):
    """By the functions themselves, from moments about the origin."""
    found = []
    with jax.enable_x64(True):
        for y, w in zip(sets, weights, strict=True):
            q, size = (y**2).sum(axis=1), w.sum()
            shift, squares = w @ y / size, (y * w[:, None]).T @ y
            covariance = jnp.asarray(squares / size - np.outer(shift, shift))
            fourth = central_fourth(size, w @ y, squares, (w * q) @ y, w @ q**2, shift)
            dim = y.shape[1]
            amount = (
                oas(covariance, size, dim) if prior == "oas" else ledoit_wolf(covariance, size, fourth, dim)
            )
            spread = np.trace(covariance) / dim  # a single component's
            found.append(np.asarray(shrink(covariance, amount, size, spread, dim)))
    return found


@pytest.mark.parametrize("prior", PRIORS)
def test_with_many_samples_nothing_is_shrunk(prior):
    features = samples(5, 20_000, 7)
    ours = GaussianMixture(1, covariance_prior=prior).fit(features)
    np.testing.assert_allclose(ours.covariances_[0], empirical_covariance(features), rtol=3e-3, atol=3e-3)
    few = GaussianMixture(1, covariance_prior=prior).fit(features[:10])
    assert np.abs(few.covariances_[0] - empirical_covariance(features[:10])).max() > 0.05


@pytest.mark.parametrize("prior", PRIORS)
def test_many_at_once_and_in_pieces_equal_one_by_one(prior):
    sets = [samples(seed, size, 7) for seed, size in enumerate((500, 90, 12))]
    starts = [soft(i, len(s), k) for i, (s, k) in enumerate(zip(sets, (3, 3, 1), strict=True))]
    options = dict(covariance_prior=prior, max_iter=4, tol=0)
    together = fit_mixtures(sets, [3, 3, 1], responsibilities=starts, **options)
    in_pieces = fit_mixtures(sets, [3, 3, 1], responsibilities=starts, resident_bytes=10_000, **options)
    alone = [
        fit_mixtures([s], len(r.T), responsibilities=[r], **options)[0]
        for s, r in zip(sets, starts, strict=True)
    ]
    for others in (in_pieces, alone):
        for a, b in zip(together, others, strict=True):
            np.testing.assert_allclose(b.covariances, a.covariances, rtol=1e-7, atol=1e-9)
            np.testing.assert_allclose(b.lower_bounds, a.lower_bounds, rtol=1e-9)


@pytest.mark.parametrize("prior", PRIORS)
def test_components_of_one_two_or_equal_samples_have_a_density_like_others(prior):
    features = np.concatenate([samples(0, 40, 7), samples(0, 3, 7) + 50, np.full((5, 7), 90.0)])
    labels = np.repeat([0, 1, 2, 3], [40, 1, 2, 5])
    (mixture,) = fit_mixtures(
        [features], 4, covariance_prior=prior, responsibilities=[np.eye(4)[labels]], max_iter=1
    )
    assert mixture.status == "fitted"
    variance = features.var(axis=0).mean()
    smallest = np.linalg.eigvalsh(mixture.covariances)[:, 0]
    assert (smallest[1:] > variance / 50).all()
    assert mixture.log_densities[labels > 0].max() < mixture.log_densities[labels == 0].max()


def test_what_cannot_be_shrunk_is_refused():
    features = samples(0, 30, 4)
    with pytest.raises(ValueError, match="covariance_prior='oas' shrinks full covariances only"):
        fit_mixtures([features], 2, covariance_type="diag", covariance_prior="oas")
    with pytest.raises(ValueError, match="covariance_prior must be one of"):
        fit_mixtures([features], 2, covariance_prior="oracle")
    with pytest.raises(ValueError, match="full covariances only"):
        GaussianMixture(2, covariance_type="tied", covariance_prior="oas").fit(features)
    with pytest.raises(ValueError, match="'covariance_prior' parameter"):
        GaussianMixture(2, covariance_prior="oracle").fit(features)
