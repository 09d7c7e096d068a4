"""The number of components, chosen."""

import numpy as np
import pytest
from sklearn.mixture import GaussianMixture as Reference

from adeada_jax.mixtures import choose_components, fit_mixtures, score_mixtures


def three_groups(size: int = 240) -> np.ndarray:
    rng = np.random.default_rng(0)
    return rng.normal(size=(size, 2)) + 8 * np.array([[0, 0], [1, 0], [0, 1]])[np.arange(size) % 3]


def as_theirs(mixture) -> Reference:
    model = Reference(len(mixture.weights), covariance_type=mixture.covariance_type)
    model.weights_, model.means_ = mixture.weights, mixture.means
    model.precisions_cholesky_, model.n_features_in_ = mixture.precisions_cholesky, mixture.num_features
    model.converged_ = True
    return model


def test_bic_is_scikit_learns_and_finds_the_groups():
    features = three_groups()
    found = choose_components(features, [4, 1, 2, 3, 3])
    assert found.n_components == len(found.mixture.weights) == 3
    assert list(found.scores) == [1, 2, 3, 4]
    assert found.scores[3] == pytest.approx(as_theirs(found.mixture).bic(features))
    alone = fit_mixtures([features], 3, seed=[0])[0]
    np.testing.assert_allclose(found.mixture.means, alone.means, rtol=1e-9)


def test_weights_count_in_bic_as_repeated_samples():
    features, counts = three_groups(), np.random.default_rng(1).integers(1, 4, 240)
    by_weight = choose_components(features, [2, 3], sample_weight=counts)
    repeated = choose_components(np.repeat(features, counts, axis=0), [2, 3])
    for number in (2, 3):
        assert by_weight.scores[number] == pytest.approx(repeated.scores[number], rel=1e-6)


def test_held_out_samples_find_the_groups_and_are_not_fitted():
    features = three_groups()
    found = choose_components(features, range(1, 5), criterion="held_out", seed=2)
    assert found.n_components == 3
    assert found.mixture.num_samples == 240
    order = np.random.default_rng(2).permutation(240)
    kept, left = np.sort(order[48:]), np.sort(order[:48])
    (fit,) = fit_mixtures([features[kept]], 3, seed=[2])
    assert found.scores[3] == pytest.approx(score_mixtures([fit], [features[left]])[0].mean(), rel=1e-6)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"candidates": []}, "candidates must name at least one"),
        ({"candidates": [0, 1]}, "n_components must be integers of at least 1, got 0"),
        ({"candidates": [500]}, "n_components = 500, n_samples = 240"),
        ({"criterion": "aic"}, "criterion must be one of"),
        ({"criterion": "held_out", "held_out": 1.0}, "held_out must leave samples on both sides"),
    ],
)
@pytest.mark.one_engine
def test_bad_input_is_named(arguments, words):
    options = {"candidates": [1, 2], **arguments}
    with pytest.raises(ValueError, match=words):
        choose_components(three_groups(), options.pop("candidates"), **options)


def test_samples_held_out_without_weight_are_named():
    weight = np.zeros(60)
    weight[[0, 1]] = 1
    for seed in range(20):  # most hold out neither
        try:
            choose_components(
                three_groups(60), [1], criterion="held_out", sample_weight=weight, seed=seed, max_iter=1
            )
        except ValueError as error:
            if "held out have the sample_weight zero" in str(error):
                return
    pytest.fail("nothing was refused")
