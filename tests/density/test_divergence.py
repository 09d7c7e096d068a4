"""pi (Eq. 2), KL (Eq. 5) and the classes' records."""

import json

import numpy as np
import pytest
from scipy.stats import multivariate_normal
from sklearn.covariance import OAS, LedoitWolf
from sklearn.mixture import GaussianMixture as Reference

from adeada_jax.arrays import load_arrays, save_arrays
from adeada_jax.config import paper_defaults
from adeada_jax.errors import InputError
from adeada_jax.method.densities import create_density
from adeada_jax.method.densities.gmm import Gmm
from adeada_jax.method.ingredients import density_difference as differences

DIM = 70
GMM = ("max_components", "regions_per_component", "covariance_type", "covariance_prior")


def density_difference(*inputs, **options):
    """With mixtures, whose own options are among the others."""
    own = {name: options.pop(name) for name in GMM if name in options}
    return differences.density_difference(*inputs, density=Gmm(**own), **options)


TARGET = [260, 120, 40, 1, 0, 30]
SOURCE = [400, 90, 3, 50, 20, 300]


def regions(seed: int, sizes: list[int]) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    classes = rng.permutation(np.repeat(np.arange(len(sizes)), sizes))
    mixing = np.random.default_rng(5).normal(size=(len(sizes), 6, DIM)) * 0.3
    latent = rng.normal(size=(len(classes), 6))
    features = np.einsum("nr,nrd->nd", latent, mixing[classes]) + 0.2 * rng.normal(size=(len(classes), DIM))
    features += np.random.default_rng(9).gamma(1.0, 1.0, (len(sizes), DIM))[classes]
    return np.maximum(features, 0).astype(np.float32), classes


@pytest.fixture(scope="module")
def inputs():
    target, target_classes = regions(1, TARGET)
    source, source_classes = regions(2, SOURCE)
    return target + np.float32(0.05), target_classes, source, source_classes


@pytest.fixture(scope="module")
def difference(inputs):
    return density_difference(*inputs, num_classes=6, seed=3)


def test_classes_with_a_density(inputs, difference):
    known = np.isin(inputs[1], [0, 1, 2, 5])
    np.testing.assert_array_equal(np.isfinite(difference.importance), known)
    np.testing.assert_array_equal(np.isfinite(difference.kl), [True, True, True, False, False, True])


def test_kl_is_the_mean_importance_of_the_class(inputs, difference):
    for c in (0, 1, 2, 5):
        np.testing.assert_allclose(difference.kl[c], difference.importance[inputs[1] == c].mean())


def test_importance_of_single_gaussians_equals_scikit_learns(inputs):
    target, target_classes, source, source_classes = inputs
    ours = density_difference(*inputs, num_classes=6, max_components=1)
    for c in (0, 1, 2, 5):
        mine = target[target_classes == c].astype(float)
        models = [Reference().fit(d) for d in (mine, source[source_classes == c].astype(float))]
        expected = models[0].score_samples(mine) - models[1].score_samples(mine)
        found = ours.importance[target_classes == c]
        np.testing.assert_allclose(found, expected, rtol=2e-3, atol=0.05)
        assert np.array_equal(np.argsort(found), np.argsort(expected)) or len(mine) > 50


def test_importance_by_pixels_is_that_of_weighted_gaussians(inputs):
    target, target_classes, source, source_classes = inputs
    pixels = [np.random.default_rng(8).integers(1, 9000, len(classes)) for classes in inputs[1::2]]
    ours = density_difference(*inputs, num_classes=6, max_components=1, pixels=tuple(pixels))
    sides = (target, target_classes, pixels[0]), (source, source_classes, pixels[1])
    for c in (0, 5):
        mine = target[target_classes == c].astype(float)
        densities = []
        for features, classes, counts in sides:
            samples, counts = features[classes == c].astype(float), counts[classes == c]
            covariance = np.cov(samples.T, aweights=counts, ddof=0) + 1e-6 * np.eye(DIM)
            densities.append(multivariate_normal(np.average(samples, axis=0, weights=counts), covariance))
        expected = densities[0].logpdf(mine) - densities[1].logpdf(mine)
        found = ours.importance[target_classes == c]
        np.testing.assert_allclose(found, expected, rtol=2e-3, atol=0.05)
        assert ours.kl[c] == pytest.approx(found.mean())


@pytest.mark.parametrize(
    ("kind", "change", "words"),
    [
        ("Own", {"weight": "pixels"}, "weight: 'pixels' needs a density whose `fit` takes `weights`"),
        ("Own", {"warm_start": True}, "warm_start: True needs a density whose `fit` takes `starts`"),
        ("Half", {"warm_start": True}, "warm_start: True needs .* that has a method `components`; that of "),
    ],
)
def test_a_density_that_cannot_do_what_a_key_asks_for_is_refused(kind, change, words):
    options = {**paper_defaults().density.to_dict(), **change}
    assert create_density(options)
    with pytest.raises(InputError, match=rf"config\.density\.{words}"):
        create_density({**options, "kind": f"{__name__}:{kind}"})


@pytest.mark.parametrize("prior", ["ledoit_wolf", "oas"])
def test_importance_of_shrunk_gaussians_equals_scikit_learns(inputs, prior):
    target, target_classes, source, source_classes = inputs
    ours = density_difference(*inputs, num_classes=6, max_components=1, covariance_prior=prior)
    assert {record["covariance_prior"] for record in ours.records} == {prior}
    for c in (0, 1, 2, 5):
        mine = target[target_classes == c].astype(float)
        densities = []
        for samples in (mine, source[source_classes == c].astype(float)):
            fit = {"ledoit_wolf": LedoitWolf, "oas": OAS}[prior]().fit(samples)
            densities.append(multivariate_normal(fit.location_, fit.covariance_ + 1e-6 * np.eye(DIM)))
        expected = densities[0].logpdf(mine) - densities[1].logpdf(mine)
        np.testing.assert_allclose(ours.importance[target_classes == c], expected, rtol=2e-3, atol=0.05)


def test_a_configuration_of_before_there_were_priors_makes_the_same_density():
    options = paper_defaults().density.to_dict()
    del options["covariance_prior"]
    assert "covariance_prior" not in create_density(options).facts(None, 100)


def test_denser_target_regions_score_higher():
    rng = np.random.default_rng(0)
    source = rng.normal(size=(800, 8)).astype(np.float32)
    target = np.concatenate([rng.normal(size=(300, 8)), rng.normal(size=(300, 8)) * 0.5 + 4]).astype(
        np.float32
    )
    found = density_difference(target, np.zeros(600, int), source, np.zeros(800, int), num_classes=1, seed=1)
    assert found.importance[300:].min() > found.importance[:300].max()
    assert found.kl[0] > 0


def test_components_follow_the_targets_regions(inputs, difference):
    assert [r["components"] for r in difference.records] == [2, 1, 1, None, None, 1]
    many = density_difference(*inputs, num_classes=6, regions_per_component=10, max_components=4)
    # class c has 40 target regions but 3 source regions, so that three components are all it can have
    assert [r["components"] for r in many.records] == [4, 4, 3, None, None, 3]
    assert [r["components_wanted"] for r in many.records] == [4, 4, 4, 1, 1, 3]


def test_records(difference):
    records = json.loads(json.dumps(difference.records, allow_nan=False))
    assert [r["regions"]["target"] for r in records] == TARGET
    assert [r["regions"]["source"] for r in records] == SOURCE
    assert [r["status"] for r in records] == ["fitted"] * 3 + ["too few regions"] * 2 + ["fitted"]
    for record, kl in zip(records, difference.kl, strict=True):
        if record["status"] == "fitted":
            assert record["kl"] == kl
            for domain in ("source", "target"):
                assert len(record["lower_bounds"][domain]) == record["iterations"][domain]
                assert record["converged"][domain] is True
                assert np.isfinite(record["log_likelihood"][domain])
        else:
            assert record["kl"] is None
            assert record["log_likelihood"] == {"source": None, "target": None}


def test_same_seed_same_bytes(inputs, difference):
    again = density_difference(*inputs, num_classes=6, seed=3)
    assert again.importance.tobytes() == difference.importance.tobytes()
    assert again.records == difference.records


def test_no_regions_at_all():
    nothing = np.zeros((0, 4), np.float32), np.zeros(0, int)
    found = density_difference(*nothing, *nothing, num_classes=2)
    assert found.importance.shape == (0,)
    assert np.isnan(found.kl).all()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"target_classes": np.full(20, 7)}, "target_classes must lie between"),
        ({"source_classes": np.full(20, -1)}, "source_classes must lie between"),
        ({"target_classes": np.zeros(3, int)}, "target_classes must have shape"),
        ({"target_features": np.full((20, 4), np.nan)}, "NaN"),
        ({"source_features": np.ones((20, 5))}, "one width"),
        ({"covariance_type": "round"}, "covariance_type"),
        ({"max_components": 0}, "max_components"),
        ({"regions_per_component": 0}, "regions_per_component"),
    ],
)
def test_bad_input_is_named(change, words):
    features, classes = np.random.default_rng(0).random((20, 4)), np.arange(20) % 2
    given = {"target_features": features, "target_classes": classes}
    given |= {"source_features": features, "source_classes": classes, "num_classes": 2, **change}
    with pytest.raises(ValueError, match=words):
        density_difference(**given)


def test_classes_that_are_not_shared_have_no_density(inputs, difference):
    part = density_difference(*inputs, num_classes=6, seed=3, shared_classes=(1, 3))
    np.testing.assert_array_equal(np.isfinite(part.kl), [False, True, False, False, False, False])
    np.testing.assert_array_equal(part.kl[1], difference.kl[1])
    assert [record["status"] for record in part.records[:4]] == [
        "not in both domains", "fitted", "not in both domains", "too few regions",
    ]  # fmt: skip


class Own:
    """A density that gives what the test says."""

    def __init__(self, value=0.0, facts=None, missing=0):
        self.value, self.told, self.missing = value, facts or {}, missing

    def fit(self, source, target, *, seeds, devices):
        return [(0.0, 1.0)] * len(source)

    def log_density(self, fits, features, *, devices):
        values = [np.full(len(x) - self.missing, fit) for fit, x in zip(fits, features, strict=True)]
        values[-1][:1] += self.value
        return values

    def facts(self, fits, num_target):
        return self.told


class Half(Own):
    """One that takes starts, but does not say where its regions are."""

    def fit(self, source, target, *, seeds, devices, starts):
        return []


@pytest.mark.parametrize(
    ("own", "words"),
    [(Own(-np.inf), "of 30 regions of class 5 the density gives values that are not finite"),
     (Own(np.nan), "of 30 regions of class 5 the density gives values that are not finite"),
     (Own(missing=1), r"of 260 regions of class 0 the density gives shape \(259,\)"),
     (Own(facts={"status": "fine", "size": 3}), "facts must not be called status")],
)  # fmt: skip
def test_a_density_of_ones_own_that_would_take_a_classs_budget_away_in_silence_is_refused(inputs, own, words):
    with pytest.raises(InputError, match=words):
        differences.density_difference(*inputs, density=own, num_classes=6)


def test_facts_may_be_numbers_of_numpys(inputs, tmp_path):
    own = Own(facts={"size": np.float32(0.5), "rows": {"source": np.int64(3), "target": np.nan}})
    records = differences.density_difference(*inputs, density=own, num_classes=6).records
    save_arrays(tmp_path / "column.safetensors", {}, {"classes": records})
    _, stored = load_arrays(tmp_path / "column.safetensors")
    assert stored["classes"][0]["size"] == 0.5
    assert stored["classes"][0]["rows"] == {"source": 3, "target": None}
