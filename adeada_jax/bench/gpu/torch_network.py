"""The same forward passes and train steps in PyTorch, channels last, as eager as it is and compiled."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from adeada_jax.bench.gpu.network_cases import CLASSES, OPTIONS, RATE, STRIDE, Case, make_batch
from adeada_jax.models import normalize, torch_weights
from adeada_jax.models.torch_files import StoredTensor

_REFERENCE = Path(__file__).parents[3] / "tests" / "models"


def reference(case: Case) -> Any:
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


def weights_of(network: Any, case: Case) -> tuple[Any, Any]:
    """Our parameters and statistics with a PyTorch network's values."""
    arrays = {name: tensor.detach().cpu().numpy() for name, tensor in network.state_dict().items()}
    stored = {name: StoredTensor(a.shape, a.dtype, lambda a=a: a) for name, a in arrays.items()}
    found = torch_weights.convert(stored, "the reference", name=case.model, backbone=case.backbone)
    return found.tree["params"], found.tree["batch_stats"]


def set_precision(case: Case) -> None:
    """Products and convolutions of float32 as the case has them."""
    import torch

    tf32 = case.precision == "default"
    torch.backends.cuda.matmul.allow_tf32 = tf32
    torch.backends.cudnn.allow_tf32 = tf32
    torch.backends.cudnn.benchmark = True


def task(network: Any, case: Case, *, compiled: bool = False) -> Callable[[], Any]:
    """What does one forward pass or supervised step, and waits; it gives logits or the loss.

    Args:
        network: from `reference`, which a step changes.
        case: "forward" or "supervised".
        compiled: by torch.compile.
    """
    import torch

    set_precision(case)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    network = network.to(device, memory_format=torch.channels_last).eval()
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.requires_grad_(False)
    batch = make_batch(case)
    image = torch.from_numpy(np.asarray(normalize(batch["image"])).transpose(0, 3, 1, 2).copy())
    image = image.to(device, memory_format=torch.channels_last)
    half = torch.autocast(device, torch.bfloat16, enabled=case.dtype == "bfloat16")
    model = torch.compile(network) if compiled else network
    if case.task == "forward":

        def forward() -> Any:
            with torch.no_grad(), half:
                logits = model(image)[0].float()
            _wait(torch, device)
            return logits

        return forward
    return _training(torch, model, network, image, batch["label"], half, device)


def _training(torch: Any, model: Any, network: Any, image: Any, labels: np.ndarray, half: Any, device: str):
    label = torch.from_numpy(labels.astype(np.int64)).to(device)
    groups = [
        {"params": [p for p in network.backbone.parameters() if p.requires_grad]},
        {"params": [p for p in network.classifier.parameters() if p.requires_grad],
         "lr": RATE * OPTIONS["head_multiplier"]},
    ]  # fmt: skip
    optimizer = torch.optim.SGD(groups, lr=RATE, momentum=OPTIONS["momentum"],
                                weight_decay=OPTIONS["weight_decay"])  # fmt: skip

    def step() -> Any:
        optimizer.zero_grad(set_to_none=True)
        with half:
            logits = model(image)[0]
        logits = torch.nn.functional.interpolate(
            logits.float(), label.shape[1:], mode="bilinear", align_corners=False
        )
        losses = torch.nn.functional.cross_entropy(logits, label, ignore_index=255, reduction="none")
        loss = (losses.sum((1, 2)) / (label != 255).sum((1, 2))).mean()
        loss.backward()
        optimizer.step()
        _wait(torch, device)
        return loss.detach()

    return step


def _wait(torch: Any, device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


def release() -> None:
    """Give memory that PyTorch holds back to the device."""
    import torch

    if torch.cuda.is_available():
        torch.cuda.empty_cache()


if __name__ == "__main__":  # compiles the cases that are given as JSON, for the cache on the disk
    for text in sys.argv[1:]:
        case = Case(**json.loads(text))
        run = task(reference(case), case, compiled=True)
        run(), run()
