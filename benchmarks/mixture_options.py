r"""Times what scikit-learn's mixture lacks or does one by one: weights, blocks, streams and the choice of K.

    python benchmarks/mixture_options.py [--samples=30000] [--dim=64]

Every row has its counterpart in scikit-learn, in the same process: repeated samples for weights, samples in
memory for blocks and streams, one fit after another for the choice of K. Both fit float32 samples with full
covariances, in twenty iterations from k-means of their own. A time is of a second fit, so nothing compiles;
scikit-learn has its default threads.
"""

import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
from absl import app, flags
from sklearn.mixture import GaussianMixture as ScikitLearns

from adeada_jax.bench.mixtures.synthetic import mode_pair
from adeada_jax.mixtures import GaussianMixture, choose_components, fit_blocks

_SAMPLES = flags.DEFINE_integer("samples", 30_000, "Number of samples, N.", lower_bound=1000)
_DIM = flags.DEFINE_integer("dim", 64, "Number of features, D.", lower_bound=1)
_COMPONENTS = 8
_CANDIDATES = tuple(range(1, 11))
_OPTIONS: dict[str, Any] = {"max_iter": 20, "tol": 0.0}
_BLOCKS = 10
_HEAVIEST = 5  # samples weigh 1 to this

T = TypeVar("T")


def timed(call: Callable[[], T]) -> tuple[float, T]:
    """Seconds of a call, and what it returns."""
    began = time.perf_counter()
    found = call()
    return time.perf_counter() - began, found


def warm(call: Callable[[], T]) -> tuple[float, T]:
    """Seconds of a second call, and what it returns."""
    call()
    return timed(call)


def scikit_learns(rows: np.ndarray, number: int = _COMPONENTS) -> ScikitLearns:
    return ScikitLearns(number, random_state=0, **_OPTIONS).fit(rows)


def show(what: str, ours: float, theirs: float, our_nats: float, their_nats: float, told: str) -> None:
    numbers = f"{ours:.2f} | {theirs:.2f} | {theirs / ours:.2g} | {our_nats:.3f} | {their_nats:.3f}"
    print(f"| {what} | {numbers} | {told} |", flush=True)


def weights(rows: np.ndarray) -> None:
    """Weighted samples, there repeated ones."""
    weight = np.random.default_rng(1).integers(1, _HEAVIEST + 1, len(rows))
    repeated = np.repeat(rows, weight, axis=0)
    ours, model = warm(
        lambda: GaussianMixture(_COMPONENTS, random_state=0, **_OPTIONS).fit(rows, sample_weight=weight)
    )
    theirs, reference = timed(lambda: scikit_learns(repeated))
    told = f"{weight.sum():,} repeated samples there"
    show("`sample_weight`", ours, theirs, model.score(repeated), reference.score(repeated), told)


def blocks(rows: np.ndarray, theirs: float, their_nats: float) -> None:
    """Samples in a file, read block by block."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "samples.npy"
        np.save(path, rows)
        mapped = np.load(path, mmap_mode="r")
        seconds, mixture = warm(lambda: fit_blocks(mapped, _COMPONENTS, **_OPTIONS))
    show("`fit_blocks`, from a file", seconds, theirs, mixture.log_likelihood, their_nats, "in memory there")


def stream(rows: np.ndarray, theirs: float, their_nats: float) -> None:
    """Each block seen once."""

    def fit() -> GaussianMixture:
        model = GaussianMixture(_COMPONENTS, random_state=0, **_OPTIONS)
        for block in np.array_split(rows, _BLOCKS):
            model = model.partial_fit(block)
        return model

    seconds, model = warm(fit)
    told = f"{_BLOCKS} blocks, each seen once; all iterations there"
    show("`partial_fit`", seconds, theirs, model.score(rows), their_nats, told)


def choice(rows: np.ndarray) -> None:
    """K by BIC: all candidates at once, there one after another."""
    ours, chosen = warm(lambda: choose_components(rows, _CANDIDATES, **_OPTIONS))
    theirs, models = timed(lambda: [scikit_learns(rows, number) for number in _CANDIDATES])
    best = min(models, key=lambda model: model.bic(rows))
    told = (
        f"K = {chosen.n_components} here, {best.n_components} there, of {_CANDIDATES[0]} to {_CANDIDATES[-1]}"
    )
    our_nats = chosen.mixture.log_likelihood
    show("`choose_components`, BIC", ours, theirs, our_nats, best.score(rows), told)


def main(argv: list[str]) -> None:
    del argv
    warnings.simplefilter("ignore")
    rows = mode_pair(0, _SAMPLES.value, 100, dim=_DIM.value)[0].features
    print("| | ours, s | scikit-learn, s | ratio | ours, nats | scikit-learn, nats | |")
    print("| --- | ---: | ---: | ---: | ---: | ---: | --- |", flush=True)
    ours, model = warm(lambda: GaussianMixture(_COMPONENTS, random_state=0, **_OPTIONS).fit(rows))
    theirs, reference = timed(lambda: scikit_learns(rows))
    their_nats = reference.score(rows)
    show("`fit`", ours, theirs, model.score(rows), their_nats, "")
    weights(rows)
    blocks(rows, theirs, their_nats)
    stream(rows, theirs, their_nats)
    choice(rows)


if __name__ == "__main__":
    app.run(main)
