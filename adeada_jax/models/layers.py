"""Convolutions in torch's geometry, batch norm trained or frozen, and bilinear upsampling."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

# ImageNet's statistics, RGB in [0, 1]: what the backbones' weights were trained with.
_MEAN = np.array([0.485, 0.456, 0.406], np.float32)
_STD = np.array([0.229, 0.224, 0.225], np.float32)

EPSILON = 1e-5
MOMENTUM = 0.9  # 1 - torch's 0.1


def normalize(images: jax.Array) -> jax.Array:
    """`(B, H, W, 3)` uint8 RGB to float32 with ImageNet's mean and standard deviation taken out."""
    return images.astype(jnp.float32) * (1 / (255 * _STD)) - _MEAN / _STD


def upsample(x: jax.Array, height: int, width: int) -> jax.Array:
    """Bilinear resize of `(B, h, w, C)` to `(B, height, width, C)`, torch's align_corners=False."""
    if x.shape[1:3] == (height, width):
        return x
    shape = (x.shape[0], height, width, x.shape[3])
    return jax.image.resize(x, shape, "bilinear", antialias=False)


def conv(
    in_features: int, out_features: int, size: int, *, stride: int = 1, dilation: int = 1,
    dtype: jnp.dtype, rngs: nnx.Rngs,
) -> nnx.Conv:  # fmt: skip
    """A square convolution padded as torch's `padding=dilation * (size // 2)`."""
    padding = dilation * (size // 2)
    return nnx.Conv(
        in_features, out_features, (size, size), strides=stride, kernel_dilation=dilation,
        padding=[(padding, padding)] * 2, use_bias=False, dtype=dtype, rngs=rngs,
    )  # fmt: skip


def classifier(in_features: int, num_classes: int, *, dtype: jnp.dtype, rngs: nnx.Rngs) -> nnx.Conv:
    """The final 1x1 convolution."""
    return nnx.Conv(in_features, num_classes, (1, 1), dtype=dtype, rngs=rngs)


class FrozenBatchNorm(nnx.Module):
    """Batch norm as a fixed affine map: statistics and affine parameters alike are never trained."""

    def __init__(self, features: int):
        self.scale = nnx.BatchStat(jnp.ones(features))
        self.bias = nnx.BatchStat(jnp.zeros(features))
        self.mean = nnx.BatchStat(jnp.zeros(features))
        self.var = nnx.BatchStat(jnp.ones(features))

    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        factor = self.scale[...] * jax.lax.rsqrt(self.var[...] + EPSILON)
        offset = self.bias[...] - self.mean[...] * factor
        return x * factor.astype(x.dtype) + offset.astype(x.dtype)


class TrainedBatchNorm(nnx.Module):
    """Batch norm whose statistics in training are those of the whole batch over all devices."""

    def __init__(self, features: int, *, axis_name: str | None, dtype: jnp.dtype, rngs: nnx.Rngs):
        self.norm = nnx.BatchNorm(
            features, momentum=MOMENTUM, epsilon=EPSILON, axis_name=axis_name, dtype=dtype, rngs=rngs
        )

    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        return self.norm(x, use_running_average=not train)


# Makes the batch norm of a given number of features.
NormFactory = Callable[[int], FrozenBatchNorm | TrainedBatchNorm]


def norm_factory(
    *, frozen: bool, axis_name: str | None, dtype: jnp.dtype, rngs: nnx.Rngs
) -> NormFactory:  # fmt: skip
    """The kind of batch norm a whole network uses."""
    if frozen:
        return FrozenBatchNorm
    return lambda features: TrainedBatchNorm(features, axis_name=axis_name, dtype=dtype, rngs=rngs)
