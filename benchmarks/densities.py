"""Which densities still rank regions correctly when there are few regions.

    python benchmarks/densities.py [--sizes=300,900,2500,7400] [--seeds=5] [--methods=...] [--seconds=330]

A class's features have eight modes. Two of them, 0.36 of the target, are nearly absent from the source, which
has twice as many regions. pi = log p_T - log p_S (Eq. 2) should find these two. The table shows

- absent: their share among the tenth of the target's regions with the largest pi; 0.36 by chance,
- size: Spearman's correlation of log p_T with the number of regions in a region's own component (of the
  paper's mixture); a density that is lower where there are more regions is upside down,
- CPU s: processor seconds of fits and log densities.

Values are means and standard deviations over seeds. Seconds are medians, because the first seed includes the
compilation.
"""

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from absl import app, flags
from scipy.special import gammaln
from scipy.stats import spearmanr
from sklearn.decomposition import PCA
from sklearn.neighbors import NearestNeighbors

from adeada_jax.bench.mixtures.synthetic import ABSENT_MODES, mode_pair
from adeada_jax.command_line import run_app
from adeada_jax.errors import InputError
from adeada_jax.evaluation import tables
from adeada_jax.method.densities.gmm import Gmm
from adeada_jax.mixtures import Mixture, fit_mixtures, score_mixtures

_SIZES = flags.DEFINE_list(
    "sizes", ["300", "900", "2500", "7400"], "Numbers of target regions, N_T, e.g. --sizes=300,900."
)
_SEEDS = flags.DEFINE_integer(
    "seeds", 5, "Number of random draws of the features for each size.", lower_bound=1
)
_DIM = flags.DEFINE_integer("dim", 256, "Number of features of a region, D.", lower_bound=2)
_METHODS = flags.DEFINE_list("methods", None, "Densities to compare, by name. By default all of them.")
_SECONDS = flags.DEFINE_float("seconds", 330.0, "Time limit in seconds: fits not begun by then are left out.")

# log p_T and log p_S (N_T,) in nats of the target's regions (N_T, D), given the source's (N_S, D).
Pair = tuple[np.ndarray, np.ndarray]


def fitted(
    source: np.ndarray, target: np.ndarray, seed: int, density: Gmm | None = None
) -> tuple[Mixture, Mixture]:
    """The one class's pair of fits."""
    seeds = [[(seed, 0)], [(seed, 1)]]
    ((of_source, of_target),) = (density or Gmm()).fit([source], [target], seeds=seeds, devices=None)
    assert isinstance(of_source, Mixture)  # else a word says why there is none
    assert isinstance(of_target, Mixture)
    return of_source, of_target


def mixtures(source: np.ndarray, target: np.ndarray, seed: int, **options: Any) -> Pair:
    """Gaussian mixtures as a run has them."""
    density = Gmm(**options)
    of_source, of_target = fitted(source, target, seed, density)
    log_target = density.log_density([of_target], [target], devices=None)[0]
    return log_target, density.log_density([of_source], [target], devices=None)[0]


def projected(source: np.ndarray, target: np.ndarray, seed: int, *, dim: int, **options: Any) -> Pair:
    """Mixtures of the leading principal components of both domains' features."""
    pca = PCA(min(dim, source.shape[1]), random_state=seed).fit(np.concatenate([source, target]))
    near_source, near_target = (pca.transform(of).astype(np.float32) for of in (source, target))
    return mixtures(near_source, near_target, seed, **options)


def cross_fitted(
    source: np.ndarray, target: np.ndarray, seed: int, *, folds: int = 5, **options: Any
) -> Pair:
    """Each target region is asked of a mixture that was fitted without it."""
    components = Gmm().wanted(len(target))
    part = np.random.default_rng(seed).permutation(len(target)) % folds
    kept = [target[part != fold] for fold in range(folds)]
    of_source, *of_target = fit_mixtures([source, *kept], components, seed=seed, **options)
    asked = [target[part == fold] for fold in range(folds)]
    log_source, *found = score_mixtures([of_source, *of_target], [target, *asked])
    log_target = np.empty(len(target))
    for fold, values in enumerate(found):
        log_target[part == fold] = values
    return log_target, log_source


def neighbours(source: np.ndarray, target: np.ndarray, seed: int, *, number: int = 5) -> Pair:
    """K / (N V r^D), with r the distance to the k-th nearest other region and V the unit ball's volume."""
    del seed
    dim = target.shape[1]
    volume = 0.5 * dim * np.log(np.pi) - gammaln(0.5 * dim + 1)

    def log_density(samples: np.ndarray, *, itself: int) -> np.ndarray:
        searched = NearestNeighbors(n_neighbors=number + itself, algorithm="brute").fit(samples)
        radius = searched.kneighbors(target)[0][:, -1].astype(np.float64)
        return np.log(number / (len(samples) - itself)) - volume - dim * np.log(np.maximum(radius, 1e-12))

    return log_density(target, itself=1), log_density(source, itself=0)


def shrunk(prior: str) -> Callable[..., Pair]:
    return lambda *inputs: mixtures(*inputs, covariance_prior=prior)


METHODS: dict[str, Callable[[np.ndarray, np.ndarray, int], Pair]] = {
    "full 1e-6": lambda *inputs: mixtures(*inputs),
    "full 1e-3": lambda *inputs: mixtures(*inputs, reg_covar=1e-3),
    "ledoit_wolf": shrunk("ledoit_wolf"),
    "oas": shrunk("oas"),
    "diag": lambda *inputs: mixtures(*inputs, covariance_type="diag"),
    "PCA 32": lambda *inputs: projected(*inputs, dim=32),
    "cross-fitted 1e-6": lambda *inputs: cross_fitted(*inputs),
    "cross-fitted ledoit_wolf": lambda *inputs: cross_fitted(*inputs, covariance_prior="ledoit_wolf"),
    "kNN 5": lambda *inputs: neighbours(*inputs),
}


def measure(
    name: str, source: np.ndarray, target: np.ndarray, seed: int, absent: np.ndarray, sizes: np.ndarray
) -> tuple[float, float, float]:
    """A method's share of absent modes, correlation with the own component's size, and CPU seconds.

    Args:
        name: of the method. source: (N_S, D). target: (N_T, D). seed: of its draws.
        absent: (N_T,) bool, regions whose mode the source lacks.
        sizes: (N_T,) regions of the own component.
    """
    began = time.process_time()
    log_target, log_source = METHODS[name](source, target, seed)
    seconds = time.process_time() - began
    top = np.argsort(log_source - log_target, kind="stable")[: max(1, len(target) // 10)]
    # Of a single component, below 200 regions, there is nothing to correlate with.
    correlation = spearmanr(log_target, sizes).statistic if np.ptp(sizes) else np.nan
    return absent[top].mean(), correlation, seconds


def component_sizes(source: np.ndarray, target: np.ndarray, seed: int) -> np.ndarray:
    """(N_T,) regions of each region's own component of the paper's mixture."""
    labels = fitted(source, target, seed)[1].labels
    assert labels is not None  # a fit has them
    return np.bincount(labels)[labels]


def told(found: Sequence[tuple[float, float, float]]) -> tuple[str, str, str]:
    """Of what `measure` gives for each seed, as the table has it."""
    (absent, size, _), (absent_spread, size_spread, _) = np.mean(found, axis=0), np.std(found, axis=0)
    seconds = np.median(found, axis=0)[2]
    return f"{absent:.2f} ± {absent_spread:.2f}", f"{size:+.2f} ± {size_spread:.2f}", f"{seconds:.2f}"


def main(argv: list[str]) -> None:
    if len(argv) > 1:
        raise app.UsageError(f"unexpected argument '{argv[1]}'")
    names = _METHODS.value or list(METHODS)
    if unknown := [name for name in names if name not in METHODS]:
        raise InputError(f"--methods: unknown {unknown}; known: {', '.join(METHODS)}")
    end, left_out = time.monotonic() + _SECONDS.value, []
    for size in map(int, _SIZES.value):
        found: dict[str, list[Any]] = {name: [] for name in names}
        for seed in range(_SEEDS.value):
            target, source = mode_pair(seed, size, 2 * size, dim=_DIM.value)
            inputs = source.features, target.features, seed
            sizes = component_sizes(*inputs)
            for name in names:
                if time.monotonic() > end:
                    left_out.append(f"N_T {size}, seed {seed}, {name}")
                    continue
                found[name].append(measure(name, *inputs, target.classes < ABSENT_MODES, sizes))
        rows = [(name, *told(of)) for name, of in found.items() if of]
        print(f"\nN_T {size}, N_S {2 * size}, D {_DIM.value}, {_SEEDS.value} seeds\n")
        print(tables.markdown(("density", "absent", "size", "CPU s"), rows), flush=True)
    if left_out:
        print(f"\nLeft out after {_SECONDS.value:.0f} s: {'; '.join(left_out)}")


if __name__ == "__main__":
    run_app(main)
