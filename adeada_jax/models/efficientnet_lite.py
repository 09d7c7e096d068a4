"""EfficientNet-Lite0 (Google 2020; Tan and Le 2019) as a backbone, dilated to output stride 8 or 16.

For machines without an accelerator. What is particular to it: ReLU6, no squeeze-and-excitation, TensorFlow's
padding, batch norm with epsilon 0.001, and images that are scaled otherwise than for ResNets.
"""

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from adeada_jax.models.depthwise import depthwise
from adeada_jax.models.layers import IMAGENET_MEAN, IMAGENET_STD, NormFactory, conv, run_block, stage_geometry

EPSILON = 1e-3
STEM_FEATURES = 32
# By stage: blocks, size of the depthwise convolution, stride, expansion of channels, channels.
STAGES = (
    (1, 3, 1, 1, 16), (2, 3, 2, 6, 24), (2, 5, 2, 6, 40), (3, 3, 2, 6, 80), (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192), (1, 3, 1, 6, 320),
)  # fmt: skip
_LOW_LEVEL_STAGE = 1  # the last one at 1/4 of the image

# From images normalised with ImageNet's statistics to those the weights know, (pixel - 127) / 128. This comes
# before the first convolution, not into its weights: its padding is zeros of the latter.
_SCALE = np.asarray(255 * IMAGENET_STD / 128, np.float32)
_OFFSET = np.asarray((255 * IMAGENET_MEAN - 127) / 128, np.float32)


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

    def __init__(self, in_features: int, features: int, expansion: int, size: int, stride: int, dilation: int,
                 norm: NormFactory, dtype: jnp.dtype, rngs: nnx.Rngs):  # fmt: skip
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


class EfficientNetLite0(nnx.Module):
    """The convolutional part of EfficientNet-Lite0, without the 1280 channels before its classifier.

    Attributes:
      features: channels of the last block, 320.
      low_level_features: channels of the last block at 1/4 of the image, 24.
    """

    def __init__(self, *, output_stride: int, norm: NormFactory, dtype: jnp.dtype, rngs: nnx.Rngs,
                 remat: bool = False):  # fmt: skip
        """
        Args:
          output_stride: 8, 16 or 32: the image's size over the last block's.
          remat: keeps only the blocks' outputs for the gradients.

        Raises:
          InputError: the output stride is unknown.
        """
        self.remat = remat
        stem = nnx.Conv(3, STEM_FEATURES, (3, 3), strides=2, padding="SAME", use_bias=False, dtype=dtype,
                        rngs=rngs)  # fmt: skip
        self.stem = ConvNorm(stem, STEM_FEATURES, norm)
        geometry = stage_geometry([stage[2] for stage in STAGES], 2, output_stride)
        features, count = STEM_FEATURES, 0
        for i, ((blocks, size, _, expansion, out), (stride, *dilations)) in enumerate(
            zip(STAGES, geometry, strict=True)
        ):
            for j in range(blocks):
                block = Block(features, out, expansion, size, stride if j == 0 else 1, dilations[min(j, 1)],
                              norm, dtype, rngs)  # fmt: skip
                setattr(self, f"block{count}", block)
                features, count = out, count + 1
            if i == _LOW_LEVEL_STAGE:
                self.low_level_features, self._low_level = out, count - 1
        self.features, self._blocks = features, count

    def __call__(self, x: jax.Array, train: bool) -> tuple[jax.Array, jax.Array]:
        """`(B, H, W, 3)`, normalised with ImageNet's statistics, to features at 1/4 and the last block's."""
        x = jax.nn.relu6(self.stem(x * _SCALE + _OFFSET, train))
        low_level = None
        for i in range(self._blocks):
            x = run_block(getattr(self, f"block{i}"), x, train, remat=self.remat)
            low_level = x if i == self._low_level else low_level
        return low_level, x
