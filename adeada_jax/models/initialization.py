"""First values of networks, drawn by NumPy: the same on every device, and nothing to compile."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

# Makes a leaf's value from its path's names, its shape and a generator.
Initializer = Callable[[tuple[str, ...], tuple[int, ...], np.random.Generator], np.ndarray]


def draw(shapes: Any, initializer: Initializer, seed: int) -> Any:
    """A pytree of float32 arrays with the structure and shapes of `shapes`, drawn in the order of paths."""
    generator = np.random.default_rng(seed)

    def value(path: tuple, leaf: jax.ShapeDtypeStruct) -> jax.Array:
        names = tuple(str(entry.key) for entry in path)
        return jnp.asarray(initializer(names, leaf.shape, generator), jnp.float32)

    return jax.tree_util.tree_map_with_path(value, shapes)


def segmenter_value(
    path: tuple[str, ...], shape: tuple[int, ...], generator: np.random.Generator
) -> np.ndarray:
    """Kaiming's normal distribution by fan-out (He et al. 2015); a classifier too small to prefer a class.

    Batch norm starts as the identity, biases at 0.
    """
    if path[-1] in ("scale", "var"):
        return np.ones(shape)
    if path[-1] != "kernel":
        return np.zeros(shape)
    outputs = shape[3] if shape[2] > 1 else 1  # a depthwise kernel has one a channel
    deviation = 0.01 if path[-2] == "classifier" else np.sqrt(2.0 / (np.prod(shape[:2]) * outputs))
    return deviation * generator.standard_normal(shape, np.float32)


def discriminator_value(
    path: tuple[str, ...], shape: tuple[int, ...], generator: np.random.Generator
) -> np.ndarray:
    """Uniform within the inverse root of the fan-in: torch's default, which AdaptSegNet trains from."""
    if path[-1] != "kernel":
        return np.zeros(shape)
    bound = 1.0 / np.sqrt(np.prod(shape[:3]))
    return generator.uniform(-bound, bound, shape)
