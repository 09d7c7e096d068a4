"""DeepLabV3+'s head (Chen et al. 2018): ASPP, a decoder with low-level features, a 256-d feature."""

from collections.abc import Mapping

import jax
import jax.numpy as jnp
from flax import nnx

from adeada_jax.errors import InputError
from adeada_jax.models.dropout import Draw, dropout
from adeada_jax.models.layers import classifier, conv, relu
from adeada_jax.models.parts import Build, Head
from adeada_jax.models.upsampled import convolve_joined

FEATURES = 256
LOW_LEVEL_FEATURES = 48
DROPOUT = 0.1
RATES = {8: (12, 24, 36), 16: (6, 12, 18), 32: (3, 6, 9)}  # by output stride


class ConvNorm(nnx.Module):
    """Convolution, batch norm, ReLU."""

    def __init__(self, in_features: int, features: int, size: int, build: Build, *, dilation: int = 1):
        self.conv = conv(in_features, features, size, dilation=dilation, dtype=build.dtype, rngs=build.rngs)
        self.bn = build.norm(features)

    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        return relu(self.bn(self.conv(x), train))


class Aspp(nnx.Module):
    """Atrous spatial pyramid pooling: 1x1, three dilated 3x3 and the image's mean, projected to 256."""

    def __init__(self, in_features: int, build: Build):
        self.branch0 = ConvNorm(in_features, FEATURES, 1, build)
        for i, rate in enumerate(RATES[build.output_stride]):
            setattr(self, f"branch{i + 1}", ConvNorm(in_features, FEATURES, 3, build, dilation=rate))
        self.pooling = ConvNorm(in_features, FEATURES, 1, build)
        self.project = ConvNorm(5 * FEATURES, FEATURES, 1, build)

    def __call__(self, x: jax.Array, train: bool, draw: Draw | None) -> jax.Array:
        branches = [getattr(self, f"branch{i}")(x, train) for i in range(4)]
        pooled = self.pooling(x.mean(axis=(1, 2), keepdims=True), train)
        branches.append(jnp.broadcast_to(pooled, branches[0].shape))
        y = self.project(jnp.concatenate(branches, axis=-1), train)
        if not train:
            return y
        assert draw is not None  # training gives one
        return dropout(y, DROPOUT, draw)


class Decoder(ConvNorm):
    """3x3 on the low-level features joined with ASPP's, batch norm, ReLU."""

    def __init__(self, build: Build):
        super().__init__(LOW_LEVEL_FEATURES + FEATURES, FEATURES, 3, build)

    def join(self, low_level: jax.Array, x: jax.Array, train: bool) -> jax.Array:
        """`(B, H, W, 48)` and `(B, h, w, 256)` to `(B, H, W, 256)`."""
        kernel = self.conv.kernel[...].astype(x.dtype)
        return relu(self.bn(convolve_joined(low_level, x, kernel), train))


class DeepLabV3PlusHead(Head):
    """ASPP on the backbone's last features, joined with its first, on whose grid the output is."""

    # As the authors' implementation calls them (D2ADA: models/segmentation/).
    renames = (
        (r"aspp\.pooling\.conv", "classifier.aspp.convs.4.1"),  # behind the pooling itself
        (r"aspp\.pooling\.bn", "classifier.aspp.convs.4.2"),
        (r"aspp\.branch(\d)\.conv", r"classifier.aspp.convs.\1.0"),
        (r"aspp\.branch(\d)\.bn", r"classifier.aspp.convs.\1.1"),
        (r"aspp\.project\.conv", "classifier.aspp.project.0"),
        (r"aspp\.project\.bn", "classifier.aspp.project.1"),
        (r"low_level\.conv", "classifier.project.0"),
        (r"low_level\.bn", "classifier.project.1"),
        (r"fuse\.conv", "classifier.classifier.0"),
        (r"fuse\.bn", "classifier.classifier.1"),
        (r"classifier", "classifier.final"),
    )

    def __init__(self, channels: tuple[int, ...], num_classes: int, build: Build):
        """Builds the head on the first and the last of the backbone's features.

        Raises:
          InputError: the backbone gives features on one grid only.
        """
        if len(channels) < 2:
            raise InputError(
                "config.model.name: 'deeplabv3plus' joins features of two grids, and the backbone has those "
                "of one; use another head, such as deeplabv2"
            )
        self.aspp = Aspp(channels[-1], build)
        self.low_level = ConvNorm(channels[0], LOW_LEVEL_FEATURES, 1, build)
        self.fuse = Decoder(build)
        self.classifier = classifier(FEATURES, num_classes, dtype=build.dtype, rngs=build.rngs)

    def __call__(
        self, features: tuple[jax.Array, ...], train: bool, draw: Draw | None
    ) -> tuple[jax.Array, jax.Array]:
        low_level = self.low_level(features[0], train)
        x = self.fuse.join(low_level, self.aspp(features[-1], train, draw), train)
        return self.classifier(x), x


HEADS = {"deeplabv3plus": DeepLabV3PlusHead}


def look(tensors: Mapping[str, object]) -> str | None:
    """'deeplabv3plus' for a checkpoint of D2ADA with this head."""
    parts = {key.split(".")[1] for key in tensors if key.startswith("classifier.")}
    return "deeplabv3plus" if "aspp" in parts and parts & {"project", "classifier"} else None
