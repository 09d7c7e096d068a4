"""BADGE (supplement B; Ash et al. 2020): k-means++ over gradient embeddings, never written out.

A region's embedding is the gradient of the last layer's weights for its own prediction, the outer product
a z^T of a = p - onehot(argmax p) and z: 19 x 256 numbers. Distances between outer products need none of them:
|a z^T - b y^T|^2 = |a|^2 |z|^2 + |b|^2 |y|^2 - 2 (a . b) (z . y).
"""

import jax
import jax.numpy as jnp
import numpy as np

from adeada_jax.method.regions import Regions
from adeada_jax.method.strategy import Pick, Request, Selection


class Badge:
    """Regions drawn one by one in proportion to their squared distance to the nearest one drawn before.

    The first is the one of the largest embedding. Only regions that what is left of the budget pays for are
    drawn; where all of those lie on regions drawn before, the first by image name and region id is taken.
    """

    needs = ("probabilities", "features")

    def select(self, regions: Regions, request: Request) -> Selection:
        order = regions.ranked(np.zeros(len(regions)))
        if not len(order):
            return Selection(())
        embeddings = Embeddings(regions["probabilities"][order], regions["features"][order])
        pixels = regions.pixels[order]
        generator = np.random.default_rng([request.seed, request.round])
        picks: list[Pick] = []
        left = request.budget
        free = np.ones(len(order), bool)
        nearest = np.full(len(order), np.inf)
        while (affordable := free & (pixels <= left)).any():
            # Before any is drawn, an embedding's distance is that to nothing: its norm.
            distance = nearest if picks else embeddings.norms
            mass = np.where(affordable, distance, 0.0)
            drawn = _draw(generator, mass, affordable) if picks else int(mass.argmax())
            picks.append(Pick(int(order[drawn]), "badge", float(distance[drawn])))
            free[drawn] = False
            left -= int(pixels[drawn])
            nearest = np.minimum(nearest, embeddings.distances(drawn))
        return Selection(tuple(picks))


def _draw(generator: np.random.Generator, mass: np.ndarray, affordable: np.ndarray) -> int:
    """An index in proportion to its mass; the first affordable one where there is no mass."""
    cumulative = np.cumsum(mass, dtype=np.float64)
    if cumulative[-1] <= 0:
        return int(affordable.argmax())
    return int(np.searchsorted(cumulative, generator.random() * cumulative[-1], side="right"))


class Embeddings:
    """Gradient embeddings as their two factors, on the device.

    Attributes:
      norms: `(N,)` squared norms |a|^2 |z|^2.
    """

    def __init__(self, probabilities: np.ndarray, features: np.ndarray):
        """Brings a = p - onehot(argmax p) and z to the device.

        Args:
          probabilities: `(N, C)`.
          features: `(N, D)`.
        """
        residual = probabilities.astype(np.float32)
        residual[np.arange(len(residual)), probabilities.argmax(axis=1)] -= 1
        self._factors = jax.device_put((residual, features.astype(np.float32)))
        self._norms = (residual**2).sum(axis=1) * (features.astype(np.float32) ** 2).sum(axis=1)

    @property
    def norms(self) -> np.ndarray:
        return self._norms

    def distances(self, index: int) -> np.ndarray:
        """`(N,)` float32 squared distances of all embeddings to one."""
        return np.asarray(_distances(*self._factors, self._norms, index))


@jax.jit
def _distances(residual: jax.Array, features: jax.Array, norms: jax.Array, index: int) -> jax.Array:
    def product(factor: jax.Array) -> jax.Array:
        return jnp.matmul(factor, factor[index], precision=jax.lax.Precision.HIGHEST)

    squared = norms + norms[index] - 2.0 * product(residual) * product(features)
    return jnp.maximum(squared, 0.0)
