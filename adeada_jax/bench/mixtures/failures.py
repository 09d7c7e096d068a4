"""Samples that break implementations of Gaussian mixtures, and what becomes of a fit to them."""

import tempfile
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike
from scipy.special import logsumexp

if TYPE_CHECKING:
    from sklearn.mixture import GaussianMixture


@dataclass(frozen=True)
class Case:
    """Samples that are hard for mixtures.

    Attributes:
        name: what they are.
        make: gives them (N, D).
        options: of the estimator, `n_components` among them.
        report: address of the report of such a failure on GitHub, of scikit-learn's mixture or another.
    """

    name: str
    make: Callable[[], ArrayLike]
    options: Mapping[str, Any] = field(default_factory=dict)
    report: str = ""

    @property
    def title(self) -> str:
        """The name, and in Markdown a link to the report."""
        if not self.report:
            return self.name
        *_, repository, _, number = self.report.split("/")
        return f"{self.name} ([{repository} {number}]({self.report}))"


def groups(size: int = 60, dim: int = 3, dtype: DTypeLike = np.float64, apart: float = 6) -> np.ndarray:
    """Two groups of unit variance (N, D), so far apart in every feature."""
    rng = np.random.default_rng(0)
    return (rng.normal(size=(size, dim)) + apart * (np.arange(size) % 2)[:, None]).astype(dtype)


def network_features(size: int, dim: int) -> np.ndarray:
    """Of one class: not negative, of low rank and little noise, float32, as after a ReLU."""
    rng = np.random.default_rng(1)
    latent = rng.normal(size=(size, 20)) @ rng.normal(size=(20, dim)) * 0.4
    return np.maximum(latent + 0.02 * rng.normal(size=(size, dim)), 0).astype(np.float32)


def proportional() -> np.ndarray:
    """Samples (60, 3) of a line, float32: their covariances have rank one."""
    return groups(dtype="f4")[:, :1] * np.array([1000, 900, 800], np.float32)


def on_disk(samples: np.ndarray) -> np.ndarray:
    """The samples in a file that is mapped, read only; the file goes with the process."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "samples.npy"
        np.save(path, samples)
        return np.load(path, mmap_mode="r")


def read_only(samples: np.ndarray) -> np.ndarray:
    samples.flags.writeable = False
    return samples


def subnormal(dtype: DTypeLike, size: float) -> np.ndarray:
    return (np.random.default_rng(2).normal(size=(40, 3)) * size).astype(dtype)


_SPHERICAL, _DIAG, _TIED = (
    {"n_components": 2, "covariance_type": kind} for kind in ("spherical", "diag", "tied")
)
_TWO, _FOUR, _FIVE = ({"n_components": number} for number in (2, 4, 5))
_APART = np.array([[9999.0], [0.0]], np.float32)
_FAR = {"n_components": 3, "means_init": [[0.0] * 3, [6.0] * 3, [1e4] * 3], "weights_init": [0.4, 0.4, 0.2]}


def few() -> np.ndarray:
    return network_features(200, 512)


CASES = (
    Case(
        "float32, two samples 9999 apart, spherical",
        lambda: _APART,
        _SPHERICAL,
        "https://github.com/scikit-learn/scikit-learn/issues/30382",
    ),
    Case("the same, diag", lambda: _APART, _DIAG),
    Case(
        "float32, 200 features of a network, D = 512, K = 1",
        few,
        report="https://github.com/omegafragger/DDU/issues/4",
    ),
    Case("the same times 100", lambda: few() * 100),
    Case(
        "float32, 300 features, D = 128, K = 5",
        lambda: network_features(300, 128) * 10,
        _FIVE,
        "https://github.com/ldeecke/gmm-torch/issues/31",
    ),
    Case(
        "float32, three proportional features",
        proportional,
        _TWO,
        "https://github.com/probml/dynamax/issues/404",
    ),
    Case("unit variance at an offset of 1e8, full", lambda: groups() + 1e8, _TWO),
    Case("the same, tied", lambda: groups() + 1e8, _TIED),
    Case("the same, diag", lambda: groups() + 1e8, _DIAG),
    Case(
        "float32, unit variance, offset 1e4, spherical",
        lambda: groups(dtype="f4") + np.float32(1e4),
        _SPHERICAL,
    ),
    Case("groups of unit variance 1e8 apart, full", lambda: groups(apart=1e8), _TWO),
    Case("the same, diag", lambda: groups(apart=1e8), _DIAG),
    Case("the same, tied", lambda: groups(apart=1e8), _TIED),
    Case("three distinct samples, 20 of each, K = 4", lambda: np.repeat(groups(3), 20, axis=0), _FOUR),
    Case("one sample 40 times, full", lambda: np.full((40, 3), 0.1), _TWO),
    Case("the same, tied", lambda: np.full((40, 3), 0.1), _TIED),
    Case("float64, sizes of 1e-310", lambda: subnormal("f8", 1e-310), _TWO),
    Case("float32, sizes of 1e-42", lambda: subnormal("f4", 1e-42), _TWO),
    Case("float32, sizes of 1e25, diag", lambda: groups(dtype="f4") * np.float32(1e25), _DIAG),
    Case("N = K = 4", lambda: groups(4), _FOUR),
    Case("a component that starts where no sample is", groups, _FAR),
    Case("the same, diag", groups, {**_FAR, "covariance_type": "diag"}),
    Case("big-endian float32", lambda: groups(dtype=">f4"), _TWO),
    Case("read only, Fortran order", lambda: read_only(np.asfortranarray(groups())), _TWO),
    Case("every second row, features reversed", lambda: groups(180)[::3, ::-1], _TWO),
    Case("mapped from a file, read only", lambda: on_disk(groups()), _TWO),
    Case("float16", lambda: groups(dtype="f2"), _TWO),
    Case("whole numbers (int8)", lambda: (groups() * 10).astype(np.int8), _TWO),
)


def outcome(estimator: type, case: Case) -> str:
    """What becomes of a fit: an error, parameters that are none, a wrong density, or its log-likelihood.

    The log-likelihood is that of the fitted parameters, worked out anew in float64. Where the estimator's own
    score differs from it, both are given: "reported / recomputed".
    """
    samples = case.make()
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        try:
            model = estimator(**case.options, random_state=0).fit(samples)
            score = model.score(samples)
        except (ValueError, FloatingPointError) as error:
            ill = "ill-defined" in str(error)
            return f"{type(error).__name__}: {'ill-defined covariance' if ill else error}"
        return _judged(model, np.asarray(samples, np.float64), score)


def _judged(model: "GaussianMixture", samples: np.ndarray, score: float) -> str:
    kind = model.covariance_type
    variances = np.asarray(model.covariances_)
    if kind in ("full", "tied"):
        variances = np.diagonal(variances, axis1=-2, axis2=-1)
    if not variances.min() > 0:
        return f"a variance of {variances.min():.3g}"
    expected = log_likelihood(model, samples)
    if not np.isfinite([score, expected]).all():
        return "NaN or infinity"
    if abs(score - expected) > 1e-2 + 1e-3 * abs(expected):
        return f"{score:.4g} / {expected:.4g}"
    return f"{score:.4g}"


def log_likelihood(model: "GaussianMixture", samples: np.ndarray) -> float:
    """Mean log density in nats of samples (N, D) under a fit's parameters, in float64 and by differences."""
    (number, dim), kind = model.means_.shape, model.covariance_type
    roots = np.asarray(model.precisions_cholesky_, np.float64)
    parts = []
    for k in range(number):
        root = roots if kind == "tied" else np.eye(dim) * roots[k] if kind != "full" else roots[k]
        white = (samples - np.asarray(model.means_[k], np.float64)) @ root
        constant = np.log(max(model.weights_[k], 1e-300)) + np.log(np.diagonal(root)).sum()
        parts.append(constant - 0.5 * (dim * np.log(2 * np.pi) + (white**2).sum(axis=1)))
    return float(logsumexp(np.stack(parts), axis=0).mean())
