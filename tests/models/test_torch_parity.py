"""Networks written in PyTorch, saved by it and imported here give the same logits and features.

The reference is written from torchvision's ResNet, the DeepLab papers and the names of D2ADA's checkpoints;
it shares no code with the models. It runs where torch is installed.
"""

import numpy as np
import pytest

from adeada_jax.import_weights import import_weights
from adeada_jax.models import Segmenter
from adeada_jax.models.torch_files import read_tensors
from adeada_jax.training import checkpoints

torch = pytest.importorskip("torch")
nn, F = torch.nn, torch.nn.functional

BLOCKS = {"resnet18": (2, 2, 2, 2), "resnet101": (3, 4, 23, 3)}
CLASSES = 7


def conv(inputs, outputs, size, stride=1, dilation=1):
    return nn.Conv2d(inputs, outputs, size, stride, dilation * (size // 2), dilation, bias=False)


class Basic(nn.Module):
    """torchvision has no dilated one; here both convolutions dilate."""

    expansion = 1

    def __init__(self, inputs, width, stride, dilation):
        super().__init__()
        self.conv1, self.bn1 = conv(inputs, width, 3, stride, dilation), nn.BatchNorm2d(width)
        self.conv2, self.bn2 = conv(width, width, 3, 1, dilation), nn.BatchNorm2d(width)
        self.downsample = None
        if stride != 1 or inputs != width:
            self.downsample = nn.Sequential(conv(inputs, width, 1, stride), nn.BatchNorm2d(width))

    def forward(self, x):
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        return F.relu(y + (x if self.downsample is None else self.downsample(x)))


class Bottleneck(nn.Module):
    expansion = 4

    def __init__(self, inputs, width, stride, dilation):
        super().__init__()
        self.conv1, self.bn1 = conv(inputs, width, 1), nn.BatchNorm2d(width)
        self.conv2, self.bn2 = conv(width, width, 3, stride, dilation), nn.BatchNorm2d(width)
        self.conv3, self.bn3 = conv(width, 4 * width, 1), nn.BatchNorm2d(4 * width)
        self.downsample = None
        if stride != 1 or inputs != 4 * width:
            self.downsample = nn.Sequential(conv(inputs, 4 * width, 1, stride), nn.BatchNorm2d(4 * width))

    def forward(self, x):
        y = F.relu(self.bn1(self.conv1(x)))
        y = self.bn3(self.conv3(F.relu(self.bn2(self.conv2(y)))))
        return F.relu(y + (x if self.downsample is None else self.downsample(x)))


# By output stride and stage: stride, dilation of the first block, dilation of the others.
GEOMETRY = {
    16: ((1, 1, 1), (2, 1, 1), (2, 1, 1), (1, 1, 2)),
    8: ((1, 1, 1), (2, 1, 1), (1, 1, 2), (1, 2, 4)),
}


class ResNet(nn.Module):
    def __init__(self, name, output_stride):
        super().__init__()
        block = Basic if name == "resnet18" else Bottleneck
        self.conv1, self.bn1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64)
        inputs = 64
        for i, (stride, first, others) in enumerate(GEOMETRY[output_stride]):
            width, stage = 64 * 2**i, []
            for j in range(BLOCKS[name][i]):
                stage.append(block(inputs, width, stride if j == 0 else 1, others if j else first))
                inputs = width * block.expansion
            setattr(self, f"layer{i + 1}", nn.Sequential(*stage))
        self.features, self.low_level_features = inputs, 64 * block.expansion

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.bn1(self.conv1(x))), 3, 2, 1)
        low_level = self.layer1(x)
        return low_level, self.layer4(self.layer3(self.layer2(low_level)))


def conv_norm_relu(inputs, outputs, size, dilation=1):
    return nn.Sequential(conv(inputs, outputs, size, 1, dilation), nn.BatchNorm2d(outputs), nn.ReLU())


class AsppV2(nn.Module):
    def __init__(self, inputs):
        super().__init__()
        self.convs = nn.ModuleList(nn.Sequential(conv(inputs, 256, 3, 1, rate)) for rate in (6, 12, 18, 24))

    def forward(self, x):
        return sum(branch(x) for branch in self.convs)


class HeadV2(nn.Module):
    def __init__(self, backbone, output_stride):
        super().__init__()
        self.aspp, self.final = AsppV2(backbone.features), nn.Conv2d(256, CLASSES, 1)

    def forward(self, low_level, x):
        features = self.aspp(x)
        return self.final(features), features


class AsppV3(nn.Module):
    def __init__(self, inputs, rates):
        super().__init__()
        pooling = nn.Sequential(nn.AdaptiveAvgPool2d(1), *conv_norm_relu(inputs, 256, 1))
        dilated = [conv_norm_relu(inputs, 256, 3, rate) for rate in rates]
        self.convs = nn.ModuleList([conv_norm_relu(inputs, 256, 1), *dilated, pooling])
        self.project = conv_norm_relu(5 * 256, 256, 1)

    def forward(self, x):
        branches = [branch(x) for branch in self.convs]
        branches[-1] = F.interpolate(branches[-1], x.shape[2:], mode="bilinear", align_corners=False)
        return self.project(torch.cat(branches, 1))


class HeadV3Plus(nn.Module):
    def __init__(self, backbone, output_stride):
        super().__init__()
        self.project = conv_norm_relu(backbone.low_level_features, 48, 1)
        self.aspp = AsppV3(backbone.features, (6, 12, 18) if output_stride == 16 else (12, 24, 36))
        self.classifier, self.final = conv_norm_relu(304, 256, 3), nn.Conv2d(256, CLASSES, 1)

    def forward(self, low_level, x):
        low_level = self.project(low_level)
        x = F.interpolate(self.aspp(x), low_level.shape[2:], mode="bilinear", align_corners=False)
        features = self.classifier(torch.cat([low_level, x], 1))
        return self.final(features), features


class Reference(nn.Module):
    """With the names of a D2ADA checkpoint."""

    def __init__(self, name, backbone, output_stride):
        super().__init__()
        self.backbone = ResNet(backbone, output_stride)
        self.classifier = {"deeplabv2": HeadV2, "deeplabv3plus": HeadV3Plus}[name](
            self.backbone, output_stride
        )

    def forward(self, x):
        return self.classifier(*self.backbone(x))


def shaken(reference):
    """The same with batch-norm statistics that are not trivial, and as if it had counted batches."""
    generator = torch.Generator().manual_seed(0)
    for module in reference.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.weight.data.uniform_(0.5, 1.5, generator=generator)
            module.running_var.uniform_(0.5, 1.5, generator=generator)
            module.bias.data.normal_(0, 0.1, generator=generator)
            module.running_mean.normal_(0, 0.1, generator=generator)
            module.num_batches_tracked += 3
    return reference.eval()


CASES = [
    ("deeplabv2", "resnet101", 16, (65, 97)),
    ("deeplabv3plus", "resnet101", 16, (71, 93)),
    ("deeplabv3plus", "resnet18", 8, (64, 48)),
]


@pytest.mark.parametrize(("name", "backbone", "output_stride", "size"), CASES)
def test_an_imported_checkpoint_gives_pytorchs_logits_and_features(
    name, backbone, output_stride, size, tmp_path
):
    torch.manual_seed(0)
    reference = shaken(Reference(name, backbone, output_stride))
    content = {"model_state_dict": reference.state_dict(), "opt_state_dict": {"param_groups": [{"lr": 0.1}]}}
    old = name == "deeplabv2"  # one of them in the format before torch 1.6
    torch.save(content, tmp_path / "model.pth", _use_new_zipfile_serialization=not old)
    import_weights(str(tmp_path / "model.pth"), tmp_path / "weights")

    segmenter = Segmenter(name, backbone=backbone, num_classes=CLASSES, output_stride=output_stride)
    like = dict(zip(("params", "batch_stats"), segmenter.shapes, strict=True))
    tree = checkpoints.restore(tmp_path / "weights", like)
    images = np.random.default_rng(2).normal(size=(1, *size, 3)).astype(np.float32)
    ours = segmenter.apply(tree["params"], tree["batch_stats"], images, train=False)[0]
    with torch.no_grad():
        theirs = reference(torch.tensor(images.transpose(0, 3, 1, 2)))
    for mine, other in zip(ours, theirs, strict=True):
        other = other.numpy().transpose(0, 2, 3, 1)
        assert mine.shape == other.shape
        assert np.abs(mine - other).max() < 1e-4 * np.abs(other).max() < np.inf


@pytest.mark.parametrize("new", [True, False])
def test_what_torch_saves_is_what_is_read(new, tmp_path):
    torch.manual_seed(0)
    base = torch.randn(6, 8)
    saved = {
        "float": base, "view": base[1:5:2, 3:], "transposed": base.t(), "spread": base[0].expand(3, 8),
        "half": base.half(), "double": base.double(), "long": torch.arange(5), "flag": base > 0,
        "parameter": nn.Parameter(base[2]), "scalar": torch.tensor(2.5), "nothing": torch.zeros(0, 3),
        "channels_last": torch.randn(2, 3, 4, 5).to(memory_format=torch.channels_last),
    }  # fmt: skip
    content = {"weights": saved, "bfloat": base.bfloat16(), "step": 3, "names": ["a", None]}
    torch.save(content, tmp_path / "saved.pth", _use_new_zipfile_serialization=new)
    read = read_tensors(tmp_path / "saved.pth")
    assert (read["step"], read["names"]) == (3, ["a", None])
    for name, tensor in saved.items():
        array = read["weights"][name].read()
        assert array.shape == tuple(tensor.shape)
        np.testing.assert_array_equal(array, tensor.detach().numpy())
    np.testing.assert_array_equal(read["bfloat"].read().astype(np.float32), base.bfloat16().float().numpy())
