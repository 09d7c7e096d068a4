"""The networks' dilated convolutions at 1024x2048, each pass by each way to compute it."""

import math
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from adeada_jax.bench.gpu.dilated_ways import WAYS
from adeada_jax.bench.gpu.ledger import Ledger, median_seconds, timed
from adeada_jax.types import Json

PASSES = ("weight_gradient", "input_gradient", "forward")
DTYPE, HEIGHT, WIDTH = "bfloat16", 64, 128
_COMPILES = 8
_SLOW = 0.01  # seconds of a pass that is timed by single calls
# Seconds: without which no further convolution is begun, most for its programs, and kept for timing them.
_SECONDS, _LONGEST, _TIMING = 12.0, 60.0, 3.0


@dataclass(frozen=True)
class Shape:
    """A 3x3 convolution of one image of features (HEIGHT, WIDTH), from `inputs` to `outputs` channels."""

    where: str
    inputs: int
    outputs: int
    dilation: int
    height: int = HEIGHT
    width: int = WIDTH

    @property
    def name(self) -> str:
        """As tables have it."""
        return f"{self.where}, {self.inputs} to {self.outputs}, dilation {self.dilation}"

    @property
    def flops(self) -> float:
        """Of a pass, products with padding included."""
        return 2.0 * 9 * self.height * self.width * self.inputs * self.outputs


# ResNet-101's last stage at output stride 16, and the heads' branches: DeepLabV3+ has 6, 12 and 18.
SHAPES = (
    Shape("ASPP", 2048, 256, 6),
    Shape("last stage", 512, 512, 2),
    Shape("ASPP", 2048, 256, 18),
    Shape("ASPP", 2048, 256, 12),
    Shape("ASPP of DeepLabV2", 2048, 256, 24),
    Shape("last stage, not dilated", 512, 512, 1),
)
SMALL = (Shape("ASPP", 32, 8, 6, 8, 16), Shape("last stage", 16, 16, 2, 8, 16))


def measure(ledger: Ledger) -> None:
    """Convolution by convolution; the programs of one are compiled side by side."""
    for number, shape in enumerate(SMALL if ledger.small else SHAPES):
        if number and ledger.left() < (1 if ledger.small else _SECONDS):
            ledger.note(not_reached=[s.name for s in SHAPES[number:]])
            return
        _measure_shape(ledger, shape)


def _measure_shape(ledger: Ledger, shape: Shape) -> None:
    arrays = make_arrays(shape)
    threads = ThreadPoolExecutor(_COMPILES)
    waiting = {
        (part, name): threads.submit(_compiled, getattr(way, part), part, arrays, shape.dilation)
        for name, way in WAYS.items()
        for part in PASSES
    }
    # All before anything is timed.
    wait(waiting.values(), timeout=max(min(ledger.left() - _TIMING, _LONGEST), 1.0))
    threads.shutdown(wait=False, cancel_futures=True)
    for part in PASSES:
        expected: list[np.ndarray] = []
        for name in WAYS:
            ledger.row(
                f"{part.replace('_', ' ')}: {shape.name}",
                name,
                partial(_one, waiting[part, name], part, shape, arrays, expected),
                needs=-math.inf,
            )


def make_arrays(shape: Shape) -> dict[str, jax.Array]:
    """x, w and g, random: zeros take less power and run faster."""
    position = (1, shape.height, shape.width)
    shapes = {
        "x": (*position, shape.inputs),
        "w": (3, 3, shape.inputs, shape.outputs),
        "g": (*position, shape.outputs),
    }
    return {
        name: jax.random.normal(jax.random.key(i), size, jnp.float32).astype(DTYPE)
        for i, (name, size) in enumerate(shapes.items())
    }


def _given(part: str, arrays: dict[str, jax.Array]) -> tuple[jax.Array, ...]:
    names = {"forward": "xw", "input_gradient": "gw", "weight_gradient": "xg"}[part]
    return tuple(arrays[name] for name in names)


def _compiled(
    way: Callable[..., jax.Array], part: str, arrays: dict[str, jax.Array], d: int
) -> tuple[jax.stages.Compiled, float]:
    begin = time.perf_counter()
    program = jax.jit(lambda a, b: way(a, b, d)).lower(*_given(part, arrays)).compile()
    return program, time.perf_counter() - begin


def _one(
    future: Future[tuple[jax.stages.Compiled, float]],
    part: str,
    shape: Shape,
    arrays: dict[str, jax.Array],
    expected: list[np.ndarray],
) -> dict[str, Json]:
    """Seconds, rate, and the relative difference to what the first way gave, which goes into `expected`."""
    if not future.done():
        raise TimeoutError(f"not compiled when its time was over ({_LONGEST:.0f} s at most)")
    program, compile_seconds = future.result()
    given = _given(part, arrays)
    found = np.asarray(program(*given), np.float32)
    expected.append(found)
    once, _ = timed(lambda: program(*given))
    seconds = median_seconds(lambda: program(*given), repeat=5, inner=10 if once < _SLOW else 1)
    memory = program.memory_analysis()
    return {
        "milliseconds": 1e3 * seconds,
        "seconds": seconds,
        "flops_a_second": shape.flops / seconds,
        "kind_of_products": DTYPE,
        "memory": None if memory is None else int(memory.temp_size_in_bytes),
        "difference": float(np.linalg.norm(found - expected[0]) / np.linalg.norm(expected[0])),
        "compile_seconds": compile_seconds,
    }
