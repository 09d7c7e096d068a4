"""Means of features over regions: masks reduced to the feature grid, or features upsampled to the image.

    python benchmarks/pooling.py

Uses an image of 1024x2048 with 40 regions, and features of the sizes of DeepLabV3+ (256x512x256) and
DeepLabV2 (64x128x256). Every way runs in its own process. Memory is what a way needs beyond its input: for
JAX what the compiled program reserves, for PyTorch how much the process grows. The error is that of the
means, relative to those computed in float64 with OpenCV and NumPy.
"""

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from absl import app, flags

from adeada_jax.command_line import run_app
from adeada_jax.evaluation.tables import markdown
from adeada_jax.types import Json

_HEIGHT = flags.DEFINE_integer("height", 1024, "Image height in pixels.", lower_bound=16)
_WIDTH = flags.DEFINE_integer("width", 2048, "Image width in pixels.", lower_bound=16)
_REPEAT = flags.DEFINE_integer("repeat", 5, "Number of timed calls.", lower_bound=1)
_WAY = flags.DEFINE_string(
    "way",
    None,
    "Internal: set by the benchmark when it starts a process of its own. Method and stride, as "
    "METHOD,STRIDE.",
)

REGIONS, CHANNELS = 40, 256
OURS = "masks to the grid"
PLAIN = "upsample, segment_sum"
TORCH = "PyTorch: interpolate, index_add"


def make_input(height: int, width: int, stride: int) -> tuple[np.ndarray, np.ndarray]:
    """Random features on their grid, and Voronoi cells as regions."""
    rng = np.random.default_rng(0)
    features = rng.gamma(0.7, 1.0, (height // stride, width // stride, CHANNELS)).astype(np.float32)
    centres = rng.random((REGIONS, 2)) * (height, width)
    rows, columns = np.arange(height)[:, None], np.arange(width)
    nearest, regions = np.full((height, width), np.inf), np.zeros((height, width), np.int32)
    for i, (y, x) in enumerate(centres):
        away = (rows - y) ** 2 + (columns - x) ** 2
        regions[away < nearest] = i
        nearest = np.minimum(nearest, away)
    return features, regions


def exact_means(features: np.ndarray, regions: np.ndarray) -> np.ndarray:
    """Means (R, D) in float64, a channel at a time."""
    pixels, means = regions.ravel(), np.empty((REGIONS, CHANNELS))
    for c in range(CHANNELS):
        # OpenCV's bilinear resizing has the same geometry.
        image = cv2.resize(features[..., c].astype(np.float64), regions.shape[::-1])
        means[:, c] = np.bincount(pixels, image.ravel(), REGIONS)
    return means / np.bincount(pixels, minlength=REGIONS)[:, None]


def jax_way(name: str, features: np.ndarray, regions: np.ndarray) -> tuple[Callable[[], np.ndarray], int]:
    """What gives sums (R, D) by one of the two ways in JAX, and its bytes."""
    import jax

    from adeada_jax.method.pooling import region_feature_sums, region_sums
    from adeada_jax.models import upsample

    def plain(features: jax.Array, regions: jax.Array) -> jax.Array:
        return region_sums(upsample(features[None], *regions.shape)[0], regions, REGIONS)

    ours = partial(region_feature_sums, num_regions=REGIONS)
    arguments = jax.device_put((features, regions))
    program = jax.jit(ours if name == OURS else plain).lower(*arguments).compile()
    reserved = program.memory_analysis()
    assert reserved is not None  # these backends tell it
    size = reserved.temp_size_in_bytes + reserved.output_size_in_bytes
    return lambda: np.asarray(program(*arguments)), size


def torch_way(features: np.ndarray, regions: np.ndarray) -> tuple[Callable[[], np.ndarray], int]:
    """The same in PyTorch."""
    import torch

    grid, index = torch.from_numpy(features).permute(2, 0, 1)[None], torch.from_numpy(regions).reshape(-1)

    def sums() -> np.ndarray:
        image = torch.nn.functional.interpolate(grid, regions.shape, mode="bilinear", align_corners=False)
        pixels = image[0].reshape(CHANNELS, -1)
        return torch.zeros(CHANNELS, REGIONS).index_add_(1, index, pixels).T.numpy()

    before = _resident("VmRSS")
    sums()
    return sums, _resident("VmHWM") - before


def measure(name: str, stride: int) -> dict[str, Json]:
    """Seconds (median), bytes beyond the input, and the means that were found."""
    features, regions = make_input(_HEIGHT.value, _WIDTH.value, stride)
    call, size = torch_way(features, regions) if name == TORCH else jax_way(name, features, regions)
    sums, times = call(), []
    for _ in range(_REPEAT.value):
        begin = time.perf_counter()
        call()
        times.append(time.perf_counter() - begin)
    means = sums / np.bincount(regions.ravel(), minlength=REGIONS)[:, None]
    return {"seconds": statistics.median(times), "bytes": size, "means": means.tolist()}


def _resident(kind: str) -> int:
    """Bytes of memory in use, now (VmRSS) or at most (VmHWM), as Linux tells it."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith(kind))


def in_own_process(name: str, stride: int) -> dict[str, Any] | None:
    """`measure` elsewhere; None where it cannot run, such as without PyTorch."""
    command = [sys.executable, __file__, f"--way={name},{stride}", f"--height={_HEIGHT.value}"]
    command += [f"--width={_WIDTH.value}", f"--repeat={_REPEAT.value}"]
    done = subprocess.run(command, capture_output=True, encoding="utf-8")
    if done.returncode:
        print(f"{name}: {(done.stderr.strip().splitlines() or ['failed'])[-1]}", file=sys.stderr)
        return None
    return json.loads(done.stdout.splitlines()[-1])


def main(argv: list[str]) -> None:
    if len(argv) > 1:
        raise app.UsageError(f"unexpected argument '{argv[1]}'")
    if _WAY.value:
        name, number = _WAY.value.rsplit(",", 1)
        print(json.dumps(measure(name, int(number))))
        return
    rows = []
    for stride in (4, 16):
        found = {name: in_own_process(name, stride) for name in (OURS, PLAIN, TORCH)}
        ours, exact = found[OURS], exact_means(*make_input(_HEIGHT.value, _WIDTH.value, stride))
        if ours is None:
            continue
        for name, result in found.items():
            if result is None:
                continue
            error = np.abs(np.array(result["means"]) / exact - 1)
            rows.append([
                f"1/{stride}", name, f"{1000 * result['seconds']:.0f}", f"{result['bytes'] / 2**20:.0f}",
                f"{result['seconds'] / ours['seconds']:.1f}", f"{result['bytes'] / ours['bytes']:.1f}",
                f"{error.max():.0e}",
            ])  # fmt: skip
    print(markdown(["grid", "way", "ms", "MiB", "time / ours", "memory / ours", "largest error"], rows))


if __name__ == "__main__":
    run_app(main)
