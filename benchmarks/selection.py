"""Each strategy's selection step on synthetic region tables: time, and memory besides its input.

    python benchmarks/selection.py --regions=119000

The default is the paper's target: 119,000 regions of 2,975 images at 1024x2048, 256 features, 19 classes, and
a budget of 1% of the pixels. Every strategy runs in its own process; peak memory is what it needs above what
the process held with the table loaded. `compiling` starts with an empty compilation cache, `cached` with the
one that this left behind. `entropy_by_kl` is the strategy entropy with acquisition.class_shares=kl.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from absl import app, flags

if TYPE_CHECKING:
    from adeada_jax.method.regions import Regions

from adeada_jax.command_line import run_app

_REGIONS = flags.DEFINE_integer("regions", 119_000, "Number of target regions.", lower_bound=100)
_BUDGET = flags.DEFINE_float("budget", 0.01, "Budget as a fraction of the pixels.", 0.0, 1.0)
_STRATEGIES = flags.DEFINE_list(
    "strategies", None, "Strategies to time, e.g. --strategies=random,adeada. By default all of them."
)
_WORKER = flags.DEFINE_string(
    "worker", None, "Internal: set by the benchmark when it starts a process of its own. Strategy to run."
)

OPTIONS = {"alpha": 1.0, "beta": 1.0, "schedule": "half", "class_balance": True}

# Strategies with an option: what they are called here, the strategy, the option.
VARIANTS: dict[str, tuple[str, dict[str, str]]] = {"entropy_by_kl": ("entropy", {"class_shares": "kl"})}


def table(number: int) -> "Regions":
    """Regions like a network's: skewed features in clusters, long-tailed classes, 40 regions an image."""
    from adeada_jax.bench.mixtures.synthetic import domain_pair
    from adeada_jax.method.regions import Regions

    target, _ = domain_pair(0, number, 100)
    features, classes = target.features, target.classes
    rng = np.random.default_rng(1)
    logits = rng.normal(size=(number, 19)).astype(np.float32) + 4 * np.eye(19, dtype=np.float32)[classes]
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    sorted_p = np.sort(probabilities, axis=1)
    images = -(-number // 40)
    return Regions(
        names=tuple(f"{i:05d}" for i in range(images)),
        image=np.repeat(np.arange(images, dtype=np.int32), 40)[:number],
        region=np.tile(np.arange(40, dtype=np.int32), images)[:number],
        pixels=rng.integers(20_000, 85_000, number),
        bought=np.where(rng.random(number) > 0.02, 0, 1),
        columns={
            "features": features,
            "probabilities": probabilities,
            "entropy": -(probabilities * np.log(probabilities)).sum(axis=1),
            "margin": sorted_p[:, -1] - sorted_p[:, -2],
            "confidence": sorted_p[:, -1],
            "density": rng.normal(size=number) * 1000,
            "edges": rng.random(number),
            "target_probability": rng.random(number),
            "second_best": sorted_p[:, -2] / sorted_p[:, -1],
            "predicted_shares": rng.dirichlet(np.full(19, 0.1), number).astype(np.float32),
        },
    )


def memory(entry: str) -> float:
    """This process's VmRSS (resident now) or VmHWM (at most since the last reset), in MB; Linux only."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(entry)) / 1024


def work(name: str) -> None:
    """Runs one strategy and prints what it took as JSON."""
    from adeada_jax.method.strategies.registry import create_strategy
    from adeada_jax.method.strategy import Request

    regions = table(_REGIONS.value)
    known, changes = VARIANTS.get(name, (name, {}))
    strategy = create_strategy(known, {**OPTIONS, **changes})
    budget = int(_BUDGET.value * regions.pixels.sum())
    Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")  # resets VmHWM
    base, start, cpu = memory("VmRSS"), time.perf_counter(), time.process_time()
    picks = strategy.select(regions, Request(1, budget, 0)).picks
    spent = int(regions.pixels[[pick.index for pick in picks]].sum())
    result = {
        "seconds": time.perf_counter() - start, "cpu": time.process_time() - cpu,
        "memory": memory("VmHWM") - base, "bought": len(picks), "spent": spent / budget,
    }  # fmt: skip
    print(json.dumps(result))


def measure(name: str, cache: str) -> dict[str, Any]:
    """One strategy in a process of its own."""
    command = [sys.executable, __file__, f"--worker={name}", f"--regions={_REGIONS.value}",
               f"--budget={_BUDGET.value}"]  # fmt: skip
    environment = {"JAX_COMPILATION_CACHE_DIR": cache, "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"}
    done = subprocess.run(command, env={**os.environ, **environment}, capture_output=True, encoding="utf-8")
    if done.returncode:
        raise RuntimeError(f"{name}: {done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def main(argv: list[str]) -> None:
    if len(argv) > 1:
        raise app.UsageError(f"unexpected argument '{argv[1]}'")
    if _WORKER.value:
        work(_WORKER.value)
        return
    from adeada_jax.method.strategies.registry import STRATEGIES

    print("| strategy | regions bought | of the budget | compiling s | cached s | CPU s | peak MB more |")
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: |")
    for name in _STRATEGIES.value or [*STRATEGIES, *VARIANTS]:
        with tempfile.TemporaryDirectory() as cache:
            first, second = measure(name, cache), measure(name, cache)
        print(
            f"| {name} | {second['bought']:,} | {100 * second['spent']:.2f} % | {first['seconds']:.1f} | "
            f"{second['seconds']:.1f} | {second['cpu']:.1f} | {second['memory']:.0f} |",
            flush=True,
        )


if __name__ == "__main__":
    run_app(main)
