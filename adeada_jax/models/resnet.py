"""ResNet-18/50/101 (He et al. 2016) in torchvision's layout, dilated to output stride 8 or 16."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import jax
import jax.numpy as jnp
from flax import nnx

from adeada_jax.models.layers import NormFactory, conv, relu, run_block, stage_geometry


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

    def __init__(self, in_features: int, width: int, stride: int, dilation: int, make_conv: ConvFactory,
                 norm: NormFactory):  # fmt: skip
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

    def __init__(self, in_features: int, width: int, stride: int, dilation: int, make_conv: ConvFactory,
                 norm: NormFactory):  # fmt: skip
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


def _shortcut(in_features: int, features: int, stride: int, make_conv: ConvFactory, norm: NormFactory):
    if stride == 1 and in_features == features:
        return None
    return Downsample(in_features, features, stride, make_conv, norm)


class Stage(nnx.Module):
    """A stage's blocks, named block0, block1, ...; only the first has the stride, and its own dilation."""

    def __init__(self, in_features: int, width: int, blocks: int, stride: int, dilations: Sequence[int],
                 spec: ResNetSpec, make_conv: ConvFactory, norm: NormFactory, remat: bool):  # fmt: skip
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


class ResNet(nnx.Module):
    """The convolutional part of a ResNet.

    Attributes:
      features: channels of the last stage.
      low_level_features: channels of the first stage, at 1/4 of the image.
    """

    def __init__(self, name: str, *, output_stride: int, norm: NormFactory, dtype: jnp.dtype, rngs: nnx.Rngs,
                 remat: bool = False):  # fmt: skip
        """
        Args:
          name: one of RESNETS.
          output_stride: 8, 16 or 32: the image's size over the last stage's.
          remat: keeps only the blocks' outputs for the gradients.

        Raises:
          InputError: the output stride is unknown.
        """
        spec = RESNETS[name]

        def make_conv(*args, **kwargs) -> nnx.Conv:
            return conv(*args, dtype=dtype, rngs=rngs, **kwargs)

        self.conv1 = make_conv(3, spec.width, 7, stride=2)
        self.bn1 = norm(spec.width)
        features = spec.width
        for i, (stride, *dilations) in enumerate(stage_geometry((1, 2, 2, 2), 4, output_stride)):
            stage = Stage(
                features, spec.width * 2**i, spec.blocks[i], stride, dilations, spec, make_conv, norm, remat
            )
            setattr(self, f"layer{i + 1}", stage)
            features = stage.features
        self.features = features
        self.low_level_features = self.layer1.features

    def __call__(self, x: jax.Array, train: bool) -> tuple[jax.Array, jax.Array]:
        """`(B, H, W, 3)` to the first stage's `(B, H/4, W/4, .)` and the last stage's features."""
        x = relu(self.bn1(self.conv1(x), train))
        x = nnx.max_pool(x, (3, 3), strides=(2, 2), padding=((1, 1), (1, 1)))
        low_level = self.layer1(x, train)
        x = self.layer2(low_level, train)
        x = self.layer3(x, train)
        return low_level, self.layer4(x, train)
