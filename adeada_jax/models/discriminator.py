"""The fully convolutional discriminator of AdaptSegNet (Tsai et al. 2018)."""

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from adeada_jax.models.initialization import draw
from adeada_jax.models.segmenter import DTYPES
from adeada_jax.types import PyTree

CHANNELS = (64, 128, 256, 512)
SLOPE = 0.2

# What AdaptSegNet calls its layers, and D2ADA after it.
RENAMES = (
    ("conv0", "conv1"),
    ("conv1", "conv2"),
    ("conv2", "conv3"),
    ("conv3", "conv4"),
    ("conv4", "classifier"),
)


class DiscriminatorNetwork(nnx.Module):
    """Five 4x4 convolutions of stride 2, LeakyReLU between them."""

    def __init__(self, num_classes: int, dtype: jnp.dtype, rngs: nnx.Rngs):
        features = (num_classes, *CHANNELS, 1)
        for i in range(len(features) - 1):
            layer = nnx.Conv(
                features[i],
                features[i + 1],
                (4, 4),
                strides=2,
                padding=[(1, 1), (1, 1)],
                dtype=dtype,
                rngs=rngs,
            )
            setattr(self, f"conv{i}", layer)

    def __call__(self, maps: jax.Array) -> jax.Array:
        x = maps
        for i in range(len(CHANNELS)):
            x = jax.nn.leaky_relu(getattr(self, f"conv{i}")(x), SLOPE)
        return getattr(self, f"conv{len(CHANNELS)}")(x).astype(jnp.float32)


class Discriminator:
    """Tells source from target softmax maps: `init` makes its weights, `apply` uses them."""

    def __init__(self, num_classes: int, *, dtype: str = "float32"):
        network = nnx.eval_shape(lambda: DiscriminatorNetwork(num_classes, DTYPES[dtype], nnx.Rngs(0)))
        self._graph, state = nnx.split(network)
        self._shapes = nnx.to_pure_dict(state)

    @property
    def shapes(self) -> PyTree:
        """Shapes and types of the parameters."""
        return self._shapes

    def init(self, seed: int) -> PyTree:
        """Random parameters: nested dicts of float32 arrays."""
        return draw(self._shapes, _first_value, seed)

    def apply(self, params: PyTree, maps: jax.Array) -> jax.Array:
        """`(B, H, W, C)` softmax maps to `(B, H/32, W/32, 1)` scores; positive means target."""
        return nnx.merge(self._graph, nnx.State(params), copy=True)(maps)


def _first_value(path: tuple[str, ...], shape: tuple[int, ...], generator: np.random.Generator) -> np.ndarray:
    """Uniform within the inverse root of the fan-in: torch's default, which AdaptSegNet trains from."""
    if path[-1] != "kernel":
        return np.zeros(shape)
    bound = 1.0 / np.sqrt(np.prod(shape[:3]))
    return generator.uniform(-bound, bound, shape)
