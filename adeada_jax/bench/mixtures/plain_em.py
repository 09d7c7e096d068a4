"""One EM iteration of one mixture, to time: the engine's, and the one that anyone would write."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.linalg import solve_triangular

from adeada_jax.mixtures.engines import Options, make_engine, plan_groups
from adeada_jax.mixtures.packing import mean


@partial(jax.jit, static_argnames=("reg_covar", "precision"))
def plain_iteration(
    features: jax.Array,
    responsibilities: jax.Array,
    reg_covar: float = 1e-6,
    precision: jax.lax.Precision | None = None,
) -> tuple[jax.Array, jax.Array]:
    """The EM that anyone would write: M and E step as two products of 2 N K D^2.

    Args:
        features: (N, D). responsibilities: (N, K).
        reg_covar: added to the covariances' diagonals.
        precision: of the products, as of `jax.numpy.matmul`.

    Returns:
        The mean log-likelihood in nats, and responsibilities (N, K).
    """
    matmul = partial(jnp.matmul, precision=precision)
    counts = responsibilities.sum(axis=0)
    means = matmul(responsibilities.T, features) / counts[:, None]
    identity = jnp.eye(features.shape[1], dtype=features.dtype)

    def one(mean_: jax.Array, weight: jax.Array, responsibility: jax.Array, count: jax.Array) -> jax.Array:
        centred = features - mean_
        covariance = matmul((centred * responsibility[:, None]).T, centred) / count + reg_covar * identity
        factor = solve_triangular(jnp.linalg.cholesky(covariance), identity, lower=True).T
        white = matmul(centred, factor)
        constant = jnp.log(weight) + jnp.log(jnp.diagonal(factor)).sum()
        return constant - 0.5 * jnp.sum(white * white, axis=1)

    arguments = (means, counts / counts.sum(), responsibilities.T, counts)
    scores = jax.lax.map(lambda a: one(*a), arguments).T - 0.5 * features.shape[1] * jnp.log(2 * jnp.pi)
    norms = jax.scipy.special.logsumexp(scores, axis=1)
    return norms.mean(), jnp.exp(scores - norms[:, None])


def our_engine(features: np.ndarray, start: np.ndarray) -> Any:
    """The engine of one mixture after its start."""
    options = Options()
    (group,) = plan_groups([len(features)], [start.shape[1]], features.shape[1], np.float32, options)
    engine = make_engine(group, [features], mean(features)[None], options)
    engine.start([start])
    return engine
