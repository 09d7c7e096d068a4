"""One EM iteration at N = 20,000, D = 256, K = 10: ours, a plain jitted EM and scikit-learn, in turn.

    python benchmarks/density_iteration.py [--samples=20000] [--dim=256] [--components=10] [--iterations=6]

Ours takes part twice: as it is, and with its task lists made on the device.
"""

import time
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from absl import app, flags

from adeada_jax.bench.mixtures.contender_worker import matmul_rate
from adeada_jax.bench.mixtures.list_place import lists_made_on
from adeada_jax.bench.mixtures.plain_em import our_engine, plain_iteration
from adeada_jax.bench.mixtures.problem import cluster_all
from adeada_jax.bench.mixtures.synthetic import domain_pair

_SAMPLES = flags.DEFINE_integer("samples", 20000, "Number of samples, N.")
_DIM = flags.DEFINE_integer("dim", 256, "Number of features, D.")
_COMPONENTS = flags.DEFINE_integer("components", 10, "Number of mixture components, K.")
_ITERATIONS = flags.DEFINE_integer(
    "iterations", 6, "Number of timed iterations of each implementation; they take turns."
)
_SCIKIT = flags.DEFINE_bool("scikit", True, "Include scikit-learn in the comparison.")


def scikit_model(features: np.ndarray, start: np.ndarray) -> Any:
    """scikit-learn's estimator after its start."""
    from sklearn.mixture import GaussianMixture

    model = GaussianMixture(start.shape[1])
    model._initialize(features, start)
    return model


def main(argv: list[str]) -> None:
    del argv
    number, dim, components = _SAMPLES.value, _DIM.value, _COMPONENTS.value
    _, source = domain_pair(0, 100, number, num_classes=1, dim=dim)
    features = source.features
    start = np.eye(components, dtype=np.float32)[cluster_all([features], [components], 0)[0]]
    names = ("ours", "ours, lists by the device", "plain JAX", "scikit-learn")
    times: dict[str, list[float]] = {name: [] for name in names}
    busy: dict[str, list[float]] = {name: [] for name in names}
    flops = 4.0 * number * components * dim**2
    with jax.enable_x64(True):
        engine, following = our_engine(features, start), np.ones(1, bool)
        with lists_made_on("device"):
            other = our_engine(features, start)
        engine.step(following), other.step(following)
    on_device, responsibilities = jnp.asarray(features), jnp.asarray(start)
    jax.block_until_ready(plain_iteration(on_device, responsibilities))
    model: Any = scikit_model(features, start) if _SCIKIT.value else None
    rates, ours = [], []

    def timed(name: str, call: Callable[[], object]) -> Any:
        began, worked = time.perf_counter(), time.process_time()
        found = jax.block_until_ready(call())
        times[name].append(time.perf_counter() - began)
        busy[name].append(time.process_time() - worked)
        return found

    def scikit_iteration() -> None:
        _, log_resp = model._e_step(features)
        model._m_step(features, log_resp)

    for _ in range(_ITERATIONS.value):
        rates.append(matmul_rate())
        with jax.enable_x64(True):
            before = engine.work.flops
            bound = timed("ours", lambda: (engine.step(following), engine.parts))[0][0]
            ours.append(engine.work.flops - before)
            timed("ours, lists by the device", lambda: (other.step(following), other.parts))
        plain, responsibilities = timed("plain JAX", partial(plain_iteration, on_device, responsibilities))
        if model is not None:
            timed("scikit-learn", scikit_iteration)
    rate = np.median(rates)
    print(f"N = {number}, D = {dim}, K = {components}; matmul {rate / 1e9:.0f} GFLOP/s; "
          f"mean log-likelihoods {bound:.4f} (ours), {float(plain):.4f} (plain)")  # fmt: skip
    for name, seconds in times.items():
        if not seconds:
            continue
        middle = np.median(seconds)
        worked = 1e3 * np.median(busy[name])
        ratio = middle / np.median(times["plain JAX"])
        share = flops / middle / rate
        print(
            f"{name:25s} {1e3 * middle:7.1f} ms an iteration, {worked:.1f} ms of processors, "
            f"{ratio:.2f} of plain JAX's, {share:.2f} of the matmul rate for the 4 N K D^2 FLOPs"
        )
    done = np.median(ours)
    print(f"ours computes {done / flops:.3f} of the 4 N K D^2 FLOPs, "
          f"at {done / np.median(times['ours']) / rate:.2f} of the matmul rate; "
          f"padding is {100 * engine.work.padded / engine.work.flops:.1f} % of them")  # fmt: skip


if __name__ == "__main__":
    app.run(main)
