"""`GaussianMixture`: scikit-learn's estimator on this package's EM."""

import time
import warnings
from numbers import Integral, Real

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, DensityMixin, _fit_context
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_array, check_random_state
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from adeada_jax.mixtures import streams
from adeada_jax.mixtures.em import INITIALISATIONS, Start, check_prior, fit
from adeada_jax.mixtures.engines import COVARIANCE_TYPES, Options
from adeada_jax.mixtures.packing import given_parameters
from adeada_jax.mixtures.range import working_types
from adeada_jax.mixtures.result import FITTED, TOO_FEW, Mixture
from adeada_jax.mixtures.sample_weights import checked_weights
from adeada_jax.mixtures.shrinkage import PRIORS

_FAILED = (
    "Fitting the mixture model failed because some components have ill-defined empirical covariance "
    "(for instance caused by singleton or collapsed samples). Try to decrease the number of components, "
    "increase reg_covar, or scale the input data."
)
_UNCONVERGED = (
    "Best performing initialization did not converge. Try different init parameters, or increase "
    "max_iter, tol, or check for degenerate data."
)


class GaussianMixture(DensityMixin, BaseEstimator):
    """Gaussian mixture with the constructor, methods and attributes of scikit-learn's.

    The EM is `adeada_jax.mixtures.fit_mixtures`'s: float32 samples are worked on in float32 with moments and
    factorisations in float64, float64 samples wholly in float64. Attributes, scores and drawn samples are of
    the samples' type; float64 where float32 cannot hold the samples' squares. Differences from scikit-learn:
    covariances that are not positive definite with `reg_covar` > 0 are regularised more (tenfold, up to four
    times) before the fit is given up; an empty component keeps its place instead of moving to the origin;
    what is drawn from a fit of float32 samples is float32, too.

    Args:
        n_components: K.
        covariance_type: "full", "tied", "diag" or "spherical".
        tol: EM stops when the mean log-likelihood changes by less (nats).
        reg_covar: added to the covariances' diagonals; may be zero here.
        max_iter: most EM iterations.
        n_init: starts; the best is kept.
        init_params: "kmeans", "k-means++", "random" or "random_from_data".
        weights_init: (K,) weights to start from.
        means_init: (K, D) means to start from.
        precisions_init: precisions to start from, shaped by `covariance_type`.
        random_state: of the starts and of `sample`.
        warm_start: whether a further `fit` goes on from the last one's parameters.
        verbose: 0 silent, 1 iterations, 2 with times and changes.
        verbose_interval: iterations between two lines.
        covariance_prior: as of `fit_mixtures`; scikit-learn has no such argument.

    Attributes:
        weights_: (K,). means_: (K, D). covariances_, precisions_, precisions_cholesky_: by
            covariance type. converged_: bool. n_iter_: int. lower_bound_: float, nats a sample.
            lower_bounds_: list, one an iteration. n_features_in_: D.
    """

    _parameter_constraints = {  # noqa: RUF012 - the name and kind that scikit-learn looks for
        "n_components": [Interval(Integral, 1, None, closed="left")],
        "tol": [Interval(Real, 0.0, None, closed="left")],
        "reg_covar": [Interval(Real, 0.0, None, closed="left")],
        "max_iter": [Interval(Integral, 0, None, closed="left")],
        "n_init": [Interval(Integral, 1, None, closed="left")],
        "init_params": [StrOptions(set(INITIALISATIONS))],
        "random_state": ["random_state"],
        "warm_start": ["boolean"],
        "verbose": ["verbose"],
        "verbose_interval": [Interval(Integral, 1, None, closed="left")],
        "covariance_type": [StrOptions(set(COVARIANCE_TYPES))],
        "weights_init": ["array-like", None],
        "means_init": ["array-like", None],
        "precisions_init": ["array-like", None],
        "covariance_prior": [StrOptions(set(PRIORS))],
    }
    weights_: np.ndarray
    means_: np.ndarray
    covariances_: np.ndarray
    precisions_: np.ndarray
    precisions_cholesky_: np.ndarray
    converged_: bool
    n_iter_: int
    lower_bound_: float
    lower_bounds_: list[float]
    _online: tuple[int, streams.Parameters | None]  # blocks of online EM since the fit; float64

    def __init__(
        self,
        n_components: int = 1,
        *,
        covariance_type: str = "full",
        tol: float = 1e-3,
        reg_covar: float = 1e-6,
        max_iter: int = 100,
        n_init: int = 1,
        init_params: str = "kmeans",
        weights_init: ArrayLike | None = None,
        means_init: ArrayLike | None = None,
        precisions_init: ArrayLike | None = None,
        random_state: int | np.random.RandomState | None = None,
        warm_start: bool = False,
        verbose: int = 0,
        verbose_interval: int = 10,
        covariance_prior: str = "",
    ):
        self.n_components = n_components
        self.covariance_type = covariance_type
        self.tol = tol
        self.reg_covar = reg_covar
        self.max_iter = max_iter
        self.n_init = n_init
        self.init_params = init_params
        self.weights_init = weights_init
        self.means_init = means_init
        self.precisions_init = precisions_init
        self.random_state = random_state
        self.warm_start = warm_start
        self.verbose = verbose
        self.verbose_interval = verbose_interval
        self.covariance_prior = covariance_prior

    def fit(
        self, X: ArrayLike, y: object = None, sample_weight: ArrayLike | None = None
    ) -> "GaussianMixture":
        """Fit to samples X (N, D), N at least 2 and at least K. `y` is ignored.

        Args:
            sample_weight: (N,) how many samples each stands for, as of `fit_mixtures`. At least 2 and at
                least K must not be 0. scikit-learn's mixtures take none.

        Raises:
            ValueError: bad parameters or samples, by name; an ill-defined covariance.
        """
        self.fit_predict(X, y, sample_weight)
        return self

    @_fit_context(prefer_skip_nested_validation=True)  # type: ignore[untyped-decorator]  # without types
    def fit_predict(
        self, X: ArrayLike, y: object = None, sample_weight: ArrayLike | None = None
    ) -> np.ndarray:
        """Fit as `fit` does to samples X (N, D) and return their components (N,). `y` is ignored.

        Warns:
            ConvergenceWarning: `max_iter` was too small for every start.
        """
        check_prior(self.covariance_prior, self.covariance_type)
        if self.warm_start and hasattr(self, "converged_"):
            self._check_resumable(np.shape(X))
        samples: np.ndarray = validate_data(self, X, dtype=[np.float64, np.float32], ensure_min_samples=2)
        if len(samples) < self.n_components:
            raise ValueError(
                "Expected n_samples >= n_components but got n_components = "
                f"{self.n_components}, n_samples = {len(samples)}"
            )
        weights = _weights(sample_weight, samples)
        start = self._start(samples.shape[1])
        resumed = start.lower_bound is not None
        seed = check_random_state(self.random_state).randint(np.iinfo(np.int32).max)
        options = Options(self.covariance_type, float(self.reg_covar), self.covariance_prior)
        (fitted,) = fit(
            [samples],
            [self.n_components],
            options,
            [np.random.default_rng(seed)],
            tol=self.tol,
            max_iter=self.max_iter,
            n_init=1 if resumed else self.n_init,
            init_params=self.init_params,
            starts=[start],
            weights=weights,
            report=_Reporter(self.verbose, self.verbose_interval) if self.verbose else None,
        )
        if fitted.status == TOO_FEW:
            raise ValueError("sample_weight leaves fewer than 2 samples whose weight is not zero")
        if fitted.status != FITTED:
            raise ValueError(_FAILED)
        if not fitted.converged and self.max_iter > 0:
            warnings.warn(_UNCONVERGED, ConvergenceWarning, stacklevel=2)
        (dtype,) = working_types([samples], options.device_list())
        self._take(fitted, dtype)
        assert fitted.labels is not None
        return fitted.labels.astype(np.int64)

    @_fit_context(prefer_skip_nested_validation=True)  # type: ignore[untyped-decorator]  # without types
    def partial_fit(
        self, X: ArrayLike, y: object = None, sample_weight: ArrayLike | None = None
    ) -> "GaussianMixture":
        """Go on with samples X (N, D) that come later, by online EM. `y` is ignored.

        The first block is fitted as `fit` does, unless `fit` was called before. The t-th block after that
        moves the sufficient statistics to its own by (t + 1)^-0.6, whatever its size (Cappé and Moulines
        2009). `lower_bounds_` gains the block's mean log density before that.

        Args:
            sample_weight: (N,) as of `fit`.

        Raises:
            ValueError: as `fit`; a `covariance_prior`, which has no place here; a covariance that is not
                positive definite.
        """
        if self.covariance_prior:
            raise ValueError(
                f"partial_fit takes no covariance_prior, got {self.covariance_prior!r}; leave it ''"
            )
        if not hasattr(self, "converged_"):
            return self._first_fit(X, sample_weight)
        samples = self._samples(X)
        self._check_resumable(samples.shape)
        weights = None if sample_weight is None else _checked_weight(sample_weight, samples)
        blocks, parameters = self._online
        if parameters is None:
            parameters = streams.parameters_of(self._mixture(), self.reg_covar)
        step = (blocks + 1 + streams.STEP_OFFSET) ** -streams.STEP_POWER
        parameters, bound = streams.stepped(
            parameters, samples.astype(np.float64), weights, self._fitted_type, self.reg_covar, step
        )
        roots = streams.factors(parameters, self._fitted_type, self.reg_covar)
        if roots is None:
            raise ValueError(_FAILED)
        bounds = np.array([*self.lower_bounds_, bound])
        dim = parameters.means.shape[1]
        self._take(
            Mixture(
                FITTED,
                self._fitted_type,
                len(samples),
                dim,
                parameters.weights,
                parameters.means,
                roots,
                False,
                self.n_iter_ + 1,
                bounds,
            ),
            self.means_.dtype,
        )
        self._online = (blocks + 1, parameters)
        return self

    def _first_fit(self, X: ArrayLike, sample_weight: ArrayLike | None) -> "GaussianMixture":
        """Of a stream's first block, where a start that has not converged is no fault."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            return self.fit(X, sample_weight=sample_weight)

    def _start(self, num_features: int) -> Start:
        """Where EM starts: the last fit's parameters, or what the constructor was given."""
        given = self._checked_inits(num_features)
        if self.warm_start and hasattr(self, "converged_"):
            return Start(
                weights=self.weights_,
                means=self.means_,
                precisions_cholesky=self.precisions_cholesky_,
                lower_bound=self.lower_bound_,
            )
        return given

    def _check_resumable(self, shape: tuple[int, ...]) -> None:
        """Raises ValueError where the last fit's parameters are of another shape than is asked for now."""
        last = {
            "n_components": (self.n_components, len(self.weights_)),
            "number of features": (shape[-1], self.means_.shape[1]),
            "covariance_type": (self.covariance_type, self._fitted_type),
        }
        for name, (asked, fitted) in last.items():
            if asked != fitted:
                raise ValueError(
                    f"this goes on with a fit whose {name} was {fitted!r}, but now it is {asked!r}; "
                    "set warm_start=False, or fit a new estimator"
                )

    def _take(self, fitted: Mixture, dtype: np.dtype) -> None:
        """Takes over what was fitted, parameters in the type that the samples were worked on in."""
        self._type_of_fit = fitted.covariance_type
        self._online = (0, None)  # blocks of online EM since, and its parameters in float64
        weights, means, factors = given_parameters(fitted)
        covariances = fitted.covariances
        assert covariances is not None  # there are factors
        self.weights_ = weights.astype(dtype)
        self.means_ = means.astype(dtype)
        self.precisions_cholesky_ = factors.astype(dtype)
        self.covariances_ = covariances.astype(dtype)
        root = factors.astype(np.float64)
        matrix = self.covariance_type in ("full", "tied")
        precisions = np.matmul(root, np.swapaxes(root, -1, -2)) if matrix else root**2
        self.precisions_ = precisions.astype(dtype)
        self.converged_ = fitted.converged
        self.n_iter_ = fitted.n_iter
        self.lower_bounds_ = fitted.lower_bounds.tolist()
        self.lower_bound_ = self.lower_bounds_[-1] if self.lower_bounds_ else -np.inf

    def _checked_inits(self, num_features: int) -> Start:
        number, kind = self.n_components, self.covariance_type
        weights, means, factors = self.weights_init, self.means_init, None
        floats = [np.float64, np.float32]
        if weights is not None:
            weights = check_array(weights, dtype=floats, ensure_2d=False)
            _check_shape(weights, (number,), "weights")
            if (weights < 0).any() or (weights > 1).any():
                raise ValueError(
                    "The parameter 'weights' should be in the range [0, 1], but got max value "
                    f"{weights.min():.5f}, min value {weights.max():.5f}"
                )
            if abs(1.0 - weights.sum()) > (1e-6 if weights.dtype == np.float32 else 1e-8):
                raise ValueError(
                    "The parameter 'weights' should be normalized, but got sum(weights) = "
                    f"{weights.sum():.5f}"
                )
        if means is not None:
            means = check_array(means, dtype=floats, ensure_2d=False)
            _check_shape(means, (number, num_features), "means")
        if self.precisions_init is not None:
            precisions = check_array(
                self.precisions_init, dtype=floats, ensure_2d=False, allow_nd=kind == "full"
            )
            _check_shape(precisions, _precision_shape(kind, number, num_features), f"{kind} precision")
            factors = _precision_factors(precisions, kind)
        return Start(None, weights, means, factors)

    @property
    def _fitted_type(self) -> str:
        """The covariance type of the fitted parameters, whatever `covariance_type` was set to since."""
        return getattr(self, "_type_of_fit", self.covariance_type)

    def _mixture(self, dtype: type | None = None) -> Mixture:
        """The fitted mixture, its factors in another type if one is given."""
        check_is_fitted(self)
        return Mixture(
            FITTED,
            self._fitted_type,
            0,
            self.means_.shape[1],
            self.weights_,
            self.means_,
            self.precisions_cholesky_ if dtype is None else np.asarray(self.precisions_cholesky_, dtype),
        )

    def _samples(self, X: ArrayLike) -> np.ndarray:
        check_is_fitted(self)
        return validate_data(self, X, dtype=[np.float64, np.float32], reset=False)

    def score_samples(self, X: ArrayLike) -> np.ndarray:
        """Log density (N,) in nats of every sample of X (N, D)."""
        samples = self._samples(X)
        return self._mixture().score_samples(samples).astype(samples.dtype)

    def score(self, X: ArrayLike, y: object = None, sample_weight: ArrayLike | None = None) -> float:
        """Mean log density in nats of the samples X (N, D), by weight (N,) if given. `y` is ignored."""
        found = self.score_samples(X)
        if sample_weight is None:
            return float(np.mean(found))
        return float(np.average(found, weights=_checked_weight(sample_weight, found)))

    def predict(self, X: ArrayLike) -> np.ndarray:
        """Component (N,) of the highest responsibility for every sample of X (N, D)."""
        return self._component_scores(self._samples(X)).argmax(axis=1)

    def _component_scores(self, samples: np.ndarray) -> np.ndarray:
        scores = self._mixture().component_scores(samples)
        assert scores is not None  # it is fitted
        return scores

    def predict_proba(self, X: ArrayLike) -> np.ndarray:
        """Responsibilities (N, K) of the components for the samples X (N, D)."""
        samples = self._samples(X)
        scores = self._component_scores(samples).astype(np.float64)
        weights = np.exp(scores - scores.max(axis=1, keepdims=True))
        return (weights / weights.sum(axis=1, keepdims=True)).astype(samples.dtype)

    def sample(self, n_samples: int = 1) -> tuple[np.ndarray, np.ndarray]:
        """Draw samples: X (n_samples, D) and their components (n_samples,), component by component.

        The samples are of the type of the parameters.

        Raises:
            ValueError: n_samples below 1.
        """
        check_is_fitted(self)
        if n_samples < 1:
            raise ValueError(
                f"Invalid value for 'n_samples': {n_samples} . The sampling requires at least one sample."
            )
        random = check_random_state(self.random_state)
        weights = np.asarray(self.weights_, np.float64)
        counts = random.multinomial(n_samples, weights / weights.sum())
        # Made anew from the factors: a covariance that was rounded to float32 need not be positive definite.
        covariances = self._mixture(np.float64).covariances
        assert covariances is not None  # it is fitted
        drawn = []
        for k, count in enumerate(counts):
            if self._fitted_type in ("full", "tied"):
                covariance = covariances[k] if self._fitted_type == "full" else covariances
                drawn.append(random.multivariate_normal(self.means_[k], covariance, int(count)))
            else:
                noise = random.standard_normal(size=(count, self.means_.shape[1]))
                drawn.append(self.means_[k] + noise * np.sqrt(covariances[k]))
        return np.vstack(drawn).astype(self.means_.dtype), np.repeat(np.arange(len(counts)), counts)

    def _n_parameters(self) -> int:
        """Free parameters of the model."""
        return self._mixture().num_parameters

    def bic(self, X: ArrayLike, sample_weight: ArrayLike | None = None) -> float:
        """Bayesian information criterion on X (N, D); lower is better. Weights (N,) count samples."""
        total, number = self._total(X, sample_weight)
        return -2 * total + self._n_parameters() * np.log(number)

    def aic(self, X: ArrayLike, sample_weight: ArrayLike | None = None) -> float:
        """Akaike information criterion on X (N, D); lower is better. Weights (N,) count samples."""
        return -2 * self._total(X, sample_weight)[0] + 2 * self._n_parameters()

    def _total(self, X: ArrayLike, sample_weight: ArrayLike | None) -> tuple[float, float]:
        """Log-likelihood in nats and number of samples, by weight.

        It is summed in float64: the difference of two criteria is small beside them.
        """
        found = self._mixture().score_samples(self._samples(X))
        if sample_weight is None:
            return float(found.sum()), len(found)
        weight = _checked_weight(sample_weight, found)
        return float(found @ weight), float(weight.sum())


def _checked_weight(sample_weight: ArrayLike, X: np.ndarray) -> np.ndarray:
    """(N,) float64.

    Raises:
        ValueError: weights that are not one a sample, not finite, negative or all zero.
    """
    return _check_sample_weight(sample_weight, X, dtype=np.float64, ensure_non_negative=True)


def _weights(sample_weight: ArrayLike | None, X: np.ndarray) -> list[np.ndarray] | None:
    """As `em.fit` takes them."""
    if sample_weight is None:
        return None
    return checked_weights([_checked_weight(sample_weight, X)], [X])


def _check_shape(array: np.ndarray, shape: tuple[int, ...], name: str) -> None:
    if array.shape != shape:
        raise ValueError(f"The parameter '{name}' should have the shape of {shape}, but got {array.shape}")


def _precision_shape(kind: str, number: int, dim: int) -> tuple[int, ...]:
    shapes = {"full": (number, dim, dim), "tied": (dim, dim), "diag": (number, dim), "spherical": (number,)}
    return shapes[kind]


def _precision_factors(precisions: np.ndarray, kind: str) -> np.ndarray:
    """Upper triangular U with U U^T = precision; root precisions for diagonal kinds."""
    if kind in ("diag", "spherical"):
        if (precisions <= 0).any():
            raise ValueError(f"'{kind} precision' should be positive")
        return np.sqrt(precisions)
    for matrix in precisions if kind == "full" else [precisions]:
        if not np.allclose(matrix, matrix.T) or (np.linalg.eigvalsh(matrix) <= 0).any():
            raise ValueError(f"'{kind} precision' should be symmetric, positive-definite")
    # Reversing rows and columns turns the lower Cholesky factor into the upper one.
    reversed_ = precisions[..., ::-1, ::-1].astype(np.float64)
    return np.linalg.cholesky(reversed_)[..., ::-1, ::-1].astype(precisions.dtype)


class _Reporter:
    """Prints the progress of a fit, as `verbose` asks."""

    def __init__(self, verbose: int, interval: int):
        self.verbose, self.interval = verbose, interval
        self.began = self.last = time.perf_counter()
        self.bound = -np.inf

    def __call__(self, attempt: int, iteration: int, bounds: np.ndarray | None) -> None:
        now = time.perf_counter()
        if bounds is None:
            print(f"Initialization {attempt}")
            self.bound = -np.inf
        else:
            change, self.bound = float(bounds[0]) - self.bound, float(bounds[0])
            if iteration % self.interval == 0:
                detail = f"\t time {now - self.last:.5f}s\t change {change:.5f}" if self.verbose > 1 else ""
                print(f"  Iteration {iteration}{detail}")
        self.last = now
