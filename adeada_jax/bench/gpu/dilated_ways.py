"""Ways to compute a dilated 3x3 convolution and its two gradients, all equal but for rounding.

Arrays are x (B, H, W, I), w (3, 3, I, O) and y or its gradient g (B, H, W, O), of one type; d is the
dilation. The stride is 1, and d zeros around x keep its size: y[p] is the sum over taps (i, j) of
x[p + d (i - 1, j - 1)] @ w[i, j]. Products of bfloat16 are summed in float32.
"""

import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial, reduce
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from adeada_jax.models import dilated

_DIMENSIONS = ("NHWC", "HWIO", "NHWC")
_OFFSETS = tuple((i, j) for i in (-1, 0, 1) for j in (-1, 0, 1))
_POSITIONS = (0, 1, 2)  # axes of images, rows and columns


@dataclass(frozen=True)
class Way:
    """A convolution's three passes: forward(x, w, d), input_gradient(g, w, d), weight_gradient(x, g, d)."""

    forward: Callable[[jax.Array, jax.Array, int], jax.Array]
    input_gradient: Callable[[jax.Array, jax.Array, int], jax.Array]
    weight_gradient: Callable[[jax.Array, jax.Array, int], jax.Array]


def _transposed(forward: Callable[[jax.Array, jax.Array, int], jax.Array]) -> Way:
    """The way whose gradients are the forward pass's transposes, as JAX derives them."""

    def input_gradient(g: jax.Array, w: jax.Array, d: int) -> jax.Array:
        x = jax.ShapeDtypeStruct((*g.shape[:3], w.shape[2]), g.dtype)
        return jax.linear_transpose(lambda x: forward(x, w, d), x)(g)[0]

    def weight_gradient(x: jax.Array, g: jax.Array, d: int) -> jax.Array:
        w = jax.ShapeDtypeStruct((3, 3, x.shape[3], g.shape[3]), g.dtype)
        return jax.linear_transpose(lambda w: forward(x, w, d), w)(g)[0]

    return Way(forward, input_gradient, weight_gradient)


def xlas_own(x: jax.Array, w: jax.Array, d: int) -> jax.Array:
    """The convolution that the networks have."""
    padding = [(d, d)] * 2
    return lax.conv_general_dilated(x, w, (1, 1), padding, rhs_dilation=(d, d), dimension_numbers=_DIMENSIONS)


def phases(x: jax.Array, w: jax.Array, d: int) -> jax.Array:
    """Space to batch: every d-th row and column make an image, whose convolution is not dilated."""
    batch, height, width, features = x.shape
    rows, columns = -(-height // d), -(-width // d)
    whole = jnp.pad(x, ((0, 0), (0, rows * d - height), (0, columns * d - width), (0, 0)))
    cut = whole.reshape(batch, rows, d, columns, d, features).transpose(0, 2, 4, 1, 3, 5)
    y = xlas_own(cut.reshape(batch * d * d, rows, columns, features), w, 1)
    y = y.reshape(batch, d, d, rows, columns, -1).transpose(0, 3, 1, 4, 2, 5)
    return y.reshape(batch, rows * d, columns * d, -1)[:, :height, :width]


def patches(x: jax.Array, w: jax.Array, d: int) -> jax.Array:
    """im2col by XLA's own operation, and a product."""
    columns = lax.conv_general_dilated_patches(
        x, (3, 3), (1, 1), [(d, d)] * 2, rhs_dilation=(d, d), dimension_numbers=_DIMENSIONS
    )
    return _product(columns, w.transpose(2, 0, 1, 3).reshape(-1, w.shape[3]), (3,), (0,)).astype(x.dtype)


def _product(
    left: jax.Array, right: jax.Array, left_axes: tuple[int, ...], right_axes: tuple[int, ...]
) -> jax.Array:
    """A product over the given axes, summed in float32 at least."""
    kind = jnp.promote_types(left.dtype, jnp.float32)
    return lax.dot_general(left, right, ((left_axes, right_axes), ((), ())), preferred_element_type=kind)


def _shifted(x: jax.Array, d: int, i: int, j: int) -> jax.Array:
    """x[p + d (i, j)], i and j from -1 to 1; zero beyond the edges."""
    height, width = x.shape[1:3]
    row, column = d + i * d, d + j * d
    padded = jnp.pad(x, ((0, 0), (d, d), (d, d), (0, 0)))
    return padded[:, row : row + height, column : column + width]


def _flipped(w: jax.Array) -> jax.Array:
    """The kernel of the input's gradient: a convolution of g with it is that gradient."""
    return w[::-1, ::-1].transpose(0, 1, 3, 2)


def nine_forward(x: jax.Array, w: jax.Array, d: int) -> jax.Array:
    """Nine products of x shifted, summed."""
    taps = zip(_OFFSETS, w.reshape(9, *w.shape[2:]), strict=True)
    parts = (_product(_shifted(x, d, i, j), tap, (3,), (0,)) for (i, j), tap in taps)
    return reduce(operator.add, parts).astype(x.dtype)


def nine_weight_gradient(x: jax.Array, g: jax.Array, d: int) -> jax.Array:
    """Nine products of what x and the shifted g have in common; no array is padded."""
    height, width = x.shape[1:3]

    def tap(i: int, j: int) -> jax.Array:
        (x_rows, g_rows), (x_columns, g_columns) = _common(height, i * d), _common(width, j * d)
        return _product(x[:, x_rows, x_columns], g[:, g_rows, g_columns], _POSITIONS, _POSITIONS)

    taps = [tap(i, j) for i, j in _OFFSETS]
    return jnp.stack(taps).reshape(3, 3, x.shape[3], g.shape[3]).astype(g.dtype)


def _common(size: int, shift: int) -> tuple[slice, slice]:
    """Where x[p + shift] and g[p] are both within `size`: the slices of x and of g."""
    low, high = max(shift, 0), max(size + min(shift, 0), 0)
    low = min(low, high)
    return slice(low, high), slice(max(-shift, 0), max(-shift, 0) + high - low)


def one_forward(x: jax.Array, w: jax.Array, d: int) -> jax.Array:
    """One product of x with all taps side by side, whose results are shifted and summed."""
    found = _product(x, w.transpose(2, 0, 1, 3).reshape(w.shape[2], -1), (3,), (0,))
    parts = zip(_OFFSETS, jnp.split(found, 9, axis=3), strict=True)
    return reduce(operator.add, (_shifted(part, d, i, j) for (i, j), part in parts)).astype(x.dtype)


def _spread(g: jax.Array, d: int) -> jax.Array:
    """(B, H, W, 9 O): for each tap g[q - d (i - 1, j - 1)]."""
    return jnp.concatenate([_shifted(g, d, -i, -j) for i, j in _OFFSETS], axis=3)


def one_input_gradient(g: jax.Array, w: jax.Array, d: int) -> jax.Array:
    """One product of g at all shifts with all taps."""
    taps = w.transpose(0, 1, 3, 2).reshape(-1, w.shape[2])
    return _product(_spread(g, d), taps, (3,), (0,)).astype(g.dtype)


# By name, as tables have it; the first is what the others are compared with.
WAYS = {
    "XLA's own": _transposed(xlas_own),
    "one product": Way(one_forward, one_input_gradient, dilated.weight_gradient),
    "nine products": Way(nine_forward, lambda g, w, d: nine_forward(g, _flipped(w), d), nine_weight_gradient),
    "phases": _transposed(phases),
    "patches": _transposed(patches),
}


def with_gradients(weight: str, input_: str = "XLA's own") -> Callable[..., jax.Array]:
    """`lax.conv_general_dilated` whose gradients, where a 3x3 kernel is dilated, are other ways'.

    For `flax.nnx.Conv`; other convolutions, and the forward pass, stay as they are.

    Args:
        weight: way of WAYS to the weights' gradient.
        input_: the way to the input's.
    """

    @partial(jax.custom_vjp, nondiff_argnums=(2,))
    def convolution(x: jax.Array, w: jax.Array, d: int) -> jax.Array:
        return xlas_own(x, w, d)

    def forward(x: jax.Array, w: jax.Array, d: int) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
        return xlas_own(x, w, d), (x, w)

    def backward(d: int, kept: tuple[jax.Array, jax.Array], g: jax.Array) -> tuple[jax.Array, jax.Array]:
        x, w = kept
        return WAYS[input_].input_gradient(g, w, d), WAYS[weight].weight_gradient(x, g, d)

    convolution.defvjp(forward, backward)

    def convolve(
        x: jax.Array, w: jax.Array, strides: Sequence[int], padding: dilated.Padding, **options: Any
    ) -> jax.Array:
        dilation = options["rhs_dilation"]
        if w.shape[:2] == (3, 3) and dilation[0] == dilation[1] > 1 and tuple(strides) == (1, 1):
            return convolution(x, w, int(dilation[0]))
        return lax.conv_general_dilated(x, w, strides, padding, **options)

    return convolve
