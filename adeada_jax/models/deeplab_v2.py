"""DeepLabV2's head (Chen et al. 2018) with the paper's change: a 256-d feature before the classifier."""

import jax
import jax.numpy as jnp
from flax import nnx

from adeada_jax.models.dropout import Draw
from adeada_jax.models.layers import NormFactory, classifier, conv

FEATURES = 256
RATES = (6, 12, 18, 24)


class DeepLabV2Head(nnx.Module):
    """The sum of four dilated 3x3 convolutions is the feature; a 1x1 convolution classifies it.

    No bias, no batch norm and no ReLU in between (supplement A).
    """

    def __init__(self, in_features: int, low_level_features: int, num_classes: int, *, output_stride: int,
                 norm: NormFactory, dtype: jnp.dtype, rngs: nnx.Rngs):  # fmt: skip
        for i, rate in enumerate(RATES):
            branch = conv(in_features, FEATURES, 3, dilation=rate, dtype=dtype, rngs=rngs)
            setattr(self, f"branch{i}", branch)
        self.classifier = classifier(FEATURES, num_classes, dtype=dtype, rngs=rngs)

    def __call__(self, low_level: jax.Array, x: jax.Array, train: bool, draw: Draw | None):
        """Backbone features to class scores and the 256-d feature, on the backbone's grid."""
        features = sum(getattr(self, f"branch{i}")(x) for i in range(len(RATES)))
        return self.classifier(features), features
