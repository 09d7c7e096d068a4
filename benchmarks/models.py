"""DeepLabV3+ with ResNet-101 against the same network in PyTorch: forward pass and training step.

    python benchmarks/models.py

Both have the same weights, start from NumPy images, finish what they began, and take turns in one process
with the same threads; batch norm is frozen, a training step is cross entropy at full size and SGD with
momentum. On a CPU in float32; where JAX and PyTorch both have the GPU, in bfloat16 as well (PyTorch by
autocast), and with TF32 in both. PyTorch runs with images in both orders of memory, and the faster one's time
is what ratios are of. FLOPs are those of our compiled program, for all; a CPU's peak is the rate of a large
matrix product. The first step compiles.
"""

import importlib.util
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from absl import app, flags

from adeada_jax.command_line import run_app
from adeada_jax.errors import InputError

_HEIGHT = flags.DEFINE_integer("height", 512, "Of images, in pixels.", lower_bound=32)
_WIDTH = flags.DEFINE_integer("width", 1024, "Of images, in pixels.", lower_bound=32)
_BATCH = flags.DEFINE_integer("batch", 1, "Images a step.", lower_bound=1)
_STEPS = flags.DEFINE_integer("steps", 7, "Steps of each that are timed; the median counts.", lower_bound=1)

CLASSES = 19
BACKBONE = "resnet101"


def our_steps(dtype: str, batch: dict[str, np.ndarray]) -> dict[str, tuple[Callable[[], Any], float | None]]:
    """Ours: what does one forward pass and one training step, and FLOPs of each."""
    import jax

    from adeada_jax.models import Segmenter, normalize
    from adeada_jax.scaling.workloads import Point, make_workload
    from adeada_jax.training import parallel

    segmenter = Segmenter("deeplabv3plus", backbone=BACKBONE, num_classes=CLASSES, dtype=dtype)
    weights = parallel.replicate(segmenter.init(0))

    @jax.jit
    def forward(params: Any, batch_stats: Any, images: jax.Array) -> Any:
        return segmenter.apply(params, batch_stats, normalize(images), train=False)[0]

    flops = (forward.lower(*weights, batch["image"]).cost_analysis() or {}).get("flops")
    count, height, width = batch["label"].shape
    training = make_workload(
        Point("finetune", "strong", 1, count, dtype, "deeplabv3plus", BACKBONE, height, width, True, 1)
    )
    return {
        "forward": (lambda: jax.block_until_ready(forward(*weights, batch["image"])), flops),
        "train": (training.step, training.flops),
    }


def torch_contenders(bfloat16: bool) -> dict[str, Any]:
    """PyTorch's, by name."""
    import jax
    import torch
    from torch_deeplab import Contender, DeepLabV3Plus

    from adeada_jax.models import Segmenter

    torch.set_num_threads(len(os.sched_getaffinity(0)))
    torch.backends.cudnn.benchmark = True  # XLA chooses among cuDNN's algorithms, too
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    weights = Segmenter("deeplabv3plus", backbone=BACKBONE, num_classes=CLASSES).init(0)
    device = "cuda" if jax.default_backend() == "gpu" else "cpu"
    return {
        name: Contender(
            DeepLabV3Plus(BACKBONE, CLASSES, *weights), device, channels_last=last, bfloat16=bfloat16
        )
        for name, last in (("PyTorch", False), ("PyTorch, channels-last", True))
    }


def check(ours: Any, theirs: Any, dtype: str) -> None:
    """Both networks' class scores and features agree."""
    for mine, other in zip(ours, theirs, strict=True):
        other = other.float().cpu().numpy().transpose(0, 2, 3, 1)
        error = np.abs(np.asarray(mine) - other).max() / np.abs(other).max()
        limit = 1e-1 if dtype == "bfloat16" else 1e-4
        if not error < limit:
            raise RuntimeError(f"outputs of PyTorch's network differ by {error:.1e} of the largest")


@dataclass(frozen=True)
class Times:
    """Of one contender: seconds of its first step, and of each later one by the clock and of processors."""

    first: float
    wall: list[float]
    cpu: list[float]


def turns(steps: dict[str, Callable[[], Any]], count: int) -> dict[str, Times]:
    """Times each one's first step, then `count` more, taken in turns."""
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in steps}
    for _ in range(count + 1):
        for name, step in steps.items():
            wall, cpu = time.perf_counter(), time.process_time()
            step()
            found[name].append((time.perf_counter() - wall, time.process_time() - cpu))
    result = {}
    for name, times in found.items():
        wall, cpu = zip(*times, strict=True)
        result[name] = Times(wall[0], wall[1:], cpu[1:])
    return result


def compare(dtype: str, batch: dict[str, np.ndarray], with_torch: bool, peak: float | None) -> Iterator[str]:
    """The table's rows of one type."""
    ours = our_steps(dtype, batch)
    contenders = torch_contenders(dtype == "bfloat16") if with_torch else {}
    arguments = {"forward": (batch["image"],), "train": (batch["image"], batch["label"])}
    for kind, (own, flops) in ours.items():
        others = {name: partial(getattr(c, kind), *arguments[kind]) for name, c in contenders.items()}
        found = turns({"ours": own, **others}, _STEPS.value)
        fastest = min((float(np.median(found[name].wall)) for name in others), default=None)
        for name, times in found.items():
            cells = " | ".join(row(times, flops, fastest, len(batch["image"]), peak))
            yield f"| {dtype} | {kind} | {name} | {cells} |"
        if kind == "forward":
            for other in others.values():
                check(own(), other(), dtype)


def row(
    times: Times, flops: float | None, fastest: float | None, images: int, peak: float | None
) -> list[str]:
    """One contender's cells."""
    seconds = float(np.median(times.wall))
    rate = flops / seconds if flops else None
    return [
        f"{seconds:.4g}", f"{min(times.wall):.4g}-{max(times.wall):.4g}", f"{np.median(times.cpu):.4g}",
        "" if fastest is None else f"{fastest / seconds:.2f}", f"{images / seconds:.2f}",
        "" if flops is None else f"{flops / 1e9:,.0f}", "" if rate is None else f"{rate / 1e9:,.0f}",
        "" if rate is None or peak is None else f"{100 * rate / peak:.0f} %",
        f"{max(0.0, times.first - seconds):.1f}",
    ]  # fmt: skip


COLUMNS = (
    "type", "", "", "s", "least-most", "CPU s", "PyTorch's over it", "images/s", "GFLOP", "GFLOP/s",
    "of peak", "first, more s",
)  # fmt: skip


def main(argv: list[str]) -> None:
    if len(argv) > 1:
        raise app.UsageError(f"unexpected argument '{argv[1]}'")
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # PyTorch needs memory, too
    import jax

    from adeada_jax.scaling.worker import peak

    if jax.device_count() > 1:
        raise InputError(f"there are {jax.device_count()} devices; show one, as with CUDA_VISIBLE_DEVICES=0")
    device, gpu = jax.devices()[0], jax.default_backend() == "gpu"
    with_torch = importlib.util.find_spec("torch") is not None
    if with_torch and gpu:
        import torch

        with_torch = torch.cuda.is_available()
    if not with_torch:
        print("PyTorch is not installed, or has no part of the GPU: ours alone.")
    rng = np.random.default_rng(0)
    size = (_BATCH.value, _HEIGHT.value, _WIDTH.value)
    batch = {
        "image": rng.integers(0, 256, (*size, 3)).astype(np.uint8),
        "label": rng.integers(0, CLASSES, size).astype(np.uint8),
    }
    shape = f"{_BATCH.value} x {_HEIGHT.value}x{_WIDTH.value}"
    threads = len(os.sched_getaffinity(0))
    print(f"deeplabv3plus, {BACKBONE}, {shape}, {device.device_kind}, {threads} CPU threads\n")
    print("| " + " | ".join(COLUMNS) + " |")
    print("| " + " | ".join(["---"] * 3 + ["---:"] * (len(COLUMNS) - 3)) + " |", flush=True)
    for dtype in ("float32", "bfloat16") if gpu else ("float32",):
        for row in compare(dtype, batch, with_torch, peak(device, dtype, 1)):
            print(row, flush=True)


if __name__ == "__main__":
    run_app(main)
