"""What the networks say of a region: its feature, its class, its domain."""

import jax
import jax.numpy as jnp

from adeada_jax.method.ingredients.ingredient import Outputs


class Features:
    """z, the mean feature over the region's pixels (Sec. 3.2.1)."""

    name = "features"
    discriminator = False

    def maps(self, outputs: Outputs) -> jax.Array:
        return outputs.features


class Probabilities:
    """The mean softmax over the region's pixels; its largest entry is the predicted class c."""

    name = "probabilities"
    discriminator = False

    def maps(self, outputs: Outputs) -> jax.Array:
        return jnp.exp(outputs.log_probabilities)


class TargetProbability:
    """The warm-up's discriminator's mean probability that the region is of the target (AADA)."""

    name = "target_probability"
    discriminator = True

    def maps(self, outputs: Outputs) -> jax.Array:
        return outputs.target_probability
