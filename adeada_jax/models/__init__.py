"""Segmentation networks and the discriminator."""

from adeada_jax.models.discriminator import Discriminator
from adeada_jax.models.dropout import Draw
from adeada_jax.models.layers import normalize, upsample
from adeada_jax.models.parts import Backbone, Build, Head
from adeada_jax.models.segmenter import Segmentation, Segmenter

__all__ = [
    "Backbone",
    "Build",
    "Discriminator",
    "Draw",
    "Head",
    "Segmentation",
    "Segmenter",
    "normalize",
    "upsample",
]
