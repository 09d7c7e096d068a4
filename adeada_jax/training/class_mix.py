"""ClassMix on the device: some classes of one image are pasted into another (Olsson et al., WACV 2021)."""

import jax
import jax.numpy as jnp


def pasted_pixels(draws: jax.Array, labels: jax.Array) -> jax.Array:
    """Which pixels are pasted: those of half of the classes that an image has, rounded up.

    Each half is equally likely, as in DACS (Tranheden et al., WACV 2021). Pixels without a class are not
    pasted, so of a target image only what was bought is.

    Args:
      draws: `(B, C)` random numbers: of the classes that an image has, those with the least are chosen.
      labels: `(B, H, W)` integers; ids from C on are no class.

    Returns:
      `(B, H, W)` bool.
    """
    num_classes = draws.shape[1]
    labels = labels.astype(jnp.int32)
    present = (labels[..., None] == jnp.arange(num_classes)).any(axis=(1, 2))
    draws = jnp.where(present, draws, jnp.inf)
    earlier = (draws[:, None] < draws[:, :, None]).sum(axis=2)  # of each class, how many have less
    chosen = present & (earlier < (present.sum(axis=1, keepdims=True) + 1) // 2)
    padded = jnp.pad(chosen, ((0, 0), (0, 1)))  # the last column is for what has no class
    return jax.vmap(jnp.take)(padded, jnp.minimum(labels, num_classes))
