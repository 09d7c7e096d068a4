"""Every way to compute a dilated convolution gives the same as sums over its taps in NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from adeada_jax.bench.gpu.dilated_ways import WAYS, with_gradients
from adeada_jax.models import layers

BATCH, HEIGHT, WIDTH, INPUTS, OUTPUTS = 2, 7, 10, 3, 4
DILATIONS = (1, 2, 3, 6, 8)  # of which some do not divide the size, and one is larger than the map


def arrays(dtype=np.float32):
    rng = np.random.default_rng(0)
    shapes = ((BATCH, HEIGHT, WIDTH, INPUTS), (3, 3, INPUTS, OUTPUTS), (BATCH, HEIGHT, WIDTH, OUTPUTS))
    return [rng.normal(size=shape).astype(dtype) for shape in shapes]


def by_taps(x, w, g, d):
    """Forward pass, input's gradient and weights' gradient, in float64, pixel by pixel."""
    x, w, g = (np.asarray(a, np.float64) for a in (x, w, g))
    y, dx, dw = np.zeros_like(g), np.zeros_like(x), np.zeros_like(w)
    for i, j, r, c in np.ndindex(3, 3, HEIGHT, WIDTH):
        row, column = r + (i - 1) * d, c + (j - 1) * d
        if 0 <= row < HEIGHT and 0 <= column < WIDTH:
            y[:, r, c] += x[:, row, column] @ w[i, j]
            dx[:, row, column] += g[:, r, c] @ w[i, j].T
            dw[i, j] += x[:, row, column].T @ g[:, r, c]
    return y, dx, dw


@pytest.mark.parametrize("d", DILATIONS)
@pytest.mark.parametrize("name", WAYS)
def test_all_three_passes_are_sums_over_taps(name, d):
    x, w, g = arrays()
    way = WAYS[name]
    found = (way.forward(x, w, d), way.input_gradient(g, w, d), way.weight_gradient(x, g, d))
    for ours, expected in zip(found, by_taps(x, w, g, d), strict=True):
        np.testing.assert_allclose(ours, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", WAYS)
def test_results_of_bfloat16_are_bfloat16_and_near(name):
    x, w, g = (jnp.asarray(a, jnp.bfloat16) for a in arrays())
    way = WAYS[name]
    found = (way.forward(x, w, 2), way.input_gradient(g, w, 2), way.weight_gradient(x, g, 2))
    for ours, expected in zip(found, by_taps(x, w, g, 2), strict=True):
        assert ours.dtype == jnp.bfloat16
        away = np.linalg.norm(np.asarray(ours, np.float64) - expected) / np.linalg.norm(expected)
        assert away < 5e-3


@pytest.mark.parametrize(("dilation", "stride"), [(2, 1), (1, 1), (1, 2)])
def test_a_layer_with_other_gradients_is_the_same_layer(monkeypatch, dilation, stride):
    from flax import nnx

    x, _, _ = arrays()

    def gradients():
        layer = layers.conv(
            INPUTS, OUTPUTS, 3, stride=stride, dilation=dilation, dtype=jnp.float32, rngs=nnx.Rngs(0)
        )
        graph, state = nnx.split(layer)

        def loss(state, x):
            return jnp.sum(jnp.sin(nnx.merge(graph, state)(x)))

        return loss(state, x), *jax.tree.leaves(jax.grad(loss, argnums=(0, 1))(state, x))

    expected = gradients()
    monkeypatch.setattr(layers, "spatial", with_gradients("nine products", "one product"))
    for ours, other in zip(gradients(), expected, strict=True):
        np.testing.assert_allclose(ours, other, rtol=1e-4, atol=1e-4)
