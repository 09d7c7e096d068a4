"""Dropout and drop path that belong to an image of the batch, whichever device computes that image."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.random import threefry_2x32

_MANTISSA = 23  # bits of float32's


class Draw(NamedTuple):
    """What a dropout's mask is drawn from.

    Attributes:
      key: of the step, one for all devices.
      places: `(B,)` integers, of the images in the whole batch, of which a device has some.
    """

    key: jax.Array
    places: jax.Array

    def fold(self, number: int) -> "Draw":
        """What the `number`-th of a part's layers that drop draws from."""
        return Draw(jax.random.fold_in(self.key, number), self.places)


def dropout(x: jax.Array, rate: float, draw: Draw) -> jax.Array:
    """Zeroes a share of the values and scales the others up, so that the mean stays.

    Args:
      x: `(B, ...)`.
      rate: the share, below 1.
      draw: what to draw from.
    """
    keep = 1.0 - rate
    return jnp.where(keep_mask(draw, x.shape[1:], keep), x / keep, jnp.zeros_like(x))


def drop_path(x: jax.Array, rate: float, draw: Draw) -> jax.Array:
    """Zeroes the whole branch of a share of the images and scales the others' up (Huang et al. 2016).

    Args:
      x: `(B, ...)`, what a residual block adds.
      rate: the share, below 1.
      draw: what to draw from; each block's own (`Draw.fold`).
    """
    keep = 1.0 - rate
    return jnp.where(keep_mask(draw, (1,) * (x.ndim - 1), keep), x / keep, jnp.zeros_like(x))


def keep_mask(draw: Draw, shape: tuple[int, ...], keep: float) -> jax.Array:
    """Some rows of `jax.random.bernoulli(key, keep, (whole batch, *shape))` without making the other rows.

    JAX's default generator hashes each value's position in the array; here the positions are those in the
    whole batch's array. So one device, many devices and a batch in parts draw the same.

    Args:
      draw: key and places.
      shape: of an image's mask.
      keep: probability of True.

    Returns:
      `(B, *shape)` bool.
    """
    size = int(np.prod(shape))
    images = np.uint32(
        (2**32 - 1) // size
    )  # whose positions fit in the lower of a position's two 32-bit words
    places = draw.places.astype(jnp.uint32)[:, None]
    low = places % images * size + jnp.arange(size, dtype=jnp.uint32)
    high = jnp.broadcast_to(places // images, low.shape)
    words = jax.random.key_data(draw.key).astype(jnp.uint32)
    first, second = jnp.split(
        threefry_2x32((words[0], words[1]), jnp.concatenate([high.ravel(), low.ravel()])), 2
    )
    bits = (first ^ second) >> (32 - _MANTISSA) | np.float32(1).view(np.uint32)
    uniform = jax.lax.bitcast_convert_type(bits, jnp.float32) - 1.0
    return (uniform < keep).reshape(-1, *shape)
