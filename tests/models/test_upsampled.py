"""Convolving what is upsampled without upsampling it: the same values and gradients with fewer products."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from adeada_jax.models import layers, upsampled


def plain(fine, coarse, kernel):
    joined = jnp.concatenate([fine, layers.upsample(coarse, *fine.shape[1:3])], axis=-1)
    return lax.conv_general_dilated(
        joined, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
    )


def arrays(grid, fine_grid, channels=(3, 40), features=7, dtype="float32"):
    rng = np.random.default_rng(0)
    sizes = (2, *fine_grid, channels[0]), (2, *grid, channels[1]), (3, 3, sum(channels), features)
    return [jnp.asarray(rng.normal(size=size), dtype) for size in sizes]


def flops(function, *arguments):
    return jax.jit(function).lower(*arguments).compile().cost_analysis()["flops"]


# From 2 to 8 times as fine, in whole steps and not, a single row, and the same grid.
@pytest.mark.parametrize(
    ("grid", "fine_grid"),
    [((6, 12), (24, 48)), ((3, 5), (11, 17)), ((1, 4), (4, 9)), ((4, 3), (32, 24)), ((5, 7), (5, 7))],
)
@pytest.mark.parametrize(("dtype", "error"), [("float32", 2e-6), ("bfloat16", 3e-2)])
def test_values_and_gradients_are_those_of_upsampling_first(grid, fine_grid, dtype, error):
    given = arrays(grid, fine_grid, dtype=dtype)
    weights = jnp.asarray(np.random.default_rng(1).normal(size=(2, *fine_grid, 7)), dtype)

    def both(way):
        value, back = jax.vjp(way, *given)
        return value, *back(weights)

    for ours, other in zip(
        jax.jit(both, static_argnums=0)(upsampled.convolve_joined), both(plain), strict=True
    ):
        assert (ours.dtype, ours.shape) == (dtype, other.shape)
        ours, other = np.asarray(ours, np.float32), np.asarray(other, np.float32)
        np.testing.assert_allclose(ours, other, atol=error * np.abs(other).max())


def test_four_times_as_fine_a_tenth_of_the_operations_is_left():
    given = arrays((6, 12), (24, 48), (0, 256), 256)
    assert flops(upsampled.convolve_joined, *given) < 0.1 * flops(plain, *given)


def test_where_it_would_not_pay_it_upsamples_first():
    given = arrays((40, 40), (80, 80), (3, 8))
    assert upsampled.convolve_joined(*given).tobytes() == plain(*given).tobytes()
