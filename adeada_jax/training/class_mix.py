"""ClassMix on the device: some classes of one image are pasted into another (Olsson et al., WACV 2021)."""

import jax
import jax.numpy as jnp


def pasted_pixels(keys: jax.Array, labels: jax.Array, num_classes: int) -> jax.Array:
    """Which pixels are pasted: those of half of the classes that an image has, rounded up.

    Each half is equally likely, as in DACS (Tranheden et al., WACV 2021). Pixels without a class are not
    pasted, so of a target image only what was bought is.

    Args:
      keys: `(B,)`, one an image.
      labels: `(B, H, W)` integers; ids from C on are no class.
      num_classes: C.

    Returns:
      `(B, H, W)` bool.
    """
    chosen = jax.vmap(_half, in_axes=(0, 0, None))(keys, labels, num_classes)
    table = jnp.pad(chosen, ((0, 0), (0, 1)))  # the last column is for what has no class
    ids = jnp.minimum(labels.astype(jnp.int32), num_classes)
    return jax.vmap(jnp.take)(table, ids)


def _half(key: jax.Array, label: jax.Array, num_classes: int) -> jax.Array:
    """`(C,)` bool: the classes chosen of an image's."""
    present = jnp.zeros(num_classes, bool).at[label.ravel().astype(jnp.int32)].set(True, mode="drop")
    draws = jnp.where(present, jax.random.uniform(key, (num_classes,)), jnp.inf)
    rank = jnp.zeros(num_classes, jnp.int32).at[jnp.argsort(draws)].set(jnp.arange(num_classes))
    return present & (rank < (present.sum() + 1) // 2)
