"""DeepLabV3+'s head (Chen et al. 2018): ASPP, a decoder with low-level features, a 256-d feature."""

import jax
import jax.numpy as jnp
from flax import nnx

from adeada_jax.models.dropout import Draw, dropout
from adeada_jax.models.layers import NormFactory, classifier, conv, relu, upsample

FEATURES = 256
LOW_LEVEL_FEATURES = 48
DROPOUT = 0.1
RATES = {8: (12, 24, 36), 16: (6, 12, 18), 32: (3, 6, 9)}  # by output stride


class ConvNorm(nnx.Module):
    """Convolution, batch norm, ReLU."""

    def __init__(self, in_features: int, features: int, size: int, *, norm: NormFactory, dilation: int = 1,
                 dtype: jnp.dtype, rngs: nnx.Rngs):  # fmt: skip
        self.conv = conv(in_features, features, size, dilation=dilation, dtype=dtype, rngs=rngs)
        self.bn = norm(features)

    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        return relu(self.bn(self.conv(x), train))


class Aspp(nnx.Module):
    """Atrous spatial pyramid pooling: 1x1, three dilated 3x3 and the image's mean, projected to 256."""

    def __init__(self, in_features: int, rates: tuple[int, int, int], *, norm: NormFactory, dtype: jnp.dtype,
                 rngs: nnx.Rngs):  # fmt: skip
        options = {"norm": norm, "dtype": dtype, "rngs": rngs}
        self.branch0 = ConvNorm(in_features, FEATURES, 1, **options)
        for i, rate in enumerate(rates):
            setattr(self, f"branch{i + 1}", ConvNorm(in_features, FEATURES, 3, dilation=rate, **options))
        self.pooling = ConvNorm(in_features, FEATURES, 1, **options)
        self.project = ConvNorm(5 * FEATURES, FEATURES, 1, **options)

    def __call__(self, x: jax.Array, train: bool, draw: Draw | None) -> jax.Array:
        branches = [getattr(self, f"branch{i}")(x, train) for i in range(4)]
        pooled = self.pooling(x.mean(axis=(1, 2), keepdims=True), train)
        branches.append(jnp.broadcast_to(pooled, branches[0].shape))
        y = self.project(jnp.concatenate(branches, axis=-1), train)
        return dropout(y, DROPOUT, draw) if train else y


class DeepLabV3PlusHead(nnx.Module):
    """ASPP on the last stage, upsampled and joined with the first stage's features at 1/4 of the image."""

    def __init__(self, in_features: int, low_level_features: int, num_classes: int, *, output_stride: int,
                 norm: NormFactory, dtype: jnp.dtype, rngs: nnx.Rngs):  # fmt: skip
        options = {"norm": norm, "dtype": dtype, "rngs": rngs}
        self.aspp = Aspp(in_features, RATES[output_stride], **options)
        self.low_level = ConvNorm(low_level_features, LOW_LEVEL_FEATURES, 1, **options)
        self.fuse = ConvNorm(FEATURES + LOW_LEVEL_FEATURES, FEATURES, 3, **options)
        self.classifier = classifier(FEATURES, num_classes, dtype=dtype, rngs=rngs)

    def __call__(self, low_level: jax.Array, x: jax.Array, train: bool, draw: Draw | None):
        """Backbone features to class scores and the 256-d feature, at 1/4 of the image."""
        low_level = self.low_level(low_level, train)
        x = upsample(self.aspp(x, train, draw), *low_level.shape[1:3])
        features = self.fuse(jnp.concatenate([low_level, x], axis=-1), train)
        return self.classifier(features), features
