"""Losses as (sum, count), so that devices add both up before dividing."""

import jax
import jax.numpy as jnp
import optax

from adeada_jax.types import IGNORE_LABEL

# AdaptSegNet's convention for the discriminator's targets.
SOURCE_DOMAIN, TARGET_DOMAIN = 0.0, 1.0


def cross_entropy(logits: jax.Array, labels: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Cross entropy, averaged over each image's labelled pixels.

    The paper trains with one image a step, whose loss is the mean over its labelled pixels. A batch here
    is the mean of its images' losses, so that a target image of which one region is bought weighs as
    much as a fully labelled source image, whatever the batch size.

    Args:
      logits: `(B, H, W, C)` float32.
      labels: `(B, H, W)` integers, IGNORE_LABEL where unknown.

    Returns:
      The sum of the images' mean losses, and the number of images with any labelled pixel.
    """
    known = labels != IGNORE_LABEL
    losses = optax.softmax_cross_entropy_with_integer_labels(
        logits, jnp.where(known, labels, 0).astype(jnp.int32)
    )
    pixels = known.sum(axis=(1, 2))
    means = jnp.where(known, losses, 0.0).sum(axis=(1, 2)) / jnp.maximum(pixels, 1)
    return means.sum(), (pixels > 0).sum().astype(jnp.float32)


def weighted_cross_entropy(
    logits: jax.Array, labels: jax.Array, weights: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Cross entropy times the pixels' weights, averaged over all pixels of each image.

    As in DACS (Tranheden et al., WACV 2021) and DAFormer (Hoyer et al., CVPR 2022, Sec. 3.1) the weights do
    not cancel, so that an image of which little is sure teaches little.

    Args:
      logits: `(B, H, W, C)` float32.
      labels: `(B, H, W)` integers from 0 to C - 1, any where the weight is 0.
      weights: `(B, H, W)` float32, from 0 to 1.

    Returns:
      The sum of the images' means, and the number of images.
    """
    inside = jnp.clip(labels.astype(jnp.int32), 0, logits.shape[-1] - 1)
    losses = optax.softmax_cross_entropy_with_integer_labels(logits, inside)
    return (weights * losses).mean(axis=(1, 2)).sum(), jnp.float32(len(labels))


def domain_loss(scores: jax.Array, domain: float) -> tuple[jax.Array, jax.Array]:
    """Binary cross entropy with logits against one domain, for discriminator scores of any shape.

    Returns:
      The sum over all scores, and their number.
    """
    losses = optax.sigmoid_binary_cross_entropy(scores, jnp.full_like(scores, domain))
    return losses.sum(), jnp.float32(losses.size)
