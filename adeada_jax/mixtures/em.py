"""Fitting many Gaussian mixtures at once by expectation-maximisation."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import jax
import numpy as np

from adeada_jax.mixtures.engines import COVARIANCE_TYPES, Engine, Group, Options, make_engine, plan
from adeada_jax.mixtures.kmeans import kmeans, kmeans_plusplus
from adeada_jax.mixtures.packing import Rows, Samples
from adeada_jax.mixtures.peers import all_gather
from adeada_jax.mixtures.range import centres_of, check_finite, working_types
from adeada_jax.mixtures.result import FITTED, ILL_DEFINED, TOO_FEW, Mixture, with_absent
from adeada_jax.mixtures.sample_weights import (
    checked_weights,
    chosen_seeds,
    first_seeds,
    present_rows,
    scaled,
)
from adeada_jax.mixtures.shrinkage import PRIORS
from adeada_jax.mixtures.small import one_thread

# Told of the attempt, the iteration (0: it begins) and the lower bounds (M,) before it.
Report = Callable[[int, int, np.ndarray | None], None]
INITIALISATIONS = ("kmeans", "k-means++", "random", "random_from_data")


@dataclass(frozen=True)
class Start:
    """Where a mixture's EM starts; what is None comes from the initialisation.

    Attributes:
        responsibilities: (N, K). weights: (K,). means: (K, D).
        precisions_cholesky: as in `Mixture`.
        lower_bound: of the fit that is gone on with, compared with the first iteration's.
    """

    responsibilities: np.ndarray | None = None
    weights: np.ndarray | None = None
    means: np.ndarray | None = None
    precisions_cholesky: np.ndarray | None = None
    lower_bound: float | None = None

    @property
    def complete(self) -> bool:
        """Whether no initialisation is needed: all parameters are given."""
        return not any(v is None for v in (self.weights, self.means, self.precisions_cholesky))


def fit_mixtures(
    features: Sequence[Samples],
    n_components: int | Sequence[int],
    *,
    covariance_type: str = "full",
    tol: float = 1e-3,
    reg_covar: float = 1e-6,
    covariance_prior: str = "",
    max_iter: int = 200,
    n_init: int = 1,
    init_params: str = "kmeans",
    responsibilities: Sequence[np.ndarray | None] | None = None,
    sample_weight: Sequence[np.ndarray | None] | None = None,
    seed: int | Sequence[int | tuple[int, ...]] = 0,
    finish: Callable[[int, Mixture], Mixture] | None = None,
    devices: Sequence[jax.Device] | None = None,
    resident_bytes: int | None = None,
) -> list[Mixture]:
    """Fit a Gaussian mixture to each of many sample sets of one dimension.

    Every mixture's result depends on its own samples, K, `seed` and its place in the list only, not
    on what else is fitted. The E step works in the samples' precision (float32 or float64), the
    M step's moments, covariances and factorisations in float64.

    Args:
        features: for each mixture (N_i, D); N_i may be 0 or 1, which gives no density.
        n_components: K, one for all or one for each; at most N_i.
        covariance_type: "full", "tied", "diag" or "spherical".
        tol: stop a mixture when its mean log-likelihood changes by less (nats).
        reg_covar: added to the covariances' diagonals; raised tenfold, up to four times, where a
            full or tied covariance is not positive definite with it.
        covariance_prior: "", or how every M step shrinks full covariances towards a multiple of the identity:
            "ledoit_wolf", "oas" or "inverse_wishart" (`shrinkage`). The log-likelihood may then fall from one
            iteration to the next.
        max_iter: most iterations.
        n_init: starts; the one of the highest lower bound is kept.
        init_params: "kmeans", "k-means++", "random" or "random_from_data".
        responsibilities: for each mixture (N_i, K_i) to start from, or None for what `init_params` says. A
            row of zeros has no part in the start.
        sample_weight: for each mixture (N_i,), or None for samples that count as one each. A sample of
            weight w counts as w equal samples; one of weight 0 is not there, but gets its density and
            label. At least K samples must have weight. Whole weights give what repeated samples in a row do
            from "kmeans" too, and from "k-means++" but for tied covariances; the other starts draw otherwise.
            The sum of all weights matters only with a `covariance_prior`, which counts samples.
        seed: of the starts; one for all, or one (an int or a tuple of ints) for each.
        finish: called as finish(index, mixture) when a mixture is done; what it returns takes the
            mixture's place (to drop what is not needed).
        devices: over which the samples are spread; by default all local accelerators, or one CPU device.
            With devices of other processes all processes must make this call, with the same samples and
            seed: each works on those on its own devices, moments are summed over all, and all get the
            same mixtures.
        resident_bytes: most bytes of samples kept on a device, beyond which they are streamed from
            the host in blocks.

    Returns:
        A Mixture for each, in order; `status` says why one has no density.

    Raises:
        ValueError: a bad argument, by name; samples that are not finite, or fewer than K.
    """
    arrays = [_samples(f, i) for i, f in enumerate(features)]
    components = _numbers(n_components, arrays)
    weights = None if sample_weight is None else checked_weights(sample_weight, arrays)
    check_options(covariance_type, tol, reg_covar, max_iter, n_init, init_params)
    check_prior(covariance_prior, covariance_type)
    if len({a.shape[1] for a in arrays}) > 1:
        raise ValueError(f"features must share one width, got {sorted({a.shape[1] for a in arrays})}")
    spread = tuple(devices) if devices else None
    options = Options(covariance_type, reg_covar, covariance_prior, spread, resident_bytes)
    check_finite(arrays, options.device_list())
    starts = None
    if responsibilities is not None:
        starts = [
            Start(responsibilities=None if r is None else _given(r, a, k))
            for r, a, k in zip(responsibilities, arrays, components, strict=True)
        ]
    seeds = [(seed, i) for i in range(len(arrays))] if isinstance(seed, int | np.integer) else list(seed)
    generators = [np.random.default_rng(one) for one in seeds]
    return fit(
        arrays,
        components,
        options,
        generators,
        tol=tol,
        max_iter=max_iter,
        n_init=n_init,
        init_params=init_params,
        starts=starts,
        weights=weights,
        finish=finish,
    )


def _samples(features: Samples, index: int) -> Samples:
    array = features if isinstance(features, Rows) else np.asarray(features)
    if array.ndim != 2 or array.shape[1] == 0:
        raise ValueError(f"features[{index}] must have shape (N, D), got {array.shape}")
    if array.dtype.kind == "c":
        raise ValueError(f"features[{index}] must be real numbers, got {array.dtype}")
    if array.dtype not in (np.float32, np.float64):
        array = np.asarray(array).astype(np.float32 if array.dtype.itemsize <= 2 else np.float64)
    return array


def _numbers(n_components: int | Sequence[int], arrays: Sequence[Samples]) -> list[int]:
    given: Any = n_components  # whatever NumPy takes for a number or several
    numbers = [given] * len(arrays) if np.ndim(given) == 0 else list(given)
    if len(numbers) != len(arrays):
        raise ValueError(f"n_components has {len(numbers)} entries for {len(arrays)} sets of features")
    for i, (number, array) in enumerate(zip(numbers, arrays, strict=True)):
        if number != int(number) or number < 1:
            raise ValueError(f"n_components must be integers of at least 1, got {number!r}")
        if 2 <= len(array) < number:
            raise ValueError(
                f"Expected n_samples >= n_components but got n_components = {number}, "
                f"n_samples = {len(array)} for features[{i}]"
            )
    return [int(n) for n in numbers]


def check_options(
    covariance_type: str, tol: float, reg_covar: float, max_iter: int, n_init: int, init_params: str
) -> None:
    """Raises ValueError, naming it, where an argument of `fit_mixtures` is out of its range."""
    if covariance_type not in COVARIANCE_TYPES:
        raise ValueError(f"covariance_type must be one of {COVARIANCE_TYPES}, got {covariance_type!r}")
    if init_params not in INITIALISATIONS:
        raise ValueError(f"init_params must be one of {INITIALISATIONS}, got {init_params!r}")
    for name, value, least in (("tol", tol, 0), ("max_iter", max_iter, 1), ("n_init", n_init, 1)):
        if not value >= least:
            raise ValueError(f"{name} must be at least {least}, got {value!r}")
    if not reg_covar > 0:
        raise ValueError(f"reg_covar must be positive, got {reg_covar!r}")


def check_prior(covariance_prior: str, covariance_type: str) -> None:
    """Raises ValueError where a prior is unknown or not of this type of covariance."""
    if covariance_prior not in PRIORS:
        raise ValueError(f"covariance_prior must be one of {PRIORS}, got {covariance_prior!r}")
    if covariance_prior and covariance_type != "full":
        raise ValueError(
            f"covariance_prior={covariance_prior!r} shrinks full covariances only; "
            f"use covariance_type='full', not {covariance_type!r}, or covariance_prior=''"
        )


def _given(responsibilities: np.ndarray, array: Samples, number: int) -> np.ndarray:
    given = np.asarray(responsibilities, array.dtype)
    if given.shape != (len(array), number):
        raise ValueError(f"responsibilities must have shape {(len(array), number)}, got {given.shape}")
    if not np.isfinite(given).all() or (given < 0).any():
        raise ValueError("responsibilities must be finite and not negative")
    return given


def fit(
    arrays: Sequence[Samples],
    components: Sequence[int],
    options: Options,
    generators: Sequence[np.random.Generator],
    *,
    tol: float,
    max_iter: int,
    n_init: int = 1,
    init_params: str = "kmeans",
    starts: Sequence[Start] | None = None,
    weights: Sequence[np.ndarray] | None = None,
    report: Report | None = None,
    finish: Callable[[int, Mixture], Mixture] | None = None,
) -> list[Mixture]:
    """`fit_mixtures` for checked arguments.

    Args:
        starts: one a mixture, or None.
        weights: of the samples (N_i,), one array a mixture; None counts each as one.
        report: called as report(start, iteration, bounds (M,)) after every iteration, and with
            iteration 0 when a start begins.
        finish: called as finish(index, mixture) when a mixture is done; what it returns is kept.
    """
    everything, given = arrays, weights
    if weights is not None:
        arrays, weights, starts = _without_absent(everything, weights, components, starts)
    dim = arrays[0].shape[1] if len(arrays) else 0
    results = [Mixture(TOO_FEW, options.covariance_type, len(a), dim) for a in everything]
    kinds = working_types(arrays, options.device_list())
    for dtype in (np.float32, np.float64):
        usable = [i for i, a in enumerate(arrays) if len(a) >= 2 and kinds[i] == dtype]
        if not usable:
            continue
        with jax.enable_x64(True):
            for group in plan(
                [len(arrays[i]) for i in usable], [components[i] for i in usable], dim, dtype, options
            ):
                members = [usable[i] for i in group.members]
                with one_thread:
                    fitted = _fit_group(
                        group,
                        [arrays[i] for i in members],
                        options,
                        [generators[i] for i in members],
                        [starts[i] if starts else Start() for i in members],
                        [weights[i] for i in members] if weights else None,
                        tol=tol,
                        max_iter=max_iter,
                        n_init=n_init,
                        init_params=init_params,
                        report=report,
                    )
                for i, mixture in zip(members, fitted, strict=True):
                    if starts is not None and starts[i].responsibilities is not None:
                        mixture = replace(mixture, from_given=True)
                    if given is not None:
                        mixture = with_absent(mixture, everything[i], given[i], options.devices)
                    results[i] = finish(i, mixture) if finish else mixture
    return results


def _without_absent(
    arrays: Sequence[Samples],
    weights: Sequence[np.ndarray],
    components: Sequence[int],
    starts: Sequence[Start] | None,
) -> tuple[list[Samples], list[np.ndarray], Sequence[Start] | None]:
    """Samples, weights and starts without the samples of weight zero.

    Raises:
        ValueError: fewer samples with weight than components, though more than one.
    """
    found = [present_rows(array, weight) for array, weight in zip(arrays, weights, strict=True)]
    for i, (number, (array, _)) in enumerate(zip(components, found, strict=True)):
        if 2 <= len(array) < number:
            raise ValueError(
                f"Expected n_samples >= n_components but got n_components = {number}, "
                f"n_samples = {len(array)} with weight for features[{i}]"
            )
    if starts is not None:
        starts = [
            start
            if start.responsibilities is None
            else replace(start, responsibilities=start.responsibilities[rows])
            for start, (_, rows) in zip(starts, found, strict=True)
        ]
    kept = [weight[rows] for weight, (_, rows) in zip(weights, found, strict=True)]
    return [array for array, _ in found], kept, starts


def _fit_group(
    group: Group,
    arrays: Sequence[Samples],
    options: Options,
    generators: Sequence[np.random.Generator],
    starts: Sequence[Start],
    weights: Sequence[np.ndarray] | None,
    *,
    tol: float,
    max_iter: int,
    n_init: int,
    init_params: str,
    report: Report | None,
) -> list[Mixture]:
    devices = options.device_list()
    centres = centres_of(arrays, devices)
    counted = weights
    if weights is not None and not options.covariance_prior:
        counted = scaled(weights)  # priors alone ask for how many samples the weights stand
    engine = make_engine(group, arrays, centres, options, weights=counted)
    best: list[Mixture | None] = [None] * len(arrays)
    for attempt in range(n_init):
        if report:
            report(attempt, 0, None)
        _initialise(engine, starts, generators, init_params, centres, weights)
        previous = [s.lower_bound for s in starts]
        bounds, converged = _iterate(engine, tol, max_iter, previous, attempt, report)
        engine.step(np.zeros(len(arrays), bool), maximise=False)
        _keep_better(best, engine, group, options, centres, bounds, converged)
    return [mixture for mixture in best if mixture is not None]  # there is at least one attempt


def _initialise(
    engine: Engine,
    starts: Sequence[Start],
    generators: Sequence[np.random.Generator],
    init_params: str,
    centres: np.ndarray,
    weights: Sequence[np.ndarray] | None,
) -> None:
    responsibilities = [s.responsibilities for s in starts]
    if not all(s.complete or s.responsibilities is not None for s in starts):
        drawn = _draw_responsibilities(engine, generators, init_params, weights)
        responsibilities = [d if r is None else r for d, r in zip(drawn, responsibilities, strict=True)]
    engine.start([None if s.complete else r for s, r in zip(starts, responsibilities, strict=True)])
    given = {}
    for m, start in enumerate(starts):
        values = (start.weights, start.means, start.precisions_cholesky)
        if any(v is not None for v in values):
            own = engine.parameters(m, centres[m])
            chosen = [o if v is None else v for o, v in zip(own, values, strict=True)]
            given[m] = Start(None, chosen[0], chosen[1], chosen[2])
    if given:
        engine.load(given, centres)


def _draw_responsibilities(
    engine: Engine,
    generators: Sequence[np.random.Generator],
    init_params: str,
    weights: Sequence[np.ndarray] | None,
) -> list[np.ndarray]:
    layout, dtype = engine.layout, engine.everywhere[0].dtype
    shapes = [(int(n), int(k)) for n, k in zip(layout.sizes, layout.components, strict=True)]
    if init_params == "random":
        drawn = [g.random(shape) for g, shape in zip(generators, shapes, strict=True)]
        return [(d / d.sum(axis=1, keepdims=True)).astype(dtype) for d in drawn]
    if init_params == "random_from_data":
        of = [*weights] if weights else [None] * len(shapes)
        seeds = [chosen_seeds(g, w, *shape) for g, w, shape in zip(generators, of, shapes, strict=True)]
        return _one_hot(shapes, seeds, weights, dtype)
    by = None if weights is None else [weight.astype(dtype) for weight in scaled(weights)]
    firsts = None if weights is None else first_seeds(generators, weights)
    if init_params == "k-means++":
        seeds = kmeans_plusplus(engine.everywhere, layout, generators, weights=by, firsts=firsts)
        return _one_hot(shapes, seeds, weights, dtype)
    labels = kmeans(engine.everywhere, layout, generators, weights=by, firsts=firsts)
    return [np.eye(k, dtype=dtype)[label] for label, (_, k) in zip(labels, shapes, strict=True)]


def _one_hot(
    shapes: Sequence[tuple[int, int]],
    seeds: Sequence[np.ndarray],
    weights: Sequence[np.ndarray] | None,
    dtype: np.dtype,
) -> list[np.ndarray]:
    """Responsibilities of the seeds alone, each of which counts as much as another, whatever its weight."""
    result = [np.zeros(shape, dtype) for shape in shapes]
    for m, (one, rows) in enumerate(zip(result, seeds, strict=True)):
        one[rows, np.arange(len(rows))] = 1 if weights is None else 1 / scaled([weights[m]])[0][rows]
    return result


def _iterate(
    engine: Engine,
    tol: float,
    max_iter: int,
    previous: Sequence[float | None],
    attempt: int,
    report: Report | None,
) -> tuple[list[list[float]], np.ndarray]:
    """EM until every mixture converged: their lower bounds, one an iteration, and which converged."""
    mixtures = len(engine.layout.sizes)
    history: list[list[float]] = [[] for _ in range(mixtures)]
    last = np.array([np.nan if p is None else p for p in previous])
    following = ~engine.failed()
    converged = np.zeros(mixtures, bool)
    for iteration in range(max_iter):
        bounds = engine.step(following)
        for m in np.flatnonzero(following):
            history[m].append(float(bounds[m]))
            converged[m] = abs(bounds[m] - last[m]) < tol
        last = np.where(following, bounds, last)
        if report:
            report(attempt, iteration + 1, bounds)
        following &= ~converged & ~engine.failed()
        if not following.any():
            break
    return history, converged


def _labels(engine: Engine) -> list[np.ndarray]:
    """The likeliest component (rows,) of the rows of this process's shards."""
    found = []
    for shard, scores in zip(engine.shards, engine.scores(), strict=True):
        labels = np.zeros(shard.count, np.int32)
        for k, low, high in zip(engine.layout.components, shard.starts, shard.starts[1:], strict=False):
            labels[low:high] = scores[:k, low:high].argmax(axis=0)
        found.append(labels)
    return found


def _last(bounds: np.ndarray) -> float:
    return float(bounds[-1]) if len(bounds) else -np.inf


def _keep_better(
    best: list[Mixture | None],
    engine: Engine,
    group: Group,
    options: Options,
    centres: np.ndarray,
    history: Sequence[Sequence[float]],
    converged: np.ndarray,
) -> None:
    norms = group.split(engine.everywhere, all_gather(engine.everywhere, engine.norms, np.float64))
    labels = group.split(engine.everywhere, all_gather(engine.everywhere, _labels(engine), np.int32))
    failed = engine.failed()
    work = getattr(engine, "work", None)
    padded = work.padded / work.flops if work and work.flops else 0.0
    for m, norm in enumerate(norms):
        bounds = np.array(history[m])
        old = best[m]
        if (
            old is not None
            and old.status == FITTED
            and (failed[m] or _last(bounds) <= _last(old.lower_bounds))
        ):
            continue
        size, dim = int(group.layout.sizes[m]), group.layout.dim
        if failed[m]:
            best[m] = Mixture(ILL_DEFINED, options.covariance_type, size, dim)
            continue
        weights, means, factors = engine.parameters(m, centres[m])
        best[m] = Mixture(
            FITTED,
            options.covariance_type,
            size,
            dim,
            weights,
            means,
            factors,
            bool(converged[m]),
            len(bounds),
            bounds,
            norm.copy(),
            labels[m],
            padded,
        )
