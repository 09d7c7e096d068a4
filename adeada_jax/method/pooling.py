"""Means over regions without upsampling features: the masks come down to the feature grid instead.

Bilinear upsampling and the mean over a region are both linear in the features, so the mean over region r
of the upsampled features is one row of weights times the features on their own grid. The row is the
transpose of the upsampling applied to the region's mask (Sec. 3.2.1's z, exactly).
"""

import jax
import jax.numpy as jnp
import numpy as np


def _neighbours(size: int, grid: int) -> tuple[np.ndarray, np.ndarray]:
    """For each of `size` pixels the lower of its two grid cells and the upper one's weight.

    Torch's align_corners=False: pixel centres at (i + 0.5) * grid / size - 0.5, clamped at the border.
    """
    centre = np.clip((np.arange(size) + 0.5) * grid / size - 0.5, 0, grid - 1)
    lower = np.minimum(np.floor(centre).astype(np.int32), max(grid - 2, 0))
    return lower, (centre - lower).astype(np.float32)


def mask_weights(regions: jax.Array, num_regions: int, height: int, width: int) -> jax.Array:
    """Pools region masks down to a feature grid: the transpose of bilinear upsampling.

    Args:
      regions: `(H, W)` integers below `num_regions`.
      num_regions: R.
      height: h, of the feature grid.
      width: w, the grid's.

    Returns:
      `(R, h * w)` float32; row r sums to the number of r's pixels.
    """
    rows, row_weight = _neighbours(regions.shape[0], height)
    columns, column_weight = _neighbours(regions.shape[1], width)
    first = regions * (height * width) + (rows[:, None] * width + columns[None, :])
    weights = jnp.zeros(num_regions * height * width, jnp.float32)
    for dy in range(min(height, 2)):
        for dx in range(min(width, 2)):
            share = np.abs(1 - dy - row_weight)[:, None] * np.abs(1 - dx - column_weight)[None, :]
            weights = weights.at[first + dy * width + dx].add(share)
    return weights.reshape(num_regions, height * width)


def region_feature_sums(features: jax.Array, regions: jax.Array, num_regions: int) -> jax.Array:
    """Sums over regions of bilinearly upsampled features, without upsampling them.

    Args:
      features: `(h, w, D)` float32 on the feature grid.
      regions: `(H, W)` integers below `num_regions`.
      num_regions: R.

    Returns:
      `(R, D)` float32.
    """
    h, w, d = features.shape
    weights = mask_weights(regions, num_regions, h, w)
    return jnp.matmul(weights, features.reshape(h * w, d), precision=jax.lax.Precision.HIGHEST)


def region_sums(values: jax.Array, regions: jax.Array, num_regions: int) -> jax.Array:
    """Sums of `(H, W, V)` pixel values over regions: `(R, V)`."""
    flat = values.reshape(-1, values.shape[-1])
    return jax.ops.segment_sum(flat, regions.reshape(-1), num_segments=num_regions)
