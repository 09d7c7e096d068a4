"""The same forward passes and train steps in PyTorch, channels last, as eager as it is and compiled."""

import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import jax.numpy as jnp
import numpy as np

from adeada_jax.bench.gpu.network_cases import (
    ADVERSARIAL_WEIGHT,
    CLASSES,
    OPTIONS,
    RATE,
    STRIDE,
    make_batch,
)
from adeada_jax.bench.gpu.network_names import Case
from adeada_jax.models import normalize, torch_weights
from adeada_jax.models.discriminator import CHANNELS, SLOPE
from adeada_jax.models.torch_files import StoredTensor
from adeada_jax.types import PyTree

if TYPE_CHECKING:  # it is not everywhere
    from torch import Tensor, nn
    from torch.optim import Optimizer

_REFERENCE = Path(__file__).parents[3] / "tests" / "models"


def reference(case: Case) -> "nn.Module":
    """The network of the tests, random, with the statistics of fresh batch norm.

    Raises:
        ImportError: there is no PyTorch.
    """
    import torch

    sys.path.insert(0, str(_REFERENCE))
    try:
        import torch_reference
    finally:
        sys.path.remove(str(_REFERENCE))
    torch.manual_seed(0)
    return torch_reference.Reference(case.model, case.backbone, STRIDE, CLASSES)


def weights_of(network: "nn.Module", case: Case) -> tuple[PyTree, PyTree]:
    """Our parameters and statistics with a PyTorch network's values."""
    arrays = {name: tensor.detach().cpu().numpy() for name, tensor in network.state_dict().items()}
    stored = {name: StoredTensor(a.shape, a.dtype, partial(np.asarray, a)) for name, a in arrays.items()}
    found = torch_weights.convert(stored, "the reference", name=case.model, backbone=case.backbone)
    return found.tree["params"], found.tree["batch_stats"]


def set_precision(case: Case) -> None:
    """Products and convolutions of float32 as the case has them."""
    import torch

    tf32 = case.precision == "default"
    torch.backends.cuda.matmul.allow_tf32 = tf32
    torch.backends.cudnn.allow_tf32 = tf32
    torch.backends.cudnn.benchmark = True


def task(network: "nn.Module", case: Case, *, compiled: bool = False) -> Callable[[], "Tensor"]:
    """What does one forward pass or one step, and waits; it gives logits or the supervised loss.

    Args:
        network: from `reference`, which a step changes.
        case: which.
        compiled: by torch.compile.
    """
    import torch

    set_precision(case)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    network = network.to(device, memory_format=torch.channels_last).eval()
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.requires_grad_(False)
    batch = {name: _on_device(torch, array, device) for name, array in make_batch(case).items()}
    half = torch.autocast(device, torch.bfloat16, enabled=case.dtype == "bfloat16")
    model = torch.compile(network) if compiled else network
    step = {"forward": _forward, "supervised": _supervised, "adversarial": _adversarial}[case.task](
        torch, model, network, batch, half, compiled
    )

    def waited() -> "Tensor":
        found = step()
        if device == "cuda":
            torch.cuda.synchronize()
        return found

    return waited


def _on_device(torch: ModuleType, array: np.ndarray, device: str) -> "Tensor":
    """Images normalised and channels last, labels and places as integers."""
    if array.ndim < 4:
        return torch.from_numpy(array.astype(np.int64)).to(device)
    image = torch.from_numpy(np.asarray(normalize(jnp.asarray(array))).transpose(0, 3, 1, 2).copy())
    return image.to(device, memory_format=torch.channels_last)


def _forward(
    torch: ModuleType,
    model: "nn.Module",
    network: "nn.Module",
    batch: dict[str, "Tensor"],
    half: AbstractContextManager[None],
    compiled: bool,
) -> Callable[[], "Tensor"]:
    def forward() -> "Tensor":
        with torch.no_grad(), half:
            return model(batch["image"])[0].float()

    return forward


def _optimizer(torch: ModuleType, network: "nn.Module") -> "Optimizer":
    groups = [
        {"params": [p for p in network.backbone.parameters() if p.requires_grad]},
        {
            "params": [p for p in network.classifier.parameters() if p.requires_grad],
            "lr": RATE * OPTIONS["head_multiplier"],
        },
    ]
    return torch.optim.SGD(
        groups, lr=RATE, momentum=OPTIONS["momentum"], weight_decay=OPTIONS["weight_decay"]
    )


def _logits(
    torch: ModuleType,
    model: "nn.Module",
    images: "Tensor",
    labels: "Tensor",
    half: AbstractContextManager[None],
) -> "Tensor":
    """At the labels' size."""
    with half:
        logits = model(images)[0]
    return torch.nn.functional.interpolate(
        logits.float(), labels.shape[1:], mode="bilinear", align_corners=False
    )


def _cross_entropy(torch: ModuleType, logits: "Tensor", labels: "Tensor") -> "Tensor":
    losses = torch.nn.functional.cross_entropy(logits, labels, ignore_index=255, reduction="none")
    return (losses.sum((1, 2)) / (labels != 255).sum((1, 2))).mean()


def _supervised(
    torch: ModuleType,
    model: "nn.Module",
    network: "nn.Module",
    batch: dict[str, "Tensor"],
    half: AbstractContextManager[None],
    compiled: bool,
) -> Callable[[], "Tensor"]:
    optimizer, labels = _optimizer(torch, network), batch["label"]

    def step() -> "Tensor":
        optimizer.zero_grad(set_to_none=True)
        loss = _cross_entropy(torch, _logits(torch, model, batch["image"], labels, half), labels)
        loss.backward()
        optimizer.step()
        return loss.detach()

    return step


def discriminator(torch: ModuleType) -> "nn.Module":
    """As `adeada_jax.models.Discriminator`, with PyTorch's random weights."""
    layers, before = [], CLASSES
    for features in CHANNELS:
        layers += [torch.nn.Conv2d(before, features, 4, 2, 1), torch.nn.LeakyReLU(SLOPE)]
        before = features
    return torch.nn.Sequential(*layers, torch.nn.Conv2d(before, 1, 4, 2, 1))


def _adversarial(
    torch: ModuleType,
    model: "nn.Module",
    network: "nn.Module",
    batch: dict[str, "Tensor"],
    half: AbstractContextManager[None],
    compiled: bool,
) -> Callable[[], "Tensor"]:
    optimizer, labels = _optimizer(torch, network), batch["label"]
    images = torch.cat([batch["image"], batch["target_image"]])
    images = images.contiguous(memory_format=torch.channels_last)
    judge = discriminator(torch).to(images.device, memory_format=torch.channels_last)
    of_judge = torch.optim.Adam(judge.parameters(), lr=RATE, betas=(0.9, 0.99))
    judged = torch.compile(judge) if compiled else judge

    def domain_loss(maps: "Tensor", domain: float) -> "Tensor":
        with half:
            scores = judged(maps)
        scores = scores.float()
        return torch.nn.functional.binary_cross_entropy_with_logits(scores, torch.full_like(scores, domain))

    def step() -> "Tensor":
        optimizer.zero_grad(set_to_none=True)
        source, target = _logits(torch, model, images, labels, half).split(len(labels))
        target_maps = target.softmax(1)
        judge.requires_grad_(False)
        loss = _cross_entropy(torch, source, labels)
        (loss + ADVERSARIAL_WEIGHT * domain_loss(target_maps, 0.0)).backward()
        judge.requires_grad_(True)
        of_judge.zero_grad(set_to_none=True)
        maps = source.detach().softmax(1), target_maps.detach()
        (0.5 * (domain_loss(maps[0], 0.0) + domain_loss(maps[1], 1.0))).backward()
        optimizer.step()
        of_judge.step()
        return loss.detach()

    return step


def release() -> None:
    """Give memory that PyTorch holds back to the device."""
    import torch

    if torch.cuda.is_available():
        torch.cuda.empty_cache()
