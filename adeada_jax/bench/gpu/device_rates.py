"""What the device can do: products by precision, copies, launches, transfers."""

import contextlib
import importlib.metadata
import os
import platform
import subprocess
from collections.abc import Callable, Iterator
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from adeada_jax.bench.gpu.ledger import Ledger, median_seconds
from adeada_jax.types import Json, PyTree

PACKAGES = ("jax", "jaxlib", "flax", "optax", "numpy", "scipy", "scikit-learn", "torch", "torchgmm")
HIGHEST = lax.Precision.HIGHEST

# By name: precision of the operands, of the product.
PRODUCTS = {
    "float32 highest": ("float32", HIGHEST),
    "float32 tf32": ("float32", lax.Precision.DEFAULT),
    "bfloat16": ("bfloat16", lax.Precision.DEFAULT),
    "float64": ("float64", HIGHEST),
}


def measure(ledger: Ledger) -> None:
    """All rates."""
    ledger.note(**about())
    size = 512 if ledger.small else 8192
    for name, (dtype, precision) in PRODUCTS.items():
        shapes: tuple[tuple[int, ...], ...] = ((size, size), (size, size))
        ledger.row("product", name, partial(product, shapes, dtype, precision))
    ledger.row("copy", "read and write", lambda: copy(1 << (20 if ledger.small else 30)))
    for name, call in _launches(100 if ledger.small else 1000).items():
        ledger.row("launch", name, call)
    for megabytes in (0.001, 1, 16) if ledger.small else (0.001, 1, 256):
        ledger.row("transfer", f"{megabytes} MB", partial(transfers, int(megabytes * 1e6)))
    rows, width = (128, 4) if ledger.small else (4096, 16)
    engines: tuple[tuple[str, tuple[tuple[int, ...], ...], str], ...] = (
        ("tails, a block", ((rows, 256), (256, 320)), "float32"),
        ("heads, tasks side by side", ((width, rows, 224), (width, 224, 224)), "float32"),
        ("moments, tasks side by side", ((width, 256, rows), (width, rows, 256)), "float64"),
    )
    for name, shapes, dtype in engines:
        ledger.row("product of the engine's shape", name, partial(product, shapes, dtype, HIGHEST))


def about() -> dict[str, Json]:
    """The machine and what is installed."""
    device = jax.local_devices()[0]
    versions = {}
    for name in PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[name] = importlib.metadata.version(name)
    memory = (device.memory_stats() or {}).get("bytes_limit")
    return {
        "device": device.device_kind,
        "platform": device.platform,
        "devices": jax.local_device_count(),
        "memory_limit": memory,
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "versions": versions,
        "driver": _driver(),
    }


def _driver() -> str | None:
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        command = ["nvidia-smi", "--query-gpu=name,driver_version,clocks.max.sm,power.limit", "--format=csv"]
        done = subprocess.run(command, capture_output=True, encoding="utf-8", timeout=20)
        return done.stdout.strip() or None
    return None


@contextlib.contextmanager
def _wide(dtype: str) -> Iterator[None]:
    with jax.enable_x64(True) if dtype == "float64" else contextlib.nullcontext():
        yield


def product(shapes: tuple[tuple[int, ...], ...], dtype: str, precision: lax.Precision) -> dict[str, Json]:
    """Seconds and FLOP/s of a product, of random numbers: zeros take less power and run faster."""
    with _wide(dtype):
        left, right = (_random(shape, dtype, seed) for seed, shape in enumerate(shapes))
        multiply = jax.jit(lambda a, b: jnp.matmul(a, b, precision=precision))
        seconds = median_seconds(lambda: multiply(left, right), repeat=7, inner=3)
    flops = 2.0 * np.prod(shapes[0]) * shapes[1][-1]
    return {"shape": " x ".join(map(str, shapes)), "seconds": seconds, "flops_a_second": flops / seconds}


def _random(shape: tuple[int, ...], dtype: str, seed: int) -> jax.Array:
    return jax.random.normal(jax.random.key(seed), shape, jnp.float32).astype(dtype)


def copy(size: int) -> dict[str, Json]:
    """Bytes a second, read and written, of adding one to `size` bytes."""
    array = jnp.zeros(size // 4, jnp.float32)
    add = jax.jit(lambda x: x + 1)
    seconds = median_seconds(lambda: add(array), repeat=7, inner=3)
    return {"bytes": 2 * size, "seconds": seconds, "bytes_a_second": 2 * size / seconds}


def _launches(number: int) -> dict[str, Callable[[], dict[str, Json]]]:
    """What it takes to have something small done: by calls, and by loops inside a program."""
    small = jnp.zeros(8)
    add = jax.jit(lambda x: x + 1)
    # The body must not be simplified away, and reads the loop's counter.
    loop = jax.jit(lambda x, count: lax.fori_loop(0, count, lambda i, y: y * 0.5 + i, x))
    fixed = jax.jit(lambda x: lax.fori_loop(0, number, lambda i, y: y * 0.5 + i, x))

    def each(call: Callable[[], PyTree], inner: int, of: int) -> dict[str, Json]:
        return {"seconds": median_seconds(call, inner=inner) / of}

    return {
        "call, not waited for": lambda: each(lambda: add(small), number, 1),
        "call, waited for": lambda: each(lambda: jax.block_until_ready(add(small)), number, 1),
        "call with a NumPy argument": lambda: each(lambda: add(np.zeros(8, np.float32)), number, 1),
        "step of a loop whose length the program gets": lambda: each(
            lambda: loop(small, np.int32(number)), 1, number
        ),
        "step of a loop of fixed length": lambda: each(lambda: fixed(small), 1, number),
    }


def transfers(size: int) -> dict[str, Json]:
    """Bytes a second to the device and back, and seconds of each."""
    host = np.random.default_rng(0).integers(0, 256, size, np.uint8)
    up = median_seconds(lambda: jax.device_put(host))
    array, again = jax.device_put(host), jax.jit(lambda x: x ^ 1)

    def fetch() -> np.ndarray:  # an array keeps its copy on the host, so each is new
        return np.asarray(fresh.pop())

    repeat = 5
    fresh = [again(array) for _ in range(repeat + 1)]
    jax.block_until_ready(fresh)
    down = median_seconds(fetch, repeat=repeat)
    return {
        "bytes": size,
        "to_device_seconds": up,
        "to_host_seconds": down,
        "to_device_bytes_a_second": size / up,
        "to_host_bytes_a_second": size / down,
    }
