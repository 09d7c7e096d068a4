"""One EM iteration at N = 20,000, D = 256, K = 10: ours, a plain jitted EM and scikit-learn, interleaved.

python benchmarks/density_iteration.py [--samples=20000] [--dim=256] [--components=10] [--iterations=6]
"""

import time

import jax
import jax.numpy as jnp
import numpy as np
from absl import app, flags

from adeada_jax.bench.mixtures.contender_worker import matmul_rate
from adeada_jax.bench.mixtures.plain_em import our_engine, plain_iteration
from adeada_jax.bench.mixtures.problem import cluster_all
from adeada_jax.bench.mixtures.synthetic import domain_pair

_SAMPLES = flags.DEFINE_integer("samples", 20000, "N.")
_DIM = flags.DEFINE_integer("dim", 256, "D.")
_COMPONENTS = flags.DEFINE_integer("components", 10, "K.")
_ITERATIONS = flags.DEFINE_integer("iterations", 6, "Iterations measured of each, interleaved.")
_SCIKIT = flags.DEFINE_bool("scikit", True, "Whether scikit-learn takes part.")


def scikit_model(features: np.ndarray, start: np.ndarray):
    """scikit-learn's estimator after its start."""
    from sklearn.mixture import GaussianMixture

    model = GaussianMixture(start.shape[1])
    model._initialize(features, start)
    return model


def main(_) -> None:
    number, dim, components = _SAMPLES.value, _DIM.value, _COMPONENTS.value
    _, source = domain_pair(0, 100, number, num_classes=1, dim=dim)
    features = source.features
    start = np.eye(components, dtype=np.float32)[cluster_all([features], [components], 0)[0]]
    times: dict[str, list[float]] = {"ours": [], "plain JAX": [], "scikit-learn": []}
    flops = 4.0 * number * components * dim**2
    with jax.enable_x64(True):
        engine, following = our_engine(features, start), np.ones(1, bool)
        engine.step(following)
    on_device, responsibilities = jnp.asarray(features), jnp.asarray(start)
    jax.block_until_ready(plain_iteration(on_device, responsibilities))
    model = scikit_model(features, start) if _SCIKIT.value else None
    rates, ours = [], []
    for _ in range(_ITERATIONS.value):
        rates.append(matmul_rate())
        with jax.enable_x64(True):
            began, before = time.perf_counter(), engine.work.flops
            bound = engine.step(following)[0]
            jax.block_until_ready(engine.parts)
            times["ours"].append(time.perf_counter() - began)
            ours.append(engine.work.flops - before)
        began = time.perf_counter()
        plain, responsibilities = jax.block_until_ready(plain_iteration(on_device, responsibilities))
        times["plain JAX"].append(time.perf_counter() - began)
        if model is not None:
            began = time.perf_counter()
            _, log_resp = model._e_step(features)
            model._m_step(features, log_resp)
            times["scikit-learn"].append(time.perf_counter() - began)
    rate = np.median(rates)
    print(f"N = {number}, D = {dim}, K = {components}; matmul {rate / 1e9:.0f} GFLOP/s; "
          f"mean log-likelihoods {bound:.4f} (ours), {float(plain):.4f} (plain)")  # fmt: skip
    for name, seconds in times.items():
        if not seconds:
            continue
        middle = np.median(seconds)
        ratio = middle / np.median(times["plain JAX"])
        share = flops / middle / rate
        print(f"{name:12s} {1e3 * middle:7.1f} ms an iteration, {ratio:.2f} of plain JAX's, "
              f"{share:.2f} of the matmul rate for the 4 N K D^2 FLOPs")  # fmt: skip
    done = np.median(ours)
    print(f"ours computes {done / flops:.3f} of the 4 N K D^2 FLOPs, "
          f"at {done / np.median(times['ours']) / rate:.2f} of the matmul rate; "
          f"padding is {100 * engine.work.padded / engine.work.flops:.1f} % of them")  # fmt: skip


if __name__ == "__main__":
    app.run(main)
