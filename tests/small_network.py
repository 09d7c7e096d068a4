"""A network of three layers, for tests of what is done with a network: it is traced and compiled in a second.

The project's own are held to PyTorch in tests/models, and trained from files to the report in
tests/data/test_whole_experiments.py.
"""

import jax
from flax import nnx

from adeada_jax.models import Backbone, Head
from adeada_jax.models.dropout import dropout
from adeada_jax.models.layers import classifier

NAMES = {"model.backbone": "tests.small_network:Small", "model.name": "tests.small_network:Linear"}


class Small(Backbone):
    """Two convolutions, each halving the grid twice, and a batch norm."""

    channels = (16,)

    def __init__(self, build):
        options = {"strides": 4, "dtype": build.dtype, "rngs": build.rngs, "use_bias": False}
        self.conv1, self.conv2 = nnx.Conv(3, 8, (7, 7), **options), nnx.Conv(8, 16, (5, 5), **options)
        self.bn = build.norm(16)

    def __call__(self, images, train, draw):
        return (jax.nn.relu(self.bn(self.conv2(jax.nn.relu(self.conv1(images))), train)),)


class Linear(Head):
    """A 1x1 convolution after dropout."""

    def __init__(self, channels, num_classes, build):
        self.classifier = classifier(channels[-1], num_classes, dtype=build.dtype, rngs=build.rngs)

    def __call__(self, features, train, draw):
        kept = dropout(features[-1], 0.5, draw) if train else features[-1]
        return self.classifier(kept), features[-1]
