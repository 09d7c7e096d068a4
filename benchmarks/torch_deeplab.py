"""DeepLabV3+ on a ResNet with bottlenecks in PyTorch, its batch norm frozen, to be timed against ours.

Written as one would write it in PyTorch: NCHW, `nn.BatchNorm2d` in evaluation mode, SGD in two groups.
"""

from collections.abc import Iterator
from typing import Any

import jax
import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from adeada_jax.config import paper_defaults
from adeada_jax.models import torch_keys
from adeada_jax.models.layers import IMAGENET_MEAN, IMAGENET_STD
from adeada_jax.models.resnet import RESNETS
from adeada_jax.types import IGNORE_LABEL


def norm(features: int) -> nn.BatchNorm2d:
    """Batch norm that is never trained."""
    return nn.BatchNorm2d(features).requires_grad_(False)


def conv(inputs: int, outputs: int, size: int, stride: int = 1, dilation: int = 1) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, size, stride, dilation * (size // 2), dilation, bias=False)


def conv_norm_relu(inputs: int, outputs: int, size: int, dilation: int = 1) -> list[nn.Module]:
    return [conv(inputs, outputs, size, 1, dilation), norm(outputs), nn.ReLU(inplace=True)]


class Bottleneck(nn.Module):
    def __init__(self, inputs: int, width: int, stride: int, dilation: int):
        super().__init__()
        self.conv1, self.bn1 = conv(inputs, width, 1), norm(width)
        self.conv2, self.bn2 = conv(width, width, 3, stride, dilation), norm(width)
        self.conv3, self.bn3 = conv(width, 4 * width, 1), norm(4 * width)
        self.downsample = None
        if stride != 1 or inputs != 4 * width:
            self.downsample = nn.Sequential(conv(inputs, 4 * width, 1, stride), norm(4 * width))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = F.relu(self.bn1(self.conv1(x)), inplace=True)
        y = F.relu(self.bn2(self.conv2(y)), inplace=True)
        shortcut = x if self.downsample is None else self.downsample(x)
        return F.relu(self.bn3(self.conv3(y)) + shortcut, inplace=True)


class ResNet(nn.Module):
    """At output stride 16: the last stage dilates instead of its stride."""

    def __init__(self, name: str):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False), norm(64)
        inputs = 64
        for i, count in enumerate(RESNETS[name].blocks):
            width, blocks = 64 * 2**i, []
            for j in range(count):
                stride = 2 if j == 0 and i in (1, 2) else 1
                blocks.append(Bottleneck(inputs, width, stride, 2 if i == 3 and j > 0 else 1))
                inputs = 4 * width
            setattr(self, f"layer{i + 1}", nn.Sequential(*blocks))

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        x = F.max_pool2d(F.relu(self.bn1(self.conv1(x)), inplace=True), 3, 2, 1)
        low_level = self.layer1(x)
        return low_level, self.layer4(self.layer3(self.layer2(low_level)))


class Aspp(nn.Module):
    def __init__(self):
        super().__init__()
        pooling = nn.Sequential(nn.AdaptiveAvgPool2d(1), *conv_norm_relu(2048, 256, 1))
        branches = [nn.Sequential(*conv_norm_relu(2048, 256, 3, rate)) for rate in (6, 12, 18)]
        self.convs = nn.ModuleList([nn.Sequential(*conv_norm_relu(2048, 256, 1)), *branches, pooling])
        self.project = nn.Sequential(*conv_norm_relu(5 * 256, 256, 1), nn.Dropout(0.1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        branches = [branch(x) for branch in self.convs]
        branches[-1] = branches[-1].expand(-1, -1, *x.shape[2:])
        return self.project(torch.cat(branches, 1))


class Head(nn.Module):
    def __init__(self, num_classes: int):
        super().__init__()
        self.aspp, self.project = Aspp(), nn.Sequential(*conv_norm_relu(256, 48, 1))
        self.classifier = nn.Sequential(*conv_norm_relu(304, 256, 3))
        self.final = nn.Conv2d(256, num_classes, 1)

    def forward(self, low_level: torch.Tensor, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        low_level = self.project(low_level)
        x = F.interpolate(self.aspp(x), low_level.shape[2:], mode="bilinear", align_corners=False)
        features = self.classifier(torch.cat([low_level, x], 1))
        return self.final(features), features


class DeepLabV3Plus(nn.Module):
    """Class scores and the 256-d feature at 1/4 of the image.

    Args:
      backbone: one of RESNETS with bottlenecks.
      params: ours, of a segmenter with frozen batch norm.
      batch_stats: likewise.
    """

    def __init__(self, backbone: str, num_classes: int, params: Any, batch_stats: Any):
        super().__init__()
        self.backbone, self.classifier = ResNet(backbone), Head(num_classes)
        state = {**dict(translated(params)), **dict(translated(batch_stats))}
        counters = {name: n for name, n in self.state_dict().items() if name.endswith("num_batches_tracked")}
        self.load_state_dict(state | counters)

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return self.classifier(*self.backbone(images))

    def train(self, mode: bool = True) -> "DeepLabV3Plus":
        """As torch's, but batch norm stays frozen."""
        super().train(mode)
        for module in self.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eval()
        return self


def translated(tree: Any) -> Iterator[tuple[str, torch.Tensor]]:
    """Our arrays as tensors under torch's names."""
    parts = {
        "backbone": ("backbone.", torch_keys.RESNET),
        "head": ("classifier.", torch_keys.HEADS["deeplabv3plus"]),
    }
    for path, leaf in jax.tree_util.tree_flatten_with_path(tree)[0]:
        first, *names = (str(entry.key) for entry in path)
        prefix, renames = parts[first]
        array = np.array(leaf)
        array = array.transpose(3, 2, 0, 1) if array.ndim == 4 else array
        yield prefix + torch_keys.torch_key(names, renames), torch.from_numpy(np.ascontiguousarray(array))


class Contender:
    """A model with its optimiser on a device.

    Attributes:
      model: the network.
    """

    def __init__(self, model: DeepLabV3Plus, device: str, *, channels_last: bool, bfloat16: bool):
        self._format = torch.channels_last if channels_last else torch.contiguous_format
        self._device, self._bfloat16 = device, bfloat16
        self.model = model.to(device, memory_format=self._format)
        self._mean = torch.tensor(IMAGENET_MEAN, device=device)[:, None, None]
        self._std = torch.tensor(IMAGENET_STD, device=device)[:, None, None]
        options = paper_defaults()
        rate, multiplier = options.finetune.learning_rate, options.optimizer.head_multiplier
        groups = [
            {"params": [p for p in part.parameters() if p.requires_grad], "lr": own}
            for part, own in ((model.backbone, rate), (model.classifier, rate * multiplier))
        ]
        self._optimizer = torch.optim.SGD(
            groups, momentum=options.optimizer.momentum, weight_decay=options.optimizer.weight_decay
        )

    def _run(self, images: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
        x = torch.from_numpy(images).to(self._device).permute(0, 3, 1, 2).float() / 255
        x = ((x - self._mean) / self._std).contiguous(memory_format=self._format)
        with torch.autocast(self._device, torch.bfloat16, enabled=self._bfloat16):
            return self.model(x)

    def forward(self, images: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
        """`(B, H, W, 3)` uint8 to class scores and features, finished."""
        self.model.eval()
        with torch.inference_mode():
            outputs = self._run(images)
        self._wait()
        return outputs

    def train(self, images: np.ndarray, labels: np.ndarray) -> None:
        """One step on `(B, H, W, 3)` and `(B, H, W)` uint8, finished."""
        self.model.train()
        logits = self._run(images)[0].float()
        logits = F.interpolate(logits, labels.shape[1:], mode="bilinear", align_corners=False)
        target = torch.from_numpy(labels.astype(np.int64)).to(self._device)
        self._optimizer.zero_grad()
        F.cross_entropy(logits, target, ignore_index=IGNORE_LABEL).backward()
        self._optimizer.step()
        self._wait()

    def _wait(self) -> None:
        if self._device == "cuda":
            torch.cuda.synchronize()
