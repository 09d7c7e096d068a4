"""How sure the network is of a region's pixels (supplement B, Eq. 8 to 10, and later measures)."""

import jax
import jax.numpy as jnp

from adeada_jax.method.ingredients.ingredient import Outputs


class Margin:
    """Mean difference of the two largest probabilities (Eq. 8)."""

    name = "margin"
    discriminator = False

    def maps(self, outputs: Outputs) -> jax.Array:
        p = jnp.exp(outputs.log_probabilities)
        # The second largest: the largest once the (first) largest is left out.
        first = p.argmax(axis=-1)[..., None] == jnp.arange(p.shape[-1])
        return p.max(axis=-1) - jnp.where(first, -1.0, p).max(axis=-1)


class Confidence:
    """Mean largest probability (Eq. 9)."""

    name = "confidence"
    discriminator = False

    def maps(self, outputs: Outputs) -> jax.Array:
        return jnp.exp(outputs.log_probabilities).max(axis=-1)


class Entropy:
    """Mean entropy in nats (Eq. 10)."""

    name = "entropy"
    discriminator = False

    def maps(self, outputs: Outputs) -> jax.Array:
        log_p = outputs.log_probabilities
        return -(jnp.exp(log_p) * log_p).sum(axis=-1)


class SecondBest:
    """Mean ratio of the second largest probability to the largest, 0 to 1 (Cai et al., CVPR 2021)."""

    name = "second_best"
    discriminator = False

    def maps(self, outputs: Outputs) -> jax.Array:
        log_p = outputs.log_probabilities
        first = log_p.argmax(axis=-1)[..., None] == jnp.arange(log_p.shape[-1])
        return jnp.exp(jnp.where(first, -jnp.inf, log_p).max(axis=-1) - log_p.max(axis=-1))


class PredictedShares:
    """Shares of a region's pixels by predicted class, summing to 1: the histogram behind RIPU's impurity."""

    name = "predicted_shares"
    discriminator = False

    def maps(self, outputs: Outputs) -> jax.Array:
        log_p = outputs.log_probabilities
        return jax.nn.one_hot(log_p.argmax(axis=-1), log_p.shape[-1])
