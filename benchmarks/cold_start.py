"""Seconds until mixtures are fitted in a new process: newly compiled, from a cache, and in memory.

    python benchmarks/cold_start.py [--regions=37500]

There are two jobs. "many" is that of a held-out set: one mixture for each of 19 classes in each of two
domains. The domains have the same number of regions, with 256 features; class sizes have a long tail, and
K = 1 to 10 follows the paper's rule. "one" is a single mixture of 6,000 samples with 256 features, K = 6.

Both libraries begin with NumPy arrays and run their own k-means. Ours runs in two new processes that share a
cache of compiled programs, empty at the start of each job. scikit-learn runs in float32 with its default
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

_REGIONS = flags.DEFINE_integer(
    "regions", 37_500, 'Number of regions in each domain of the job "many".', lower_bound=100
)
_JOB = flags.DEFINE_enum(
    "job",
    None,
    ["many", "one"],
    "Internal: set by the benchmark when it starts a process of its own. What to fit.",
)
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


def many(regions: int) -> tuple[list[np.ndarray], list[int]]:
    """Features (N, 256) and numbers of components of a held-out set's mixtures."""
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


def one() -> tuple[list[np.ndarray], list[int]]:
    """Features (6000, 256) of a single mixture, and its number of components."""
    from adeada_jax.bench.mixtures.synthetic import mode_pair

    return [mode_pair(0, 6000, 1)[0].features], [6]


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


def run(who: str, job: str, cache: str) -> Found:
    """What one of the two libraries finds in a process of its own."""
    environment = {
        **os.environ,
        "JAX_COMPILATION_CACHE_DIR": cache,
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    }
    command = [sys.executable, __file__, f"--regions={_REGIONS.value}", f"--job={job}", f"--fits={who}"]
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, encoding="utf-8", check=True)
    found: Found = json.loads(done.stdout.splitlines()[-1])
    return found


def compare(job: str) -> None:
    """Prints a job's table."""
    with tempfile.TemporaryDirectory() as cache:
        reference, first, second = (run(who, job, cache) for who in ("theirs", "ours", "ours"))
    base = reference["seconds"][0]
    print(f"| {job} | s | speed-up | programs | compiling, s | mean nats | failed |")
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: |")
    for name, seconds, found in (
        ("ours, compiling", first["seconds"][0], first),
        ("ours, programs from the disk cache", second["seconds"][0], second),
        ("ours, programs in memory", second["seconds"][1], second),
        ("scikit-learn float32", base, reference),
    ):
        told = f"{found['programs']} | {found['compiling']:.1f} | {found['nats']:.2f} | {found['failed']}"
        print(f"| {name} | {seconds:.1f} | {base / seconds:.1f} | {told} |", flush=True)


def main(argv: list[str]) -> None:
    del argv
    if _FITS.value:
        fits = {"ours": ours, "theirs": theirs}[_FITS.value]
        print(json.dumps(fits(*(one() if _JOB.value == "one" else many(_REGIONS.value)))))
        return
    compare("many")
    print()
    compare("one")


if __name__ == "__main__":
    app.run(main)
