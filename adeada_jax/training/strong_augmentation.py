"""The student's augmentation of mixed images on the device: colour jitter and blur, as DACS and DAFormer.

With probability 0.8 brightness, contrast and saturation are multiplied by factors from 0.8 to 1.2, and hues
turn by up to a fifth of the circle; with probability 0.5 a Gaussian blur follows, its sigma from 0.15 to 1.15
pixels (DACS, Tranheden et al., WACV 2021; DAFormer, Hoyer et al., CVPR 2022, Sec. 4.1). What the four
adjustments do is torchvision's `ColorJitter`. Differs from DACS: each image draws for itself, and a step's
images share the order of the adjustments.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

JITTER = 0.2
JITTER_PROBABILITY = 0.8
BLUR_PROBABILITY = 0.5
BLUR_SIGMAS = (0.15, 1.15)  # pixels
BLUR_RADIUS = 4  # pixels; beyond it the widest kernel has less than a thousandth of its weight
DRAWS = 7  # random numbers that an image needs

_UNCHANGED = (1.0, 1.0, 1.0, 0.0)  # the factors that change nothing
_GRAY = (0.299, 0.587, 0.114)  # ITU-R 601


def augment_strongly(images: jax.Array, draws: jax.Array, order: jax.Array) -> jax.Array:
    """Random variants of images.

    Args:
      images: `(B, H, W, 3)` float32 RGB from 0 to 1.
      draws: `(B, DRAWS)` uniform random numbers from 0 to 1: whether an image is jittered and blurred, the
        four factors, sigma.
      order: `(4,)`, see `jitter_colors`.

    Returns:
      Such images.
    """
    low, high = BLUR_SIGMAS
    jitters, blurs, sigmas = draws[:, 0] < JITTER_PROBABILITY, draws[:, 1] < BLUR_PROBABILITY, draws[:, 6]
    factors = jnp.array(_UNCHANGED) + JITTER * (2 * draws[:, 2:6] - 1)
    jittered = jnp.where(jitters[:, None, None, None], jitter_colors(images, factors, order), images)
    blurred = jax.vmap(blur)(jittered, low + (high - low) * sigmas)
    return jnp.where(blurs[:, None, None, None], blurred, jittered)


def jitter_colors(images: jax.Array, factors: jax.Array, order: jax.Array) -> jax.Array:
    """Brightness, contrast, saturation and hue, one after another.

    Args:
      images: `(B, H, W, 3)` float32 RGB from 0 to 1.
      factors: `(B, 4)`; of the first three 1 changes nothing, of the hue, in turns of the circle, 0.
      order: `(4,)`, a permutation: which is applied first, second, third and fourth.

    Returns:
      Such images.
    """
    for place in range(len(ADJUSTMENTS)):
        number = order[place]
        images = jax.lax.switch(number, _OF_BATCHES, images, jnp.take(factors, number, axis=1))
    return images


def brighten(image: jax.Array, factor: jax.Array) -> jax.Array:
    """Multiplies all colours; `(H, W, 3)`, clipped."""
    return jnp.clip(image * factor, 0, 1)


def change_contrast(image: jax.Array, factor: jax.Array) -> jax.Array:
    """Moves colours away from the picture's mean grey; `(H, W, 3)`, clipped."""
    mean = _gray(image).mean()
    return jnp.clip(mean + factor * (image - mean), 0, 1)


def saturate(image: jax.Array, factor: jax.Array) -> jax.Array:
    """Moves each pixel's colour away from its own grey; `(H, W, 3)`, clipped."""
    gray = _gray(image)[..., None]
    return jnp.clip(gray + factor * (image - gray), 0, 1)


def turn_hue(image: jax.Array, turn: jax.Array) -> jax.Array:
    """Turns all hues, in turns of the circle; `(H, W, 3)`."""
    red, green, blue = jnp.moveaxis(image, -1, 0)
    value = image.max(axis=-1)
    chroma = value - image.min(axis=-1)
    safe = jnp.where(chroma > 0, chroma, 1.0)
    of_red, of_green, of_blue = (green - blue) / safe, 2 + (blue - red) / safe, 4 + (red - green) / safe
    hue = jnp.where(value == red, of_red, jnp.where(value == green, of_green, of_blue))  # in sixths of a turn
    place = (jnp.array([5.0, 3.0, 1.0]) + (hue + 6 * turn)[..., None]) % 6
    return value[..., None] - chroma[..., None] * jnp.clip(jnp.minimum(place, 4 - place), 0, 1)


def blur(image: jax.Array, sigma: jax.Array) -> jax.Array:
    """A Gaussian blur of `sigma` pixels, mirrored at the edges; `(H, W, 3)` of at least 5 x 5 pixels."""
    offsets = jnp.arange(-BLUR_RADIUS, BLUR_RADIUS + 1)
    weights = jnp.exp(-0.5 * (offsets / sigma) ** 2)
    weights /= weights.sum()
    for axis in (0, 1):
        size = image.shape[axis]
        places = jnp.abs(jnp.arange(-BLUR_RADIUS, size + BLUR_RADIUS))
        mirrored = jnp.take(image, size - 1 - jnp.abs(size - 1 - places), axis=axis)
        shifted = (jax.lax.slice_in_dim(mirrored, i, i + size, axis=axis) for i in range(len(offsets)))
        image = sum(weight * one for weight, one in zip(weights, shifted, strict=True))
    return image


def _gray(image: jax.Array) -> jax.Array:
    return (image * jnp.array(_GRAY)).sum(axis=-1)


# In the order of `jitter_colors`' factors.
ADJUSTMENTS: tuple[Callable[[jax.Array, jax.Array], jax.Array], ...] = (
    brighten,
    change_contrast,
    saturate,
    turn_hue,
)
_OF_BATCHES = tuple(map(jax.vmap, ADJUSTMENTS))
