"""A contender in its own process: python -m adeada_jax.bench.mixtures.contender_worker DIR NAME OUT N."""

import json
import os
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from adeada_jax.bench.mixtures.contenders import CONTENDERS
from adeada_jax.bench.mixtures.problem import Problem


class PeakMemory:
    """Peak resident bytes of this process and its children above those when it was entered."""

    def __enter__(self) -> "PeakMemory":
        self._process = psutil.Process()
        self.base = self.peak = self._resident()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    @property
    def above(self) -> int:
        """Bytes above the base."""
        return self.peak - self.base

    def _resident(self) -> int:
        total = self._process.memory_info().rss
        for child in self._process.children(recursive=True):
            try:
                total += child.memory_info().rss
            except psutil.Error:
                continue
        return total

    def _watch(self) -> None:
        while not self._stop.wait(0.01):
            self.peak = max(self.peak, self._resident())


def matmul_rate(size: int = 4096, dim: int = 256, tries: int = 12) -> float:
    """FLOP/s of a float32 product (size, dim) x (dim, dim) here: the best of a few tries."""
    import jax
    import jax.numpy as jnp

    left, right = jnp.ones((size, dim)), jnp.ones((dim, dim))
    product = jax.jit(lambda a, b: jnp.matmul(a, b, precision=jax.lax.Precision.HIGHEST))
    jax.block_until_ready(product(left, right))
    best = np.inf
    for _ in range(tries):
        began = time.perf_counter()
        jax.block_until_ready(product(left, right))
        best = min(best, time.perf_counter() - began)
    return 2.0 * size * dim * dim / best


def _cpu_seconds() -> float:
    """Processor time of this process and of its children that ended."""
    return sum(os.times()[:4])


def run(directory: Path, name: str, out: Path, repeats: int) -> None:
    """Fit `repeats` times, and write times, fits and pi."""
    problem = Problem.load(directory)
    result: dict[str, Any] = {"name": name, "seconds": [], "cpu_seconds": [], "fit_seconds": []}
    result["matmul_rate"] = matmul_rate()
    try:
        with PeakMemory() as memory:
            for _ in range(repeats):
                began, cpu = time.perf_counter(), _cpu_seconds()
                fits, importance = CONTENDERS[name](problem, directory)
                result["seconds"].append(time.perf_counter() - began)
                result["cpu_seconds"].append(_cpu_seconds() - cpu)
                result["fit_seconds"].append(sum(fit.seconds for fit in fits))
                result.setdefault("peak_above_base", memory.above)
        result["fits"] = [fit.as_json() for fit in fits]
        if len(problem.classes[1]):
            np.save(out.with_suffix(".npy"), importance())
    except ImportError as error:
        result["error"] = f"not installed ({error.name})"
    except MemoryError:
        result["error"] = "out of memory"
    result["matmul_rate"] = max(result["matmul_rate"], matmul_rate())
    out.write_text(json.dumps(result), encoding="utf-8")


if __name__ == "__main__":
    run(Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3]), int(sys.argv[4]))
