"""Convolutions in torch's geometry, batch norm trained or frozen, and bilinear upsampling."""

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from adeada_jax.errors import InputError
from adeada_jax.models import dilated

# ImageNet's statistics, RGB in [0, 1]: what the backbones' weights were trained with.
IMAGENET_MEAN = np.array([0.485, 0.456, 0.406], np.float32)
IMAGENET_STD = np.array([0.229, 0.224, 0.225], np.float32)

EPSILON = 1e-5
MOMENTUM = 0.9  # 1 - torch's 0.1
OUTPUT_STRIDES = (8, 16, 32)

# Computes the convolutions that are more than a product; a benchmark puts others in its place.
spatial = dilated.convolve


def normalize(images: jax.Array) -> jax.Array:
    """`(B, H, W, 3)` uint8 RGB to float32 with ImageNet's mean and standard deviation taken out."""
    return images.astype(jnp.float32) * (1 / (255 * IMAGENET_STD)) - IMAGENET_MEAN / IMAGENET_STD


def upsample(x: jax.Array, height: int, width: int) -> jax.Array:
    """Bilinear resize of `(B, h, w, C)` to `(B, height, width, C)`, torch's align_corners=False."""
    if x.shape[1:3] == (height, width):
        return x
    shape = (x.shape[0], height, width, x.shape[3])
    return jax.image.resize(x, shape, "bilinear", antialias=False)


def stage_geometry(strides: Sequence[int], stride: int, output_stride: int) -> list[tuple[int, int, int]]:
    """A backbone's stages with strides given up for dilation, to reach an output stride.

    As torchvision's `replace_stride_with_dilation`, a stage that gives up its stride dilates from its second
    block on, the first keeps the dilation before.

    Args:
      strides: of the stages.
      stride: of what is before them.
      output_stride: 8, 16 or 32: the image's size over the last stage's.

    Returns:
      For each stage the stride of its first block, that block's dilation, and the others'.

    Raises:
      InputError: the output stride is unknown.
    """
    if output_stride not in OUTPUT_STRIDES:
        raise InputError(
            f"config.model.output_stride: {output_stride}; known: {', '.join(map(str, OUTPUT_STRIDES))}"
        )
    geometry, dilation = [], 1
    for own in strides:
        before = dilation
        if stride * own > output_stride:
            dilation, own = dilation * own, 1
        stride *= own
        geometry.append((own, before, dilation))
    return geometry


def conv(
    in_features: int,
    out_features: int,
    size: int,
    *,
    stride: int = 1,
    dilation: int = 1,
    dtype: jnp.dtype,
    rngs: nnx.Rngs,
) -> nnx.Conv:
    """A square convolution padded as torch's `padding=dilation * (size // 2)`."""
    padding = dilation * (size // 2)
    return nnx.Conv(
        in_features,
        out_features,
        (size, size),
        strides=stride,
        kernel_dilation=dilation,
        padding=[(padding, padding)] * 2,
        use_bias=False,
        dtype=dtype,
        rngs=rngs,
        conv_general_dilated=spatial if size > 1 else _pointwise,
    )


def classifier(in_features: int, num_classes: int, *, dtype: jnp.dtype, rngs: nnx.Rngs) -> nnx.Conv:
    """The final 1x1 convolution."""
    return nnx.Conv(in_features, num_classes, (1, 1), dtype=dtype, rngs=rngs, conv_general_dilated=_pointwise)


def _pointwise(
    x: jax.Array, kernel: jax.Array, strides: Sequence[int], *_: object, **__: object
) -> jax.Array:
    """A 1x1 convolution as the matrix product it is, of two matrices.

    XLA's CPU backend (jaxlib 0.10) takes three to six times as long over a convolution's gradients, and
    computes what was before it anew, transposed, for the gradients of a product with more axes.
    """
    x = x[:, :: strides[0], :: strides[1]]
    return jnp.matmul(x.reshape(-1, x.shape[-1]), kernel[0, 0]).reshape(*x.shape[:3], -1)


def relu(x: jax.Array) -> jax.Array:
    """max(x, 0) as a choice; NaN stays NaN.

    A maximum XLA's CPU backend (jaxlib 0.10) takes into every product that it goes to, and with it the sum of
    residuals before, and so all of a stage: they were added up anew, and kept, for each block.
    """
    return jnp.where(x <= 0, jnp.zeros((), x.dtype), x)


class BatchNorm(nnx.Module):
    """Batch norm, trained or frozen; both have the same parameters and statistics.

    Trained, its statistics in training are those of the whole batch over all devices. Frozen, it is a fixed
    affine map, and no gradient reaches its parameters; the optimiser must not change them either.
    """

    def __init__(
        self,
        features: int,
        *,
        epsilon: float = EPSILON,
        frozen: bool,
        axis_name: str | None,
        dtype: jnp.dtype,
        rngs: nnx.Rngs,
    ):
        self.frozen = frozen
        self.norm = nnx.BatchNorm(
            features, momentum=MOMENTUM, epsilon=epsilon, axis_name=axis_name, dtype=dtype, rngs=rngs
        )

    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        if not self.frozen:
            return self.norm(x, use_running_average=not train)
        assert self.norm.scale is not None  # nor is the bias: Flax's default
        assert self.norm.bias is not None
        scale, bias = jax.lax.stop_gradient((self.norm.scale[...], self.norm.bias[...]))
        factor = scale * jax.lax.rsqrt(self.norm.var[...] + self.norm.epsilon)
        offset = bias - self.norm.mean[...] * factor
        return x * factor.astype(x.dtype) + offset.astype(x.dtype)


# Makes the batch norm of a given number of features, with `epsilon` where it is not EPSILON.
NormFactory = Callable[..., BatchNorm]


def run_block(block: nnx.Module, x: jax.Array, train: bool, *more: object, remat: bool) -> jax.Array:
    """`block(x, train, *more)`; with `remat` its inner activations are computed again for the gradients."""
    if not (remat and train):
        return block(x, train, *more)
    return nnx.remat(lambda own, inputs: own(inputs, train, *more))(block, x)
