"""DeepLabV3+ with ResNet-101 against the same network in PyTorch: forward pass and training step.

    pip install torch
    python benchmarks/models.py

Both have the same weights, images and labels, and take turns on the same device and threads; first their
outputs and losses are compared. In each turn one step runs before the timed one, to get back the memory that
the other implementation returned to the system. PyTorch works with channels last, which is faster for it; on
a GPU also in bfloat16.
"""

import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from absl import app, flags

from adeada_jax.bench.scaling.point_worker import peak
from adeada_jax.command_line import run_app
from adeada_jax.config import paper_defaults
from adeada_jax.errors import InputError
from adeada_jax.evaluation.tables import markdown
from adeada_jax.models import Segmenter, normalize
from adeada_jax.run.import_weights import import_weights
from adeada_jax.training import checkpoints, optimizers, parallel
from adeada_jax.training.state import create_train_state
from adeada_jax.training.step_cost import step_cost
from adeada_jax.training.supervised import supervised_step

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "models"))

_HEIGHT = flags.DEFINE_integer("height", 512, "Image height in pixels.", lower_bound=32)
_WIDTH = flags.DEFINE_integer("width", 1024, "Image width in pixels.", lower_bound=32)
_BATCH = flags.DEFINE_integer("batch", 1, "Batch size in images.", lower_bound=1)
_REPEAT = flags.DEFINE_integer("repeat", 5, "Number of timed steps of each implementation.", lower_bound=1)
_MODEL = flags.DEFINE_string("model", "deeplabv3plus", "Segmentation model: deeplabv2 or deeplabv3plus.")
_BACKBONE = flags.DEFINE_string("backbone", "resnet101", "Backbone of the model: resnet18 or resnet101.")
_TRACE = flags.DEFINE_string(
    "trace",
    "",
    "Directory for a trace of one JAX step, to open in Perfetto or xprof. By default none is written.",
)

CLASSES, RATE, STRIDE = 19, 1e-3, 16
Task = Callable[[], np.ndarray]  # does one forward pass or step, waits, and returns logits or the loss


def make_batch() -> dict[str, np.ndarray]:
    """Random images, and labels of which a tenth is unknown."""
    rng = np.random.default_rng(0)
    size = (_BATCH.value, _HEIGHT.value, _WIDTH.value)
    label = rng.integers(0, CLASSES, size).astype(np.uint8)
    label[rng.random(size) < 0.1] = 255
    image = rng.integers(0, 256, (*size, 3)).astype(np.uint8)
    return {"image": image, "label": label, "place": np.arange(_BATCH.value)}


def our_tasks(
    weights: Path, batch: dict[str, np.ndarray], dtype: str
) -> tuple[dict[str, Task], dict[str, Any]]:
    """Forward pass and step in JAX, and the FLOPs of each."""
    segmenter = Segmenter(
        _MODEL.value, backbone=_BACKBONE.value, num_classes=CLASSES, output_stride=STRIDE, dtype=dtype,
        axis_name=parallel.AXIS,
    )  # fmt: skip
    tree = checkpoints.restore(weights, dict(zip(("params", "batch_stats"), segmenter.shapes, strict=True)))
    params, stats = jax.device_put((tree["params"], tree["batch_stats"]), jax.devices()[0])
    image = jax.device_put(batch["image"], jax.devices()[0])
    forward = jax.jit(lambda p, s, x: segmenter.apply(p, s, normalize(x), train=False)[0].logits)
    optimizer = optimizers.segmenter_optimizer(
        segmenter, paper_defaults().optimizer, learning_rate=RATE, steps=10**6
    )
    step = parallel.parallelize(supervised_step(segmenter.apply, optimizer))
    state, sharded = create_train_state(params, stats, optimizer), parallel.shard(batch)
    key, current = jax.random.key(0), [None]
    flops = {
        "forward": step_cost(forward, params, stats, image).flops,
        "step": step_cost(step, *jax.eval_shape(lambda *a: a, state, sharded, key)).flops,
    }
    current[0] = parallel.replicate(jax.tree.map(jnp.copy, state))

    def train() -> np.ndarray:
        current[0], losses = step(current[0], sharded, key)
        jax.block_until_ready(current[0])
        return np.asarray(losses["loss"])

    return {"forward": lambda: np.asarray(forward(params, stats, image)), "step": train}, flops


def torch_tasks(network: Any, batch: dict[str, np.ndarray], dtype: str, device: str) -> dict[str, Task]:
    """The same in PyTorch; batch norm is frozen, as it is with us."""
    import torch

    network = network.to(device, memory_format=torch.channels_last).eval()
    image = torch.from_numpy(np.asarray(normalize(jnp.asarray(batch["image"]))).transpose(0, 3, 1, 2).copy())
    image = image.to(device, memory_format=torch.channels_last)
    label = torch.from_numpy(batch["label"].astype(np.int64)).to(device)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.requires_grad_(False)
    options = paper_defaults().optimizer
    groups = [{"params": [p for p in network.backbone.parameters() if p.requires_grad]},
              {"params": [p for p in network.classifier.parameters() if p.requires_grad],
               "lr": RATE * options.head_multiplier}]  # fmt: skip
    optimizer = torch.optim.SGD(groups, lr=RATE, momentum=options.momentum, weight_decay=options.weight_decay)
    half = torch.autocast(device, torch.bfloat16, enabled=dtype == "bfloat16")

    def forward() -> np.ndarray:
        with torch.no_grad(), half:
            return network(image)[0].float().cpu().numpy().transpose(0, 2, 3, 1)

    def train() -> np.ndarray:
        optimizer.zero_grad(set_to_none=True)
        with half:
            logits = network(image)[0]
        logits = torch.nn.functional.interpolate(
            logits.float(), label.shape[1:], mode="bilinear", align_corners=False
        )
        losses = torch.nn.functional.cross_entropy(logits, label, ignore_index=255, reduction="none")
        loss = (losses.sum((1, 2)) / (label != 255).sum((1, 2))).mean()
        loss.backward()
        optimizer.step()
        if device != "cpu":
            torch.cuda.synchronize()
        return loss.detach().cpu().numpy()

    return {"forward": forward, "step": train}


def compare(name: str, ours: Task, theirs: Task, flops: float | None, dtype: str) -> list[str]:
    """A line of the table: both in turn, each twice a turn of which the second counts; medians."""
    begin = time.perf_counter()
    mine = ours()
    first = time.perf_counter() - begin
    other = theirs()
    difference = np.abs(mine - other).max() / np.abs(other).max()
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(_REPEAT.value):
        for task, taken in zip((ours, theirs), times, strict=True):
            task()
            begin = time.perf_counter()
            task()
            taken.append(time.perf_counter() - begin)
    our_seconds, their_seconds = (statistics.median(taken) for taken in times)
    limit = peak(jax.devices()[0], dtype, 1)
    rate = flops / our_seconds if flops else None
    return [
        name, dtype, f"{our_seconds:.3f}", f"{their_seconds:.3f}", f"{their_seconds / our_seconds:.2f}",
        f"{_BATCH.value / our_seconds:.2f}", f"{first - our_seconds:.0f}",
        "-" if rate is None else f"{rate / 1e9:.0f}",
        "-" if rate is None or not limit else f"{100 * rate / limit:.0f} %", f"{difference:.0e}",
    ]  # fmt: skip


def main(argv: list[str]) -> None:
    if len(argv) > 1:
        raise app.UsageError(f"unexpected argument '{argv[1]}'")
    try:
        import torch
        import torch_reference
    except ImportError as error:
        raise InputError("there is no PyTorch to compare with; pip install torch") from error

    device = "cuda" if torch.cuda.is_available() and jax.default_backend() == "gpu" else "cpu"
    torch.manual_seed(0)
    batch, rows = make_batch(), []
    with tempfile.TemporaryDirectory() as directory:
        network = torch_reference.Reference(_MODEL.value, _BACKBONE.value, STRIDE, CLASSES)
        weights = network.state_dict()
        torch.save({"model_state_dict": weights}, Path(directory) / "model.pth")
        import_weights(str(Path(directory) / "model.pth"), Path(directory) / "weights")
        for dtype in ("float32",) if device == "cpu" else ("float32", "bfloat16"):
            ours, flops = our_tasks(Path(directory) / "weights", batch, dtype)
            network.load_state_dict(torch.load(Path(directory) / "model.pth")["model_state_dict"])
            theirs = torch_tasks(network, batch, dtype, device)
            rows += [compare(name, ours[name], theirs[name], flops[name], dtype) for name in ours]
            if _TRACE.value:
                with jax.profiler.trace(f"{_TRACE.value}/{dtype}"):
                    ours["step"]()
    print(
        f"{jax.devices()[0].device_kind}, torch {torch.__version__} with {torch.get_num_threads()} threads\n"
    )
    columns = ["task", "dtype", "ours, s", "PyTorch, s", "PyTorch / ours", "our images/s", "our compile, s"]
    print(markdown([*columns, "our GFLOP/s", "of peak", "difference"], rows))


if __name__ == "__main__":
    run_app(main)
