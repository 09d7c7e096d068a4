"""Mixtures of samples that come in blocks: EM with a pass over all of them an iteration, and online EM.

A block's sufficient statistics are taken about the means of its E step, so that neither an offset of the
samples nor a mean far from others cancels them. Everything is float64, and all pairs are computed.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from adeada_jax.mixtures.em import check_options, fit_mixtures
from adeada_jax.mixtures.factor import regularised_factor
from adeada_jax.mixtures.packing import bucket, chunks, given_parameters
from adeada_jax.mixtures.programs import HIGHEST
from adeada_jax.mixtures.result import FITTED, ILL_DEFINED, Mixture

# Cappé and Moulines ask for powers above 1/2, and find 0.6 best.
STEP_POWER, STEP_OFFSET = 0.6, 1


class Parameters(NamedTuple):
    """A mixture in float64: weights (K,), means (K, D) and covariances by type, without `reg_covar`."""

    weights: np.ndarray
    means: np.ndarray
    covariances: np.ndarray


class Statistics(NamedTuple):
    """Sums over samples by weight.

    Their log densities, responsibilities (K,), and by these the differences to the means (K, D) and their
    squares, (K, D, D) for full and tied covariances, else (K, D).
    """

    density: np.ndarray
    counts: np.ndarray
    sums: np.ndarray
    squares: np.ndarray


@partial(jax.jit, static_argnames="matrix")
def _expected(
    x: jax.Array, weight: jax.Array, means: jax.Array, roots: jax.Array, constants: jax.Array, *, matrix: bool
) -> tuple[tuple[jax.Array, ...], jax.Array, jax.Array]:
    """Statistics of a block, the log densities (B,) and the likeliest components (B,).

    One component at a time: a product over all at once would first copy the block for each.
    """

    def scored(part: tuple[jax.Array, ...]) -> jax.Array:
        mean, root, constant = part
        away = x - mean
        white = jnp.matmul(away, root, precision=HIGHEST) if matrix else away * root
        return constant - 0.5 * jnp.sum(white * white, axis=1)

    def summed(part: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        mean, share = part
        away = x - mean
        weighted = share[:, None] * away
        squares = (
            jnp.matmul(weighted.T, away, precision=HIGHEST) if matrix else jnp.sum(weighted * away, axis=0)
        )
        return weighted.sum(axis=0), squares

    scores = jax.lax.map(scored, (means, roots, constants))
    norms = jax.nn.logsumexp(scores, axis=0)
    resp = jnp.exp(scores - norms) * weight
    found = (jnp.sum(norms * weight), resp.sum(axis=1), *jax.lax.map(summed, (means, resp)))
    return found, norms, jnp.argmax(scores, axis=0)


@jax.jit
def _factored(covariances: jax.Array, reg_covar: float) -> tuple[jax.Array, jax.Array]:
    """U with U U^T the precision of each regularised covariance (M, D, D), and which were found (M,)."""
    unit = jnp.zeros(covariances.shape[1], bool)

    def one(covariance: jax.Array) -> tuple[jax.Array, jax.Array]:
        return regularised_factor(covariance, jnp.diagonal(covariance), reg_covar, unit)

    inverses, found = jax.lax.map(one, covariances)
    return jnp.swapaxes(inverses, 1, 2), found


def factors(parameters: Parameters, kind: str, reg_covar: float) -> np.ndarray | None:
    """`precisions_cholesky` of the regularised covariances; None where one is not positive definite."""
    covariances = parameters.covariances
    if kind in ("diag", "spherical"):
        variances = np.maximum(covariances, 0) + reg_covar
        return 1 / np.sqrt(variances) if (variances > 0).all() else None
    with jax.enable_x64(True):
        roots, found = _factored(covariances if kind == "full" else covariances[None], reg_covar)
    roots = np.asarray(roots)
    return (roots if kind == "full" else roots[0]) if np.asarray(found).all() else None


def expected(
    samples: np.ndarray, weight: np.ndarray | None, parameters: Parameters, roots: np.ndarray, kind: str
) -> tuple[Statistics, np.ndarray, np.ndarray]:
    """The E step of a block: its statistics, log densities (B,) in nats and likeliest components (B,).

    Args:
        samples: (B, D). weight: (B,) or None for ones.
        roots: `precisions_cholesky` of the parameters.
    """
    (number, dim), size = parameters.means.shape, len(samples)
    matrix = kind in ("full", "tied")
    roots = np.broadcast_to(
        roots[:, None] if kind == "spherical" else roots, (number, *(dim,) * (1 + matrix))
    )
    diagonal = np.diagonal(roots, axis1=1, axis2=2) if matrix else roots
    constants = np.log(np.maximum(parameters.weights, 1e-300)) + np.log(diagonal).sum(axis=1)
    rows = bucket(size, 128)  # blocks of like sizes share a program
    x, by = np.zeros((rows, dim)), np.zeros(rows)
    x[:size], by[:size] = samples, 1 if weight is None else weight
    constants -= 0.5 * dim * np.log(2 * np.pi)
    with jax.enable_x64(True):
        sums, norms, labels = _expected(x, by, parameters.means, roots, constants, matrix=matrix)
        found = Statistics(*(np.asarray(part) for part in sums))
    return found, np.asarray(norms)[:size], np.asarray(labels)[:size]


def maximised(found: Statistics, means: np.ndarray, kind: str) -> Parameters:
    """The M step from statistics about `means` (K, D)."""
    counts = found.counts + 10 * np.finfo(np.float64).eps
    shifts = found.sums / counts[:, None]
    if kind == "full":
        covariances = found.squares / counts[:, None, None] - shifts[:, :, None] * shifts[:, None, :]
    elif kind == "tied":
        covariances = (found.squares.sum(axis=0) - (counts * shifts.T) @ shifts) / counts.sum()
    else:
        covariances = found.squares / counts[:, None] - shifts**2
        covariances = covariances.mean(axis=1) if kind == "spherical" else covariances
    return Parameters(counts / counts.sum(), means + shifts, covariances)


def stepped(
    parameters: Parameters,
    samples: np.ndarray,
    weight: np.ndarray | None,
    kind: str,
    reg_covar: float,
    step: float,
) -> tuple[Parameters, float]:
    """A step of the online EM of Cappé and Moulines (2009).

    "On-line expectation-maximization algorithm for latent data models", Eq. 6 and 7: the statistics move to
    those of a block by `step`, then comes an M step.

    Returns:
        The parameters, and the mean log density of the block before the step.

    Raises:
        ValueError: a covariance is not positive definite.
    """
    roots = factors(parameters, kind, reg_covar)
    if roots is None:
        raise ValueError("a covariance is not positive definite; increase reg_covar")
    found, _, _ = expected(samples, weight, parameters, roots, kind)
    total = len(samples) if weight is None else weight.sum()
    old = _statistics(parameters, kind)
    mixed = Statistics(*((1 - step) * a + step * b / total for a, b in zip(old, found, strict=True)))
    return maximised(mixed, parameters.means, kind), float(found.density / total)


def _statistics(parameters: Parameters, kind: str) -> Statistics:
    """The statistics of one sample on average, about their own means, that give these parameters."""
    (number, dim), covariances = parameters.means.shape, parameters.covariances
    if kind in ("full", "tied"):
        squares = parameters.weights[:, None, None] * np.broadcast_to(covariances, (number, dim, dim))
    else:
        spread = covariances[:, None] if kind == "spherical" else covariances
        squares = parameters.weights[:, None] * np.broadcast_to(spread, (number, dim))
    return Statistics(np.zeros(()), parameters.weights, np.zeros((number, dim)), squares)


def parameters_of(mixture: Mixture, reg_covar: float) -> Parameters:
    """A fitted mixture's parameters in float64, its covariances without what was added to them."""
    weights, means, factors = given_parameters(mixture)
    wide = np.asarray(factors, np.float64)
    covariances = Mixture(
        FITTED, mixture.covariance_type, 0, mixture.num_features, precisions_cholesky=wide
    ).covariances
    matrix = mixture.covariance_type in ("full", "tied")
    added = reg_covar * np.eye(mixture.num_features) if matrix else reg_covar
    assert covariances is not None  # there are factors
    return Parameters(np.asarray(weights, np.float64), np.asarray(means, np.float64), covariances - added)


@dataclass(frozen=True)
class _Blocks:
    """The rows of an array, a few thousand at a time."""

    array: np.ndarray

    def __iter__(self) -> Iterator[np.ndarray]:
        return (part for _, part in chunks(self.array))


def fit_blocks(
    blocks: Iterable[np.ndarray],
    n_components: int,
    *,
    covariance_type: str = "full",
    tol: float = 1e-3,
    reg_covar: float = 1e-6,
    max_iter: int = 200,
    start: Mixture | None = None,
    seed: int = 0,
) -> Mixture:
    """Fit a mixture to samples that are too many to be held: EM with one pass over all blocks an iteration.

    Only a block is held at a time, and a log density and a label for every sample. Without `start` the
    parameters come from a fit to the first block (to the first that hold enough samples together, where they
    are small), so that should be a fair sample of all.

    Args:
        blocks: arrays (n, D) that can be gone through again and again: a list, an object whose `__iter__`
            starts anew, or one array (N, D), such as one mapped from a file, which is read piece by piece.
        n_components: K.
        covariance_type, tol, reg_covar, max_iter: as of `fit_mixtures`.
        start: a fitted mixture whose parameters EM starts from.
        seed: of the start from the first block.

    Raises:
        ValueError: a bad argument, by name; blocks that end after one pass, differ in width, are not finite
            or hold nothing.
    """
    if isinstance(blocks, np.ndarray):
        blocks = _Blocks(blocks)
    if iter(blocks) is blocks:
        raise ValueError(
            "blocks must be iterable more than once: a list, an array, or an object whose __iter__ starts "
            f"anew; a {type(blocks).__name__} ends after one pass"
        )
    check_options(covariance_type, tol, reg_covar, max_iter, 1, "kmeans")
    if start is None:
        first = _first_samples(blocks, max(2, n_components))
        (start,) = fit_mixtures(
            [first],
            n_components,
            tol=tol,
            max_iter=max_iter,
            seed=[seed],
            covariance_type=covariance_type,
            reg_covar=reg_covar,
        )
    if start.status != FITTED:
        return start
    given = (len(given_parameters(start)[0]), start.covariance_type)
    if given != (n_components, covariance_type):
        asked = (n_components, covariance_type)
        raise ValueError(f"start's number of components and covariance type are {given}, not {asked}")
    return _iterated(blocks, start, tol, reg_covar, max_iter)


def _first_samples(blocks: Iterable[np.ndarray], least: int) -> np.ndarray:
    """The first blocks that have at least so many samples together, all of them where there are fewer."""
    held: list[np.ndarray] = []
    for block in blocks:
        if len(block):
            held.append(np.asarray(block))
        if sum(map(len, held)) >= least:
            break
    if not held:
        raise ValueError("blocks must hold samples; they are empty")
    return held[0] if len(held) == 1 else np.concatenate(held)


def _iterated(
    blocks: Iterable[np.ndarray], start: Mixture, tol: float, reg_covar: float, max_iter: int
) -> Mixture:
    kind, dim = start.covariance_type, start.num_features
    parameters, roots = parameters_of(start, reg_covar), np.asarray(start.precisions_cholesky, np.float64)
    bounds: list[float] = []
    converged = False
    while True:
        total, norms, labels = _pass(blocks, parameters, roots, kind)
        size = len(norms)
        if converged or len(bounds) == max_iter:
            break
        bounds.append(float(total.density) / size)
        converged = len(bounds) > 1 and abs(bounds[-1] - bounds[-2]) < tol
        parameters = maximised(total, parameters.means, kind)
        found = factors(parameters, kind, reg_covar)
        if found is None:
            return Mixture(ILL_DEFINED, kind, size, dim)
        roots = found
    return Mixture(
        FITTED,
        kind,
        size,
        dim,
        parameters.weights,
        parameters.means,
        roots,
        converged,
        len(bounds),
        np.array(bounds),
        norms,
        labels.astype(np.int32),
    )


def _pass(
    blocks: Iterable[np.ndarray], parameters: Parameters, roots: np.ndarray, kind: str
) -> tuple[Statistics, np.ndarray, np.ndarray]:
    """Statistics of all blocks, and all samples' log densities and likeliest components."""
    total: Statistics | None = None
    norms, labels = [], []
    for i, block in enumerate(blocks):
        samples = np.asarray(block, np.float64)
        if samples.ndim != 2 or samples.shape[1] != parameters.means.shape[1]:
            raise ValueError(
                f"blocks[{i}] must have shape (n, {parameters.means.shape[1]}), got {samples.shape}"
            )
        if not np.isfinite(samples).all():
            raise ValueError(f"blocks[{i}] contains NaN or infinity; remove those samples")
        found, norm, label = expected(samples, None, parameters, roots, kind)
        total = found if total is None else Statistics(*map(np.add, total, found))
        norms.append(norm)
        labels.append(label)
    if total is None or not sum(map(len, norms)):
        raise ValueError("blocks hold no samples")
    return total, np.concatenate(norms), np.concatenate(labels)
