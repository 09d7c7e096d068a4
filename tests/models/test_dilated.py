"""Dilated convolutions have XLA's values and gradients, with fewer products where they are padded."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from adeada_jax.models import dilated

DIMENSIONS = {"dimension_numbers": ("NHWC", "HWIO", "NHWC")}


def xla(x, kernel, dilation, **options):
    padding = [(dilation, dilation)] * 2
    return lax.conv_general_dilated(
        x, kernel, (1, 1), padding, rhs_dilation=(dilation, dilation), **DIMENSIONS, **options
    )


def ours(x, kernel, dilation, **options):
    padding = [(dilation, dilation)] * 2
    options = {"lhs_dilation": (1, 1), "rhs_dilation": (dilation, dilation), **DIMENSIONS, **options}
    return dilated.convolve(x, kernel, (1, 1), padding, **options)


def arrays(shape, features, dtype, groups=1):
    rng = np.random.default_rng(0)
    sizes = (shape, (3, 3, shape[3] // groups, features), (*shape[:3], features))
    return [jnp.asarray(rng.normal(size=size), dtype) for size in sizes]


def gradients(convolve, x, kernel, weights, dilation):
    def loss(x, kernel):
        return (convolve(x, kernel, dilation) * weights).astype(jnp.float32).sum()

    return jax.jit(jax.grad(loss, (0, 1)))(x, kernel)


@pytest.mark.parametrize(
    ("shape", "dilation"), [((2, 7, 10, 5), 2), ((1, 6, 12, 8), 6), ((3, 5, 4, 3), 18), ((1, 1, 9, 4), 4)]
)
@pytest.mark.parametrize(("dtype", "error"), [("float32", 1e-5), ("bfloat16", 2e-2)])
def test_values_and_both_gradients_are_xlas(shape, dilation, dtype, error):
    x, kernel, weights = arrays(shape, 6, dtype)
    found, expected = (
        (way(x, kernel, dilation), *gradients(way, x, kernel, weights, dilation)) for way in (ours, xla)
    )
    for own, other in zip(found, expected, strict=True):
        assert (own.dtype, own.shape) == (dtype, other.shape)
        own, other = np.asarray(own, np.float32), np.asarray(other, np.float32)
        np.testing.assert_allclose(own, other, atol=error * np.abs(other).max())


# For a dilation of 6.
@pytest.mark.parametrize(
    ("size", "taps"),
    [((7, 7), (3, 3)), ((7, 6), (3, 1)), ((6, 7), (1, 3)), ((6, 6), (1, 1)), ((1, 20), (1, 3))],
)
def test_taps_that_lie_in_the_padding_are_left_out(size, taps):
    x, kernel, weights = arrays((1, *size, 8), 5, "float32")
    program = str(jax.make_jaxpr(ours, static_argnums=2)(x, kernel, 6))
    operation = "dot_general" if taps == (1, 1) else "conv_general_dilated"
    assert f"f32[{taps[0]},{taps[1]},8,5]" in program
    assert operation in program
    gradient = gradients(ours, x, kernel, weights, 6)[1]
    assert (np.asarray(gradient) != 0).all(axis=(2, 3)).sum() == taps[0] * taps[1]


def products(convolve, *arguments):
    program = str(jax.make_jaxpr(lambda *args: gradients(convolve, *args, 2))(*arguments))
    return program.count("dot_general"), program.count("conv_general_dilated")


def test_one_product_takes_a_convolutions_place():
    given = arrays((1, 8, 8, 4), 6, "float32")
    assert products(ours, *given) == (1, products(xla, *given)[1] - 1)


def test_in_groups_it_is_as_ever():
    x, kernel, weights = arrays((1, 8, 8, 4), 4, "float32", groups=4)

    def grouped(x, kernel, dilation):
        return ours(x, kernel, dilation, feature_group_count=4)

    assert products(grouped, x, kernel, weights)[0] == 0
    expected = xla(x, kernel, 2, feature_group_count=4)
    np.testing.assert_array_equal(grouped(x, kernel, 2), expected)
