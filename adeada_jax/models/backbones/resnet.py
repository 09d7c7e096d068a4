"""ResNet-18/50/101 (He et al. 2016) in torchvision's layout, dilated to output stride 8 or 16."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import jax
from flax import nnx

from adeada_jax.models.dropout import Draw
from adeada_jax.models.layers import NormFactory, conv, relu, run_block, stage_geometry
from adeada_jax.models.parts import Backbone, Build
from adeada_jax.models.torch_files import StoredTensor


@dataclass(frozen=True)
class ResNetSpec:
    """Blocks by stage, the kind of block, and the first stage's channels."""

    blocks: tuple[int, int, int, int]
    bottleneck: bool
    width: int = 64


RESNETS = {
    "resnet18": ResNetSpec((2, 2, 2, 2), bottleneck=False),
    # ResNet-18 with half the channels: for laptops and training without pretrained weights.
    "resnet18_half": ResNetSpec((2, 2, 2, 2), bottleneck=False, width=32),
    "resnet50": ResNetSpec((3, 4, 6, 3), bottleneck=True),
    "resnet101": ResNetSpec((3, 4, 23, 3), bottleneck=True),
}

# ResNets that are known by their look, but not here.
_OTHERS = {
    "resnet34": ResNetSpec((3, 4, 6, 3), bottleneck=False),
    "resnet152": ResNetSpec((3, 8, 36, 3), bottleneck=True),
    "wide_resnet50_2 or a ResNeXt-50": ResNetSpec((3, 4, 6, 3), bottleneck=True, width=128),
    "wide_resnet101_2": ResNetSpec((3, 4, 23, 3), bottleneck=True, width=128),
}

ConvFactory = Callable[..., nnx.Conv]


class Downsample(nnx.Module):
    """The shortcut's 1x1 convolution where a block changes size or channels."""

    def __init__(
        self, in_features: int, features: int, stride: int, make_conv: ConvFactory, norm: NormFactory
    ):
        self.conv = make_conv(in_features, features, 1, stride=stride)
        self.bn = norm(features)

    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        return self.bn(self.conv(x), train)


class BasicBlock(nnx.Module):
    """Two 3x3 convolutions and a shortcut (ResNet-18).

    Both convolutions of a dilated stage dilate; torchvision has no dilated BasicBlock to follow.
    """

    expansion = 1

    def __init__(
        self,
        in_features: int,
        width: int,
        stride: int,
        dilation: int,
        make_conv: ConvFactory,
        norm: NormFactory,
    ):
        self.conv1 = make_conv(in_features, width, 3, stride=stride, dilation=dilation)
        self.bn1 = norm(width)
        self.conv2 = make_conv(width, width, 3, dilation=dilation)
        self.bn2 = norm(width)
        self.downsample = _shortcut(in_features, width, stride, make_conv, norm)

    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        y = relu(self.bn1(self.conv1(x), train))
        y = self.bn2(self.conv2(y), train)
        return relu(y + (x if self.downsample is None else self.downsample(x, train)))


class Bottleneck(nnx.Module):
    """1x1, 3x3 (with the stride, as torchvision) and 1x1 convolutions and a shortcut (ResNet-50, -101)."""

    expansion = 4

    def __init__(
        self,
        in_features: int,
        width: int,
        stride: int,
        dilation: int,
        make_conv: ConvFactory,
        norm: NormFactory,
    ):
        self.conv1 = make_conv(in_features, width, 1)
        self.bn1 = norm(width)
        self.conv2 = make_conv(width, width, 3, stride=stride, dilation=dilation)
        self.bn2 = norm(width)
        self.conv3 = make_conv(width, 4 * width, 1)
        self.bn3 = norm(4 * width)
        self.downsample = _shortcut(in_features, 4 * width, stride, make_conv, norm)

    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        y = relu(self.bn1(self.conv1(x), train))
        y = relu(self.bn2(self.conv2(y), train))
        y = self.bn3(self.conv3(y), train)
        return relu(y + (x if self.downsample is None else self.downsample(x, train)))


def _shortcut(
    in_features: int, features: int, stride: int, make_conv: ConvFactory, norm: NormFactory
) -> Downsample | None:
    if stride == 1 and in_features == features:
        return None
    return Downsample(in_features, features, stride, make_conv, norm)


class Stage(nnx.Module):
    """A stage's blocks, named block0, block1, ...; only the first has the stride, and its own dilation."""

    def __init__(
        self,
        in_features: int,
        width: int,
        blocks: int,
        stride: int,
        dilations: Sequence[int],
        spec: ResNetSpec,
        make_conv: ConvFactory,
        norm: NormFactory,
        remat: bool,
    ):
        self.remat = remat
        block = Bottleneck if spec.bottleneck else BasicBlock
        self.names = tuple(f"block{i}" for i in range(blocks))
        for i, name in enumerate(self.names):
            dilation = dilations[min(i, 1)]
            setattr(self, name, block(in_features, width, stride if i == 0 else 1, dilation, make_conv, norm))
            in_features = width * block.expansion
        self.features = in_features

    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        for name in self.names:
            x = run_block(getattr(self, name), x, train, remat=self.remat)
        return x


class ResNet(Backbone):
    """The convolutional part of a ResNet; one array of features a stage, the first at 1/4 of the image."""

    renames = (
        (r"(layer\d)\.block(\d+)\.downsample\.conv", r"\1.\2.downsample.0"),
        (r"(layer\d)\.block(\d+)\.downsample\.bn", r"\1.\2.downsample.1"),
        (r"(layer\d)\.block(\d+)\.(.*)", r"\1.\2.\3"),
    )
    unused = (r"fc\.(weight|bias)",)

    def __init__(self, spec: ResNetSpec, build: Build):
        """Builds the stem and the four stages, at the output stride of `build`.

        Args:
          spec: one of RESNETS.
          build: see there.

        Raises:
          InputError: the output stride is unknown.
        """
        make_conv = partial(conv, dtype=build.dtype, rngs=build.rngs)
        self.conv1 = make_conv(3, spec.width, 7, stride=2)
        self.bn1 = build.norm(spec.width)
        features, channels = spec.width, []
        for i, (stride, *dilations) in enumerate(stage_geometry((1, 2, 2, 2), 4, build.output_stride)):
            stage = Stage(
                features,
                spec.width * 2**i,
                spec.blocks[i],
                stride,
                dilations,
                spec,
                make_conv,
                build.norm,
                build.remat,
            )
            setattr(self, f"layer{i + 1}", stage)
            features = stage.features
            channels.append(features)
        self.channels = tuple(channels)

    def __call__(self, images: jax.Array, train: bool, draw: Draw | None) -> tuple[jax.Array, ...]:
        x = relu(self.bn1(self.conv1(images), train))
        x = nnx.max_pool(x, (3, 3), strides=(2, 2), padding=((1, 1), (1, 1)))
        features = []
        for i in range(1, 5):
            x = getattr(self, f"layer{i}")(x, train)
            features.append(x)
        return tuple(features)


BACKBONES = {name: partial(ResNet, spec) for name, spec in RESNETS.items()}


def look(tensors: Mapping[str, object]) -> str | None:
    """A ResNet's name, or what can be said of one without a name; None for another network."""
    first = tensors.get("layer1.0.conv1.weight")
    if "conv1.weight" not in tensors or not isinstance(first, StoredTensor) or not first.shape:
        return None
    blocks = [0, 0, 0, 0]
    for key in tensors:
        if match := re.match(r"layer([1-4])\.(\d+)\.", key):
            stage = int(match[1]) - 1
            blocks[stage] = max(blocks[stage], int(match[2]) + 1)
    bottleneck, width = "layer1.0.conv3.weight" in tensors, first.shape[0]
    spec = ResNetSpec((blocks[0], blocks[1], blocks[2], blocks[3]), bottleneck, width)
    for name, known in {**RESNETS, **_OTHERS}.items():
        if spec == known:
            return name
    kind = "bottleneck" if spec.bottleneck else "basic"
    return f"a ResNet of {'-'.join(map(str, blocks))} {kind} blocks with {spec.width} channels at first"
