"""What is small is fitted in NumPy, and gives what the compiled programs give."""

import numpy as np
import pytest
from threadpoolctl import threadpool_info

from adeada_jax.mixtures import engines, fit_mixtures, score_mixtures
from adeada_jax.mixtures.engines import COVARIANCE_TYPES
from adeada_jax.mixtures.packing import Shard
from adeada_jax.mixtures.small import is_small, one_thread


def sets():
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(4, 6)) * 4
    return [(centres[rng.integers(0, 4, n)] + rng.normal(size=(n, 6))).astype(np.float32) for n in (300, 40)]


@pytest.fixture(scope="module")
def of_programs():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engines, "is_small", lambda *_: False)
        return {(kind, init): fitted(kind, init) for kind in COVARIANCE_TYPES for init in STARTS}


STARTS = ("kmeans", "k-means++")  # all samples have a part in the one, few in the other


def fitted(kind, init):
    options = {"covariance_type": kind, "init_params": init, "tol": 1e-4}
    weights = [np.linspace(0.5, 2, 300), None]
    return fit_mixtures(sets(), [4, 2], sample_weight=weights, **options)


@pytest.mark.parametrize("init", STARTS)
@pytest.mark.parametrize("kind", COVARIANCE_TYPES)
def test_numpy_gives_what_programs_give(kind, init, of_programs):
    for ours, other in zip(fitted(kind, init), of_programs[kind, init], strict=True):
        assert (ours.n_iter, ours.converged) == (other.n_iter, other.converged)
        np.testing.assert_array_equal(ours.labels, other.labels)
        np.testing.assert_allclose(ours.lower_bounds, other.lower_bounds, rtol=1e-7, atol=1e-5)
        np.testing.assert_allclose(ours.log_densities, other.log_densities, atol=2e-5)
        np.testing.assert_allclose(ours.means, other.means, atol=1e-5)
        scores = score_mixtures([ours, other], [sets()[0]] * 2)
        np.testing.assert_allclose(*scores, atol=2e-5)


def test_no_device_gets_what_is_small(monkeypatch):
    def refuse(self):
        raise AssertionError("rows go to a device")

    monkeypatch.setattr(Shard, "rows", refuse)
    found = fit_mixtures(sets(), [3, 1])
    assert [mixture.status for mixture in found] == ["fitted"] * 2
    assert np.isfinite(score_mixtures(found, sets())[0]).all()
    with pytest.raises(AssertionError, match="device"):
        fit_mixtures([np.random.default_rng(0).normal(size=(3000, 30))], [3])


def test_what_is_small_is_told_by_its_work():
    assert is_small(1000, 5, 16, "full")
    assert not is_small(1000, 30, 16, "full")
    assert is_small(1000, 30, 16, "diag")
    assert not is_small(1000, 1, 600, "tied")


@pytest.mark.parametrize("small", [True, False])
@pytest.mark.parametrize("kind", COVARIANCE_TYPES)
def test_further_starts_do_not_take_over_what_the_last_one_held(kind, small, monkeypatch):
    """A component alone has the same moments from every start, which changes nothing of its parameters."""
    monkeypatch.setattr(engines, "is_small", lambda *_: small)
    one, several = (
        fit_mixtures(sets()[:1], [1], covariance_type=kind, n_init=n, tol=0.0, max_iter=4)[0] for n in (1, 3)
    )
    assert (one.means == several.means).all()
    assert (one.log_densities == several.log_densities).all()
    rows = sets()[0].astype(np.float64)
    np.testing.assert_allclose(one.means[0], rows.mean(axis=0), atol=1e-6)


# Rows far away from the others, whose means are rounded by more than a standard deviation of the default's.
@pytest.mark.parametrize("far", [[1e11] * 2, [1e14] * 2, [1e22] * 2, [[1.1e14, 1e14]] * 7])
@pytest.mark.parametrize("kind", COVARIANCE_TYPES)
def test_far_rows_have_no_variance_from_rounding(kind, far, monkeypatch):
    near = np.random.default_rng(0).normal(size=(30, 2))
    rows = np.concatenate([near, np.reshape(far, (-1, 2))])
    ours = fit_mixtures([rows], [2], covariance_type=kind)[0]
    monkeypatch.setattr(engines, "is_small", lambda *_: False)
    other = fit_mixtures([rows], [2], covariance_type=kind)[0]
    assert ours.status == other.status == "fitted"
    np.testing.assert_allclose(ours.log_likelihood, other.log_likelihood, rtol=1e-4)


def test_blas_gets_its_threads_back_when_the_last_fit_ends():
    def threads():
        return [library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"]

    before = threads()
    with one_thread:
        with one_thread:
            assert set(threads()) == {1}
        assert set(threads()) == {1}
    assert threads() == before
