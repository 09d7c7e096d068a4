"""Dilated 3x3 convolutions, with a gradient of their weights that is one matrix product.

Taps that lie wholly in the padding are left out: on a small image most of ASPP's.

XLA writes the gradient as a convolution whose window moves in steps of the dilation. On a GPU (jaxlib 0.11)
no library has such a one, so it is computed without tensor cores: 3.5 ms on an H200 for one of ASPP's at
1024x2048, where the product takes 0.15 (docs/measurements/gpu.md). On a CPU they are about as quick as each
other, the product more so the larger the image. `benchmarks/gpu.py --parts=convolutions` measures both.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

_DIMENSIONS = ("NHWC", "HWIO", "NHWC")
Padding = str | Sequence[tuple[int, int]]


def convolve(
    x: jax.Array, kernel: jax.Array, strides: Sequence[int], padding: Padding, **options: Any
) -> jax.Array:
    """`lax.conv_general_dilated`, whose results it has; for `flax.nnx.Conv`."""
    if _is_ours(kernel, tuple(strides), padding, **options):
        return _dilated(x, kernel, int(options["rhs_dilation"][0]))
    return lax.conv_general_dilated(x, kernel, strides, padding, **options)


def _is_ours(
    kernel: jax.Array,
    strides: tuple[int, ...],
    padding: Padding,
    *,
    rhs_dilation: Sequence[int] = (1, 1),
    feature_group_count: int = 1,
    **_: object,
) -> bool:
    """Whether it is a 3x3 kernel, dilated alike both ways, not in groups, that keeps the image's size."""
    dilation = rhs_dilation[0]
    keeps_size = strides == (1, 1) and list(padding) == [(dilation, dilation)] * 2
    alike = tuple(rhs_dilation) == (dilation, dilation)
    return kernel.shape[:2] == (3, 3) and feature_group_count == 1 and dilation > 1 and alike and keeps_size


@partial(jax.custom_vjp, nondiff_argnums=(2,))
def _dilated(x: jax.Array, kernel: jax.Array, dilation: int) -> jax.Array:
    """y[p] = the sum over taps i, j of x[p + dilation (i - 1, j - 1)] @ kernel[i, j], zero off the edges."""
    return _sum_of_taps(x, kernel[_meeting(x, dilation)], dilation)


def _meeting(x: jax.Array, dilation: int) -> tuple[slice, slice]:
    """The rows and columns of a kernel that meet `x`: where the dilation is its size, the middle one alone.

    ASPP's rates are made for large images; on the grid of a small one most taps lie in the padding.
    """
    rows, columns = (slice(None) if dilation < size else slice(1, 2) for size in x.shape[1:3])
    return rows, columns


def _sum_of_taps(x: jax.Array, taps: jax.Array, dilation: int) -> jax.Array:
    """The convolution with `(1 or 3, 1 or 3, I, O)` taps."""
    if taps.shape[:2] == (1, 1):
        return jnp.matmul(x.reshape(-1, x.shape[-1]), taps[0, 0]).reshape(*x.shape[:3], -1)
    padding = [(dilation * (size // 2),) * 2 for size in taps.shape[:2]]
    return lax.conv_general_dilated(
        x, taps, (1, 1), padding, rhs_dilation=(dilation, dilation), dimension_numbers=_DIMENSIONS
    )


def _forward(x: jax.Array, kernel: jax.Array, dilation: int) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    return _dilated(x, kernel, dilation), (x, kernel)


def _backward(dilation: int, kept: tuple[jax.Array, jax.Array], g: jax.Array) -> tuple[jax.Array, jax.Array]:
    x, kernel = kept
    turned = kernel[_meeting(x, dilation)][::-1, ::-1].swapaxes(2, 3)
    return _sum_of_taps(g, turned, dilation), weight_gradient(x, g, dilation)


_dilated.defvjp(_forward, _backward)


def weight_gradient(x: jax.Array, g: jax.Array, dilation: int) -> jax.Array:
    """One product of x with g at all shifts.

    Args:
      x: `(B, H, W, I)`, the convolution's input.
      g: `(B, H, W, O)`, the gradient of its output, of the same type.
      dilation: of the kernel.

    Returns:
      `(3, 3, I, O)`, summed in float32 at least and rounded to g's type.
    """
    rows, columns = ([-1, 0, 1][meeting] for meeting in _meeting(x, dilation))
    taps = [(dilation * i, dilation * j) for i in rows for j in columns]
    shifted = jnp.concatenate([_shifted(g, -row, -column) for row, column in taps], axis=3)
    positions = (0, 1, 2)
    found = lax.dot_general(
        x,
        shifted,
        ((positions, positions), ((), ())),
        preferred_element_type=jnp.promote_types(g.dtype, jnp.float32),
    )
    found = found.reshape(x.shape[3], len(rows), len(columns), g.shape[3]).transpose(1, 2, 0, 3)
    missed = [((3 - size) // 2,) * 2 for size in found.shape[:2]]
    return jnp.pad(found.astype(g.dtype), [*missed, (0, 0), (0, 0)])


def _shifted(g: jax.Array, rows: int, columns: int) -> jax.Array:
    """g[p + (rows, columns)]; zero beyond the edges."""
    edges = [(0, 0), *((max(-by, 0), max(by, 0)) for by in (rows, columns)), (0, 0)]
    height, width = g.shape[1:3]
    padded = jnp.pad(g, edges)
    row, column = max(rows, 0), max(columns, 0)
    return padded[:, row : row + height, column : column + width]
