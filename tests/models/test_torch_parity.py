"""The same numbers through PyTorch's own operations give the same logits and features, at odd sizes too.

The reference below is written from torchvision's ResNet and the DeepLab papers; it shares no code with the
models. It runs where torch is installed.
"""

import numpy as np
import pytest

from adeada_jax.models import Segmenter

torch = pytest.importorskip("torch")
F = torch.nn.functional

STAGES = {"resnet18_half": ((2, 2, 2, 2), False), "resnet50": ((3, 4, 6, 3), True)}


class Reference:
    """Walks nested dicts of our numbers; every method is one PyTorch operation."""

    def __init__(self, params, batch_stats):
        self.params, self.batch_stats = params, batch_stats

    def __getitem__(self, name):
        return Reference(self.params.get(name, {}), self.batch_stats.get(name, {}))

    def conv(self, x, *, stride=1, padding=0, dilation=1):
        kernel = torch.tensor(np.asarray(self.params["kernel"]).transpose(3, 2, 0, 1))
        bias = torch.tensor(np.asarray(self.params["bias"])) if "bias" in self.params else None
        return F.conv2d(x, kernel, bias, stride, padding, dilation)

    def norm(self, x):
        mean, var, scale, bias = (
            torch.tensor(np.asarray(self.batch_stats[name])) for name in ("mean", "var", "scale", "bias")
        )
        return F.batch_norm(x, mean, var, scale, bias, eps=1e-5)

    def conv_norm_relu(self, x, **options):
        return F.relu(self["bn"].norm(self["conv"].conv(x, **options)))


def block(net, x, stride, dilation, bottleneck):
    if bottleneck:
        y = F.relu(net["bn1"].norm(net["conv1"].conv(x)))
        y = F.relu(net["bn2"].norm(net["conv2"].conv(y, stride=stride, padding=dilation, dilation=dilation)))
        y = net["bn3"].norm(net["conv3"].conv(y))
    else:
        y = F.relu(net["bn1"].norm(net["conv1"].conv(x, stride=stride, padding=dilation, dilation=dilation)))
        y = net["bn2"].norm(net["conv2"].conv(y, padding=dilation, dilation=dilation))
    if net["downsample"].params:
        x = net["downsample"]["bn"].norm(net["downsample"]["conv"].conv(x, stride=stride))
    return F.relu(x + y)


def backbone(net, x, blocks, bottleneck):
    """Output stride 16: the last stage has dilation 2 from its second block on."""
    x = F.relu(net["bn1"].norm(net["conv1"].conv(x, stride=2, padding=3)))
    x = F.max_pool2d(x, 3, 2, 1)
    low_level = None
    for i, count in enumerate(blocks):
        stage = net[f"layer{i + 1}"]
        for j in range(count):
            stride = 2 if j == 0 and i in (1, 2) else 1
            x = block(stage[f"block{j}"], x, stride, 2 if i == 3 and j > 0 else 1, bottleneck)
        low_level = x if i == 0 else low_level
    return low_level, x


def deeplab_v2(net, low_level, x):
    features = sum(net[f"branch{i}"].conv(x, padding=r, dilation=r) for i, r in enumerate((6, 12, 18, 24)))
    return net["classifier"].conv(features), features


def deeplab_v3plus(net, low_level, x):
    aspp = net["aspp"]
    branches = [aspp["branch0"].conv_norm_relu(x)]
    branches += [
        aspp[f"branch{i}"].conv_norm_relu(x, padding=r, dilation=r) for i, r in enumerate((6, 12, 18), 1)
    ]
    pooled = aspp["pooling"].conv_norm_relu(F.adaptive_avg_pool2d(x, 1))
    branches.append(F.interpolate(pooled, size=x.shape[2:], mode="bilinear", align_corners=False))
    x = aspp["project"].conv_norm_relu(torch.cat(branches, 1))
    low_level = net["low_level"].conv_norm_relu(low_level)
    x = F.interpolate(x, size=low_level.shape[2:], mode="bilinear", align_corners=False)
    features = net["fuse"].conv_norm_relu(torch.cat([low_level, x], 1), padding=1)
    return net["classifier"].conv(features), features


def numbers(segmenter):
    """Parameters at random and batch-norm statistics that are not trivial."""
    rng = np.random.default_rng(1)
    params, batch_stats = segmenter.init(0)

    def shaken(tree):
        return {
            key: shaken(value) if isinstance(value, dict)
            else np.asarray(value) * rng.uniform(0.5, 1.5, value.shape).astype(np.float32)
            + (0.1 * rng.normal(size=value.shape).astype(np.float32) if key in ("mean", "bias") else 0)
            for key, value in tree.items()
        }  # fmt: skip

    return params, shaken(batch_stats)


@pytest.mark.parametrize("size", [(64, 128), (71, 93)])
@pytest.mark.parametrize("backbone_name", list(STAGES))
@pytest.mark.parametrize(("name", "head"), [("deeplabv2", deeplab_v2), ("deeplabv3plus", deeplab_v3plus)])
def test_logits_and_features_equal_pytorchs(name, head, backbone_name, size):
    segmenter = Segmenter(name, backbone=backbone_name, num_classes=7)
    params, batch_stats = numbers(segmenter)
    images = np.random.default_rng(2).normal(size=(1, *size, 3)).astype(np.float32)
    ours = segmenter.apply(params, batch_stats, images, train=False)[0]
    net = Reference(params, batch_stats)
    with torch.no_grad():
        x = torch.tensor(images.transpose(0, 3, 1, 2))
        theirs = head(net["head"], *backbone(net["backbone"], x, *STAGES[backbone_name]))
    for mine, other in zip(ours, theirs, strict=True):
        other = other.numpy().transpose(0, 2, 3, 1)
        assert mine.shape == other.shape
        assert np.abs(mine - other).max() <= 1e-4 * np.abs(other).max()
