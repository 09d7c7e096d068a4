"""Region pooling against upsampling to full size and adding up pixels: time and memory beside the input.

    python benchmarks/pooling.py

One image of 1024x2048 with 40 regions and a feature map of 256 numbers at 1/4 (DeepLabV3+) and 1/8 of it.
Each way runs in a process of its own, from arrays that lie there to sums that are finished; peak memory is
what it needs above what the process held with arrays and program loaded. Errors are the largest distance
from sums in float64, over the largest of these.
"""

import ctypes
import gc
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from absl import app, flags

from adeada_jax.command_line import run_app

_HEIGHT = flags.DEFINE_integer("height", 1024, "Of the image in pixels; it is twice as wide.", lower_bound=64)
_STEPS = flags.DEFINE_integer("steps", 5, "Times each way is done; the median counts.", lower_bound=1)
_WORKER = flags.DEFINE_string("worker", None, "Of this program itself: the way to run.")
_DIRECTORY = flags.DEFINE_string("directory", None, "Of this program itself: arrays and sums lie there.")

FEATURES, REGIONS = 256, 40


def problem(height: int, stride: int) -> tuple[np.ndarray, np.ndarray]:
    """Features `(h, w, 256)`, none negative as after a ReLU, and a street's regions `(H, W)`."""
    from adeada_jax.data.toy_streets import render
    from adeada_jax.regions.slic import slic_regions

    image, _ = render("rendered", "train", 0, seed=0, height=height, width=2 * height)
    regions = slic_regions(image, num_segments=REGIONS, compactness=10)
    size = (height // stride, 2 * height // stride, FEATURES)
    features = np.maximum(np.random.default_rng(0).normal(size=size), 0).astype(np.float32)
    return features, regions.astype(np.int32)


def exact(features: np.ndarray, regions: np.ndarray) -> np.ndarray:
    """The sums in float64, from the two axes' interpolation matrices."""
    from scipy.sparse import csr_array

    def matrix(size: int, grid: int) -> csr_array:
        centre = np.clip((np.arange(size) + 0.5) * grid / size - 0.5, 0, grid - 1)
        weights = np.maximum(1 - np.abs(centre[:, None] - np.arange(grid)), 0)
        return csr_array(weights)

    height, width, count = features.shape
    rows, columns = matrix(regions.shape[0], height), matrix(regions.shape[1], width)
    masks = [(rows.T @ csr_array((regions == r).astype(float)) @ columns).toarray() for r in range(REGIONS)]
    return np.stack(masks).reshape(REGIONS, -1) @ features.reshape(-1, count).astype(float)


def ours(features: np.ndarray, regions: np.ndarray):
    """Masks brought down to the grid; compiled, as a function without arguments."""
    from adeada_jax.regions.pooling import region_feature_sums

    return _compiled(lambda f, r: region_feature_sums(f, r, REGIONS), features, regions)


def plain_jax(features: np.ndarray, regions: np.ndarray):
    """Features brought up to the image, then added up pixel by pixel; compiled likewise."""
    from adeada_jax.models import upsample
    from adeada_jax.regions.pooling import region_sums

    return _compiled(lambda f, r: region_sums(upsample(f[None], *r.shape)[0], r, REGIONS), features, regions)


def _compiled(function, features: np.ndarray, regions: np.ndarray):
    import jax

    arrays = jax.device_put((features, regions))
    program = jax.jit(function).lower(*arrays).compile()
    return lambda: jax.block_until_ready(program(*arrays))


def plain_torch(features: np.ndarray, regions: np.ndarray):
    """The same in PyTorch, with features in channels-last order, so that a pixel's are neighbours."""
    import torch

    torch.set_num_threads(len(os.sched_getaffinity(0)))
    grid = torch.from_numpy(features).permute(2, 0, 1)[None]  # channels-last in memory
    index = torch.from_numpy(regions.reshape(-1).astype(np.int64))

    def run():
        large = torch.nn.functional.interpolate(grid, regions.shape, mode="bilinear", align_corners=False)
        pixels = large[0].permute(1, 2, 0).reshape(-1, features.shape[2])
        return torch.zeros(REGIONS, features.shape[2]).index_add_(0, index, pixels)

    return run


WAYS = {
    "ours": ours,
    "JAX, upsample and segment_sum": plain_jax,
    "PyTorch, interpolate and index_add": plain_torch,
}


def memory(entry: str) -> float:
    """This process's VmRSS (resident now) or VmHWM (at most since the last reset), in MB; Linux only."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(entry)) / 1024


def work(name: str, directory: Path) -> None:
    """Runs one way, saves its sums and prints what it took as JSON."""
    run = WAYS[name](np.load(directory / "features.npy"), np.load(directory / "regions.npy"))
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)  # what was freed is not there to be used again unseen
    Path("/proc/self/clear_refs").write_text("5")  # resets VmHWM
    base, seconds, cpu = memory("VmRSS"), [], []
    for _ in range(_STEPS.value + 1):
        wall, processor = time.perf_counter(), time.process_time()
        sums = run()
        seconds.append(time.perf_counter() - wall)
        cpu.append(time.process_time() - processor)
    peak = memory("VmHWM") - base
    np.save(directory / "sums.npy", np.asarray(sums))
    # The first call gets its memory from the system.
    print(json.dumps({"seconds": np.median(seconds[1:]), "cpu": np.median(cpu[1:]), "memory": peak}))


def measure(name: str, directory: Path, expected: np.ndarray) -> dict:
    """One way in a process of its own."""
    command = [sys.executable, __file__, f"--worker={name}", f"--directory={directory}",
               f"--steps={_STEPS.value}"]  # fmt: skip
    environment = {**os.environ, "JAX_PLATFORMS": "cpu"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    if done.returncode:
        raise RuntimeError(f"{name}: {done.stderr[-2000:]}")
    sums = np.load(directory / "sums.npy")
    error = float(np.abs(sums - expected).max() / np.abs(expected).max())
    return {**json.loads(done.stdout.splitlines()[-1]), "error": error}


def compare(ways: list[str], stride: int) -> None:
    """Prints the rows of one grid."""
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        features, regions = problem(_HEIGHT.value, stride)
        np.save(directory / "features.npy", features)
        np.save(directory / "regions.npy", regions)
        expected, first = exact(features, regions), None
        for way in ways:
            found = measure(way, directory, expected)
            first = first or found
            cells = " | ".join(
                f"{scale * found[key]:.1f} | {found[key] / first[key]:.1f}"
                for key, scale in (("seconds", 1e3), ("cpu", 1e3), ("memory", 1))
            )
            print(f"| 1/{stride} | {way} | {cells} | {found['error']:.1e} |", flush=True)


def main(argv: list[str]) -> None:
    if len(argv) > 1:
        raise app.UsageError(f"unexpected argument '{argv[1]}'")
    if _WORKER.value:
        work(_WORKER.value, Path(_DIRECTORY.value))
        return
    ways = list(WAYS)
    if importlib.util.find_spec("torch") is None:
        print("PyTorch is not installed and takes no part.")
        ways.pop()
    print("| grid | way | ms | times ours | CPU ms | times ours | peak MB more | times ours | error |")
    print("| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
    for stride in (4, 8):
        compare(ways, stride)


if __name__ == "__main__":
    run_app(main)
