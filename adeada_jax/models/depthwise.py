"""Depthwise convolution as a sum of shifted products, with gradients of the same kind.

XLA's CPU backend takes 10 to 30 times as long over a grouped convolution (jaxlib 0.10).
"""

from collections.abc import Iterator
from functools import partial

import jax
import jax.numpy as jnp


@partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def depthwise(x: jax.Array, kernel: jax.Array, stride: int, dilation: int) -> jax.Array:
    """Convolves each channel with its own kernel.

    Args:
      x: `(B, H, W, C)`.
      kernel: `(k, k, 1, C)` float32.
      stride: in both directions.
      dilation: in both directions.

    Returns:
      `(B, ceil(H / stride), ceil(W / stride), C)` in the type of `x`, summed in float32. The padding is
      TensorFlow's SAME, which puts the odd row and column below and to the right.
    """
    padded = jnp.pad(x, ((0, 0), *_pads(x, kernel.shape[0], stride, dilation), (0, 0)))
    return _correlate(padded, kernel, _output_size(x, stride), stride, dilation)


def _forward(
    x: jax.Array, kernel: jax.Array, stride: int, dilation: int
) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    return depthwise(x, kernel, stride, dilation), (x, kernel)


def _backward(
    stride: int, dilation: int, kept: tuple[jax.Array, jax.Array], gradient: jax.Array
) -> tuple[jax.Array, jax.Array]:
    x, kernel = kept
    return (
        _image_gradient(x, kernel, gradient, stride, dilation),
        _kernel_gradient(x, kernel, gradient, stride, dilation),
    )


depthwise.defvjp(_forward, _backward)


def _pads(x: jax.Array, size: int, stride: int, dilation: int) -> list[tuple[int, int]]:
    reach = (size - 1) * dilation + 1
    return jax.lax.padtype_to_pads(x.shape[1:3], (reach, reach), (stride, stride), "SAME")


def _output_size(x: jax.Array, stride: int) -> tuple[int, int]:
    return -(-x.shape[1] // stride), -(-x.shape[2] // stride)


def _shifts(size: int, dilation: int) -> Iterator[tuple[int, int, int, int]]:
    """Row and column in the kernel, and in the padded image."""
    for i in range(size):
        for j in range(size):
            yield i, j, i * dilation, j * dilation


def _correlate(
    padded: jax.Array, kernel: jax.Array, output: tuple[int, int], stride: int, dilation: int
) -> jax.Array:
    height, width = output
    total = jnp.zeros((), jnp.float32)
    for i, j, row, column in _shifts(kernel.shape[0], dilation):
        rows = slice(row, row + (height - 1) * stride + 1, stride)
        columns = slice(column, column + (width - 1) * stride + 1, stride)
        total = total + padded[:, rows, columns] * kernel[i, j, 0]
    return total.astype(padded.dtype)


def _image_gradient(
    x: jax.Array, kernel: jax.Array, gradient: jax.Array, stride: int, dilation: int
) -> jax.Array:
    """The gradient, spread out by the stride, correlated with the turned kernel."""
    reach = (kernel.shape[0] - 1) * dilation + 1
    padding = [(0, 0, 0)]
    for axis, (before, _) in zip((1, 2), _pads(x, kernel.shape[0], stride, dilation), strict=True):
        spread = (gradient.shape[axis] - 1) * stride + 1
        low = reach - 1 - before
        padding.append((low, x.shape[axis] + reach - 1 - low - spread, stride - 1))
    padded = jax.lax.pad(gradient, jnp.zeros((), gradient.dtype), [*padding, (0, 0, 0)])
    return _correlate(padded, kernel[::-1, ::-1], (x.shape[1], x.shape[2]), 1, dilation)


def _kernel_gradient(
    x: jax.Array, kernel: jax.Array, gradient: jax.Array, stride: int, dilation: int
) -> jax.Array:
    size = kernel.shape[0]
    padded = jnp.pad(x, ((0, 0), *_pads(x, size, stride, dilation), (0, 0)))
    sums = partial(_sums, size=size, stride=stride, dilation=dilation)
    # XLA's CPU backend adds a fused product up slowly, row by row it does not.
    by_rows = partial(_sums_by_rows, size=size, stride=stride, dilation=dilation)
    result = jax.lax.platform_dependent(padded, gradient, cpu=by_rows, default=sums)
    return result.reshape(kernel.shape)


def _sums(padded: jax.Array, gradient: jax.Array, *, size: int, stride: int, dilation: int) -> jax.Array:
    """`(k * k, C)`: for each shift the sum of image times gradient."""
    height, width = gradient.shape[1:3]
    weights = gradient.astype(jnp.float32)
    sums = []
    for _, _, row, column in _shifts(size, dilation):
        rows = slice(row, row + (height - 1) * stride + 1, stride)
        columns = slice(column, column + (width - 1) * stride + 1, stride)
        sums.append((padded[:, rows, columns] * weights).sum((0, 1, 2)))
    return jnp.stack(sums)


def _sums_by_rows(
    padded: jax.Array, gradient: jax.Array, *, size: int, stride: int, dilation: int
) -> jax.Array:
    """As `_sums`, by a loop over the gradient's rows."""
    _, height, width, channels = gradient.shape

    def add(row: jax.Array, totals: tuple[jax.Array, ...]) -> tuple[jax.Array, ...]:
        weights = jax.lax.dynamic_index_in_dim(gradient, row, 1, keepdims=False).astype(jnp.float32)
        lines = [
            jax.lax.dynamic_index_in_dim(padded, row * stride + i * dilation, 1, keepdims=False)
            for i in range(size)
        ]
        columns = [slice(j * dilation, j * dilation + (width - 1) * stride + 1, stride) for j in range(size)]
        products = [line[:, column] * weights for line in lines for column in columns]
        return tuple(total + product for total, product in zip(totals, products, strict=True))

    zeros = jnp.zeros((gradient.shape[0], width, channels), jnp.float32)
    totals = jax.lax.fori_loop(0, height, add, (zeros,) * size**2)
    return jnp.stack([total.sum((0, 1)) for total in totals])
