"""EM of a single small mixture in NumPy: nothing is compiled, and no device is called.

Where there is little to compute, calling a compiled program takes longer than the work, and compiling it far
longer. All is done in full and in float64.
"""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from threading import Lock

import numpy as np
from scipy.linalg import lapack
from threadpoolctl import ThreadpoolController

from adeada_jax.mixtures.packing import Given, Layout, Shard, given_parameters, masses_of, own_weights
from adeada_jax.mixtures.peers import mean_densities

_EPSILON = np.finfo(np.float64).eps
# Nats by which products may miss a log density; beyond, differences are taken.
_BLUR = 1e-6
# Beyond the root of reg_covar over this a mean's rounding shows in its component's variance.
_COARSE = 1e-12
# The least exponent of a share: beyond are numbers so small that processors are slow with them.
_LEAST = -700.0
# Multiplications of an iteration and numbers it holds at a time, beyond which compiled programs are as fast
# on two cores.
_LIMITS = {
    "full": (2_000_000, 2_000_000),
    "tied": (300_000_000, 2_000_000),
    "diag": (2_000_000, 2_000_000),
    "spherical": (2_000_000, 2_000_000),
}


def is_small(size: int, number: int, dim: int, covariance_type: str) -> bool:
    """Whether EM of `size` samples (D = `dim`) and `number` components is sooner done here."""
    numbers = size * number * dim
    work = {"full": numbers * dim, "tied": size * dim * dim}.get(covariance_type, numbers)
    most_work, most_numbers = _LIMITS[covariance_type]
    return work <= most_work and numbers <= most_numbers


class _OneThread:
    """Has BLAS work in one thread as long as anyone is within.

    On small matrices more of them gain little, and they wait for each other as soon as a core is busy
    elsewhere. The first to enter sets the limit, and the last to leave lifts it.
    """

    def __init__(self) -> None:
        self._lock, self._within = Lock(), 0
        self._libraries: ThreadpoolController | None = None
        self._limit = ExitStack()

    def __enter__(self) -> None:
        with self._lock:
            self._within += 1
            if self._within == 1:
                self._libraries = self._libraries or ThreadpoolController()
                self._limit.enter_context(self._libraries.limit(limits=1, user_api="blas"))

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._within -= 1
            if not self._within:
                self._limit.close()


one_thread = _OneThread()


class SmallEngine:
    """E and M steps of a layout's only mixture; same use as `full.FullEngine`.

    Factors are inverse Cholesky factors (K, D, D) or, tied, (D, D); else root precisions (K, D), spherical
    (K, 1).
    """

    def __init__(
        self,
        shards: Sequence[Shard],
        layout: Layout,
        *,
        covariance_type: str,
        reg_covar: float,
        weights: Sequence[np.ndarray] | None = None,
    ):
        (shard,) = self.everywhere = self.shards = list(shards)
        self.layout, self.kind, self.reg_covar = layout, covariance_type, reg_covar
        self.rows = shard.on_host().astype(np.float64)
        self.row_weights, self.masses = own_weights(shards, weights), masses_of(layout, weights)
        number, dim = int(layout.components[0]), layout.dim
        self.weights, self.means = np.zeros(number), np.zeros((number, dim))
        shapes = {"full": (number, dim, dim), "tied": (dim, dim), "spherical": (number, 1)}
        self.factors = np.zeros(shapes.get(covariance_type, (number, dim)))
        self.found = np.zeros((number, len(self.rows)))  # log weighted densities
        self.norms = [np.zeros(len(self.rows))]
        self.bad, self.stale = False, False
        self._squares = self._shared(self.rows**2) if covariance_type in ("diag", "spherical") else None
        self._held: np.ndarray | None = None  # responsibilities that the parameters are from
        self._gram: np.ndarray | None = None

    def start(self, responsibilities: Sequence[np.ndarray | None]) -> None:
        """Parameters from responsibilities (n, K), or None where `load` gives them."""
        self.bad, self._held = False, None
        (given,) = responsibilities
        if given is not None:
            self._maximise(given.T.astype(np.float64))

    def load(self, given: Mapping[int, Given], centres: np.ndarray) -> None:
        """Put the parameters (weights, means, precisions_cholesky) of the mixture in place."""
        weights, means, factors = given_parameters(given[0])
        self.weights = np.array(weights, np.float64)
        self.means = np.asarray(means, np.float64) - centres[0]
        factors = np.array(factors, np.float64)
        if self.kind == "spherical":
            factors = factors[:, None]
        self.factors = factors if self._apart else factors.swapaxes(-1, -2)
        self._held = None
        self.bad, self.stale = False, True

    def step(self, following: np.ndarray, *, maximise: bool = True) -> np.ndarray:
        """As `full.FullEngine.step`."""
        if self.stale:
            responsibilities = self._expect()
            self.stale = False
            same = self._held is not None and np.array_equal(self._held, responsibilities)
            if maximise and following[0] and not same:
                self._maximise(responsibilities)
        return mean_densities(self.everywhere, self.norms, self.row_weights, self.masses)

    def _shared(self, values: np.ndarray) -> np.ndarray:
        """Squares (..., D), or their sum (..., 1) where all features share a variance."""
        return values.sum(axis=-1, keepdims=True) if self.kind == "spherical" else values

    @property
    def _apart(self) -> bool:
        """Whether covariances are diagonal."""
        return self._squares is not None

    def _expect(self) -> np.ndarray:
        """Renews the scores and densities; returns responsibilities (K, n)."""
        roots = self.factors if self._apart else np.diagonal(self.factors, axis1=-2, axis2=-1)
        dim = self.layout.dim
        log_det = np.log(np.maximum(roots, 1e-300)).sum(axis=-1) * (dim if self.kind == "spherical" else 1)
        constants = np.log(np.maximum(self.weights, 1e-300)) + log_det - 0.5 * dim * np.log(2 * np.pi)
        self.found = constants[:, None] - 0.5 * self._distances()
        best = self.found.max(axis=0)
        away = self.found - best
        shares = np.exp(away)
        shares[away < _LEAST] = 0
        total = shares.sum(axis=0)
        self.norms = [best + np.log(total)]
        shares /= total
        return shares

    def _distances(self) -> np.ndarray:
        """Squared distances (K, n) of the rows to the means, in standard deviations."""
        if self.kind == "full":
            white = np.matmul(self.rows - self.means[:, None], self.factors.swapaxes(1, 2))
            return np.einsum("kni,kni->kn", white, white)
        if self._far():
            away = self.rows - self.means[:, None]
            white = away * self.factors[:, None] if self._apart else away @ self.factors.T
            return np.einsum("kni,kni->kn", white, white)
        if self._squares is None:
            white, means = self.rows @ self.factors.T, self.means @ self.factors.T
            squares = np.einsum("ni,ni->n", white, white) - 2 * means @ white.T
        else:
            means, precisions = self.means * self.factors, self.factors**2
            squares = precisions @ self._squares.T - 2 * (self.means * precisions) @ self.rows.T
        return np.maximum(squares + np.einsum("ki,ki->k", means, means)[:, None], 0.0)

    def _far(self) -> bool:
        """Whether a mean lies so far from the centre that products cancel what matters."""
        white = self.means * self.factors if self._apart else self.means @ self.factors.T
        return bool((_EPSILON * (white * white).sum(axis=1) > _BLUR).any())

    def _maximise(self, responsibilities: np.ndarray) -> None:
        """The M step from responsibilities (K, n)."""
        self._held = responsibilities
        (row_weights,) = self.row_weights
        if row_weights is not None:
            responsibilities = responsibilities * row_weights
        mass = responsibilities.sum(axis=1)
        counts = mass + 10 * _EPSILON
        self.weights, self.means = counts / counts.sum(), self._means(responsibilities, mass)
        factors = {"full": self._full, "tied": self._tied}.get(self.kind, self._diagonal)(
            responsibilities, counts
        )
        self.bad = factors is None
        if factors is not None:
            self.factors = factors
        self.stale = True

    def _means(self, responsibilities: np.ndarray, mass: np.ndarray) -> np.ndarray:
        """(K, D); a component without any mass keeps its mean."""
        some = np.maximum(mass, 1e-300)[:, None]
        means = np.where(mass[:, None] > 0, responsibilities @ self.rows / some, self.means)
        if np.abs(means).max() * _COARSE > np.sqrt(self.reg_covar):  # their rounding would count as variance
            means += np.einsum("kn,knd->kd", responsibilities, self.rows - means[:, None]) / some
        return means

    def _full(self, responsibilities: np.ndarray, counts: np.ndarray) -> np.ndarray | None:
        away = self.rows - self.means[:, None]
        weighed = away * responsibilities[:, :, None]
        second = np.matmul(weighed.swapaxes(1, 2), away) / counts[:, None, None]
        shifts = weighed.sum(axis=1) / counts[:, None]  # what rounding has left of the means
        covariances = second - shifts[:, :, None] * shifts[:, None]
        squares = np.diagonal(second, axis1=1, axis2=2)
        found = [inverse_factor(*both, self.reg_covar) for both in zip(covariances, squares, strict=True)]
        kept = [one for one in found if one is not None]
        return np.stack(kept) if len(kept) == len(found) else None

    def _tied(self, responsibilities: np.ndarray, counts: np.ndarray) -> np.ndarray | None:
        if self._gram is None:  # of all rows, whatever part they have in the start, as scikit-learn's
            (weights,) = self.row_weights
            self._gram = self.rows.T @ (self.rows if weights is None else self.rows * weights.T)
        total = counts.sum()
        covariance = (self._gram - (self.means.T * counts) @ self.means) / total
        found = inverse_factor(covariance, np.diagonal(self._gram) / total, self.reg_covar)
        if found is None or _EPSILON * np.max((self.means @ found.T) ** 2, initial=0) > _BLUR:
            away = self.rows - self.means[:, None]
            covariance = np.einsum("kn,kni,knj->ij", responsibilities, away, away, optimize=True) / total
            squares = np.diagonal(covariance) + (4 * _EPSILON * self.means).max(axis=0) ** 2
            found = inverse_factor(covariance, squares, self.reg_covar)
        return found

    def _diagonal(self, responsibilities: np.ndarray, counts: np.ndarray) -> np.ndarray | None:
        assert self._squares is not None
        second = responsibilities @ self._squares / counts[:, None]
        variances = second - self._shared(self.means**2)
        blurred = variances <= np.sqrt(_EPSILON) * second
        for k in np.flatnonzero(blurred.any(axis=1)):
            variances[k] = responsibilities[k] @ self._shared((self.rows - self.means[k]) ** 2) / counts[k]
        rounding = self._shared((4 * _EPSILON * self.means) ** 2)  # that of the means
        variances = np.where(variances > rounding, variances, 0.0)
        if self.kind == "spherical":
            variances /= self.layout.dim
        variances += self.reg_covar
        return 1 / np.sqrt(variances) if (variances > 0).all() else None

    def scores(self) -> list[np.ndarray]:
        """Log weighted densities (K, n)."""
        return [self.found]

    def failed(self) -> np.ndarray:
        """(1,) bool: whether a component has no positive definite covariance."""
        return np.array([self.bad])

    def parameters(self, m: int, centre: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Weights (K,), means (K, D) and precisions_cholesky, as scikit-learn shapes them."""
        factors = self.factors if self._apart else self.factors.swapaxes(-1, -2)
        if self.kind == "spherical":
            factors = factors[:, 0]
        dtype = self.shards[0].dtype if self.kind == "full" else np.float64
        return self.weights.copy(), self.means + centre, np.array(factors, dtype)


def inverse_factor(covariance: np.ndarray, squares: np.ndarray, reg_covar: float) -> np.ndarray | None:
    """L^-1 (D, D) of the regularised covariance, or None: `factor.regularised_factor` by LAPACK."""
    floor, added = 4 * _EPSILON * squares, reg_covar
    for _ in range(5):
        lower, failed = lapack.dpotrf(covariance + np.diag(np.full(len(covariance), added)), lower=1, clean=1)
        if not failed and (np.diagonal(lower) ** 2 > floor).all():
            inverse, failed = lapack.dtrtri(lower, lower=1)
            return None if failed else inverse
        added *= 10
    return None
