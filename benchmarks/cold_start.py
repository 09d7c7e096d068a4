"""Seconds until many mixtures of unequal sizes are fitted: newly compiled, from a cache, and in memory.

    python benchmarks/cold_start.py [--regions=37500]

The job is that of a held-out set: one mixture for each of 19 classes in each of two domains. The domains have
the same number of regions, with 256 features; class sizes have a long tail, and K = 1 to 10 follows the
paper's rule. Both libraries begin with NumPy arrays and run their own k-means. Ours runs in two new processes
that share a cache of compiled programs, empty at first. scikit-learn runs in float32 with its default
threads; try OPENBLAS_NUM_THREADS=1 as well.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import TypedDict

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
from absl import app, flags

_REGIONS = flags.DEFINE_integer("regions", 37_500, "Number of regions in each domain.", lower_bound=100)
_FITS = flags.DEFINE_enum(
    "fits",
    None,
    ["ours", "theirs"],
    "Internal: set by the benchmark when it starts a process of its own. Which library to fit with.",
)


class Found(TypedDict):
    """Seconds of each fit, mean log-likelihood in nats, programs compiled and their seconds, failed fits."""

    seconds: list[float]
    nats: float
    programs: int
    compiling: float
    failed: int


def job(regions: int) -> tuple[list[np.ndarray], list[int]]:
    """Features and numbers of components of all mixtures."""
    from adeada_jax.bench.mixtures.synthetic import domain_pair
    from adeada_jax.method.densities.gmm import Gmm

    target, source = domain_pair(0, regions, regions)
    features, numbers = [], []
    for domain in (source, target):
        for c in range(19):
            counts = [int((one.classes == c).sum()) for one in (source, target)]
            if min(counts) >= 2:
                features.append(np.ascontiguousarray(domain.features[domain.classes == c]))
                numbers.append(min(Gmm().wanted(counts[1]), *counts))
    return features, numbers


def ours(features: list[np.ndarray], numbers: list[int]) -> Found:
    """Seconds of a first and a second fit in this process, programs compiled, and what they took."""
    import jax

    compiled: list[float] = []

    def note(event: str, duration_secs: float, **_: str | int) -> None:
        if event.endswith("backend_compile_duration"):
            compiled.append(duration_secs)

    jax.monitoring.register_event_duration_secs_listener(note)
    from adeada_jax.mixtures import fit_mixtures

    seconds = []
    for _ in range(2):
        began = time.perf_counter()
        fits = fit_mixtures(features, numbers)
        seconds.append(time.perf_counter() - began)
    quality = float(np.nanmean([fit.log_likelihood for fit in fits]))
    failed = sum(fit.status != "fitted" for fit in fits)
    return Found(
        seconds=seconds, nats=quality, programs=len(compiled), compiling=sum(compiled), failed=failed
    )


def theirs(features: list[np.ndarray], numbers: list[int]) -> Found:
    """Seconds of scikit-learn's fits, and how many failed."""
    from sklearn.mixture import GaussianMixture

    warnings.simplefilter("ignore")
    began, scores = time.perf_counter(), []
    for rows, number in zip(features, numbers, strict=True):
        try:
            scores.append(GaussianMixture(number, max_iter=200, random_state=0).fit(rows).lower_bound_)
        except ValueError:
            continue
    failed = len(features) - len(scores)
    seconds = [time.perf_counter() - began]
    return Found(seconds=seconds, nats=float(np.mean(scores)), programs=0, compiling=0.0, failed=failed)


def run(who: str, cache: str) -> Found:
    """What one of the two finds in a process of its own."""
    environment = {
        **os.environ,
        "JAX_COMPILATION_CACHE_DIR": cache,
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    }
    command = [sys.executable, __file__, f"--regions={_REGIONS.value}", f"--fits={who}"]
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, encoding="utf-8", check=True)
    found: Found = json.loads(done.stdout.splitlines()[-1])
    return found


def main(argv: list[str]) -> None:
    del argv
    if _FITS.value:
        fits = {"ours": ours, "theirs": theirs}[_FITS.value]
        print(json.dumps(fits(*job(_REGIONS.value))))
        return
    with tempfile.TemporaryDirectory() as cache:
        reference, first, second = run("theirs", cache), run("ours", cache), run("ours", cache)
    base = reference["seconds"][0]
    print("| | s | speed-up | programs | compiling, s | mean nats | failed |")
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: |")
    for name, seconds, found in (
        ("ours, compiling", first["seconds"][0], first),
        ("ours, programs from the disk cache", second["seconds"][0], second),
        ("ours, programs in memory", second["seconds"][1], second),
        ("scikit-learn float32", base, reference),
    ):
        told = f"{found['programs']} | {found['compiling']:.1f} | {found['nats']:.2f} | {found['failed']}"
        print(f"| {name} | {seconds:.1f} | {base / seconds:.1f} | {told} |")


if __name__ == "__main__":
    app.run(main)
