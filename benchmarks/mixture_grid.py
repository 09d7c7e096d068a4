r"""Times one mixture after another against scikit-learn's, over sizes and covariance types.

    python benchmarks/mixture_grid.py [--sizes=100,1000,10000,100000] [--dims=2,16,64,256,512] \
        [--components=1,5,30] [--most=20] [--seconds=900]

Both estimators fit the same float32 samples, each from its own k-means, with ten iterations and no tolerance.
A time is the shortest of a few, after one fit that compiles. scikit-learn's is the shorter of two: with its
default threads, and with one. Once a fit takes it longer than --most seconds, larger fits of that covariance
type are left out, and so is everything not begun after --seconds.
"""

import itertools
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
from absl import app, flags
from sklearn.mixture import GaussianMixture as ScikitLearns
from threadpoolctl import ThreadpoolController

from adeada_jax.mixtures import GaussianMixture
from adeada_jax.mixtures.engines import COVARIANCE_TYPES

_SIZES = flags.DEFINE_list(
    "sizes", ["100", "1000", "10000", "100000"], "Numbers of samples, N, e.g. --sizes=100,1000."
)
_DIMS = flags.DEFINE_list(
    "dims", ["2", "16", "64", "256", "512"], "Numbers of features, D, e.g. --dims=2,64."
)
_COMPONENTS = flags.DEFINE_list(
    "components", ["1", "5", "30"], "Numbers of mixture components, K. Those above a tenth of N are left out."
)
_MOST = flags.DEFINE_float(
    "most", 20.0, "Once a fit takes scikit-learn longer than this many seconds, larger fits are left out."
)
_SECONDS = flags.DEFINE_float("seconds", 900.0, "Time limit in seconds: fits not begun by then are left out.")
_REPEATS = 5
_ENOUGH = 0.3  # seconds of repeating

Fit = Callable[[], object]


def samples(size: int, dim: int, number: int) -> np.ndarray:
    """`(N, D)` float32 around K centres, with spreads from 0.3 to 3."""
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(number, dim)) * 2
    spread = np.geomspace(0.3, 3, dim)
    drawn = centres[rng.integers(0, number, size)] + rng.normal(size=(size, dim)) * spread
    return drawn.astype(np.float32)


def least(fit: Fit) -> float:
    """Seconds of the quickest of a few fits."""
    found: list[float] = []
    while not found or (len(found) < _REPEATS and sum(found) < _ENOUGH):
        began = time.perf_counter()
        fit()
        found.append(time.perf_counter() - began)
    return min(found)


def scikit_learns(fit: Fit, libraries: ThreadpoolController) -> float | None:
    """Seconds with as many threads as it takes, or with one; None where it fails."""
    try:
        many = least(fit)
        with libraries.limit(limits=1):
            return min(many, least(fit))
    except ValueError:
        return None


def cells() -> Iterator[tuple[int, int, int]]:
    """N, D and K, the small ones first."""
    sizes, dims, numbers = ([int(text) for text in flag.value] for flag in (_SIZES, _DIMS, _COMPONENTS))
    listed = [cell for cell in itertools.product(sizes, dims, numbers) if cell[2] * 10 <= cell[0]]
    yield from sorted(listed, key=lambda cell: cell[0] * cell[1] * cell[2])


def measured(
    cell: tuple[int, int, int], kind: str, libraries: ThreadpoolController
) -> tuple[float, float | None]:
    """Seconds of ours and of scikit-learn's."""
    size, dim, number = cell
    rows = samples(size, dim, number)
    options: dict[str, Any] = {"covariance_type": kind, "max_iter": 10, "tol": 0.0, "random_state": 0}
    theirs = scikit_learns(lambda: ScikitLearns(number, **options).fit(rows), libraries)
    GaussianMixture(number, **options).fit(rows)
    return least(lambda: GaussianMixture(number, **options).fit(rows)), theirs


def main(argv: list[str]) -> None:
    del argv
    warnings.simplefilter("ignore")
    began, libraries = time.monotonic(), ThreadpoolController()
    done: dict[str, list[float]] = {kind: [] for kind in COVARIANCE_TYPES}
    heaviest, left_out, failed = dict.fromkeys(COVARIANCE_TYPES, np.inf), 0, 0
    print("| N | D | K | " + " | ".join(f"{kind}: ms, ratio" for kind in COVARIANCE_TYPES) + " |")
    print("| ---: " * (3 + len(COVARIANCE_TYPES)) + "|", flush=True)
    for cell in cells():
        told = []
        for kind in COVARIANCE_TYPES:
            work = float(np.prod(cell)) * (cell[1] if kind in ("full", "tied") else 1)
            if time.monotonic() - began > _SECONDS.value or work > heaviest[kind]:
                told.append("")
                left_out += 1
                continue
            ours, theirs = measured(cell, kind, libraries)
            if theirs is None:
                told.append(f"{1e3 * ours:.3g}, fails")
                failed += 1
                continue
            if theirs > _MOST.value:
                heaviest[kind] = work
            done[kind].append(theirs / ours)
            told.append(f"{1e3 * ours:.3g}, {theirs / ours:.2g}")
        print(f"| {cell[0]:,} | {cell[1]} | {cell[2]} | " + " | ".join(told) + " |", flush=True)
    print("\nscikit-learn's time over ours: lowest, median, highest, and how many are below 1")
    for kind, ratios in done.items():
        if ratios:
            low, middle, high = np.quantile(ratios, [0, 0.5, 1])
            print(
                f"{kind}: {low:.2g}, {middle:.2g}, {high:.3g}; {sum(r < 1 for r in ratios)} of {len(ratios)}"
            )
    print(f"Left out: {left_out}; scikit-learn failed in {failed}.")


if __name__ == "__main__":
    app.run(main)
