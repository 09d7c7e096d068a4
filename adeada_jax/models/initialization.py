"""First values of networks, drawn by NumPy: the same on every device, and nothing to compile."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from adeada_jax.errors import InputError
from adeada_jax.types import PyTree

# Makes a leaf's value from its path's names, its shape and a generator.
Initializer = Callable[[tuple[str, ...], tuple[int, ...], np.random.Generator], np.ndarray | jax.Array]


def draw(shapes: PyTree, initializer: Initializer, seed: int) -> PyTree:
    """A pytree of float32 arrays with the structure and shapes of `shapes`, drawn in the order of paths.

    Raises:
      InputError: a value has another shape.
    """
    generator = np.random.default_rng(seed)

    def value(path: tuple[jax.tree_util.DictKey, ...], leaf: jax.ShapeDtypeStruct) -> jax.Array:
        names = tuple(str(entry.key) for entry in path)
        made = jnp.asarray(initializer(names, leaf.shape, generator), jnp.float32)
        if made.shape != leaf.shape:
            raise InputError(f"first value of '{'/'.join(names)}': shape {made.shape}, not {leaf.shape}")
        return made

    return jax.tree_util.tree_map_with_path(value, shapes)


def kaiming(path: tuple[str, ...], shape: tuple[int, ...], generator: np.random.Generator) -> np.ndarray:
    """Kaiming's normal distribution by fan-out (He et al. 2015); a classifier too small to prefer a class.

    Norms start as the identity, biases at 0.

    Args:
      path: ends with "kernel", "scale" or "bias".
      shape: of a kernel `(height, width, inputs, outputs)` or `(inputs, outputs)`.
      generator: drawn from for kernels.

    Raises:
      InputError: the path ends otherwise.
    """
    if path[-1] == "scale":
        return np.ones(shape)
    if path[-1] == "bias":
        return np.zeros(shape)
    if path[-1] != "kernel":
        raise InputError(f"'{'/'.join(path)}' has no first value; its part's `first_value` must give one")
    depthwise = len(shape) == 4 and shape[2] == 1  # such a kernel has one output a channel
    fan_out = np.prod(shape[:-2]) * (1 if depthwise else shape[-1])
    deviation = 0.01 if path[-2:-1] == ("classifier",) else np.sqrt(2.0 / fan_out)
    return deviation * generator.standard_normal(shape, np.float32)
