"""DeepLabV2's head (Chen et al. 2018) with the paper's change: a 256-d feature before the classifier."""

from collections.abc import Mapping

import jax

from adeada_jax.models.dropout import Draw
from adeada_jax.models.layers import classifier, conv
from adeada_jax.models.parts import Build, Head

FEATURES = 256
RATES = (6, 12, 18, 24)


class DeepLabV2Head(Head):
    """The sum of four dilated 3x3 convolutions is the feature; a 1x1 convolution classifies it.

    No bias, no batch norm and no ReLU in between (supplement A). It takes the backbone's last features.
    """

    # As the authors' implementation calls them (D2ADA: models/segmentation/).
    renames = (
        (r"branch(\d)", r"classifier.aspp.convs.\1.0"),
        (r"classifier", "classifier.final"),
    )

    def __init__(self, channels: tuple[int, ...], num_classes: int, build: Build):
        dtype, rngs = build.dtype, build.rngs
        for i, rate in enumerate(RATES):
            setattr(
                self, f"branch{i}", conv(channels[-1], FEATURES, 3, dilation=rate, dtype=dtype, rngs=rngs)
            )
        self.classifier = classifier(FEATURES, num_classes, dtype=dtype, rngs=rngs)

    def __call__(
        self, features: tuple[jax.Array, ...], train: bool, draw: Draw | None
    ) -> tuple[jax.Array, jax.Array]:
        x = sum(getattr(self, f"branch{i}")(features[-1]) for i in range(len(RATES)))
        return self.classifier(x), x


HEADS = {"deeplabv2": DeepLabV2Head}


def look(tensors: Mapping[str, object]) -> str | None:
    """'deeplabv2' for a checkpoint of D2ADA with this head."""
    parts = {key.split(".")[1] for key in tensors if key.startswith("classifier.")}
    return "deeplabv2" if "aspp" in parts and not parts & {"project", "classifier"} else None
