"""Covariances drawn towards a multiple of the identity where samples are few: by rules, or by a prior.

What the rules draw is a component's covariance S with its responsibilities as weights w_i, whose sum n
stands for the number of samples: (1 - s) S + s mu I. Weights that are whole numbers give what so many equal
samples would, and a single component with weights of one gives what scikit-learn's `LedoitWolf` and `OAS`
give.

The rules alone cannot do with one sample, for which S and mu = tr S / D are zero; and for two, Ledoit and
Wolf's s is zero. EM would run into such components, since nothing bounds their densities. So mu counts one
sample more, spread like all samples of the mixture (with variance v): mu = (n tr S / D + v) / (n + 1); and s
is at least 1 / (n + 1), as OAS always is. With a single component v = tr S / D, so mu is that, too.
"""

import jax
import jax.numpy as jnp

PRIORS = ("", "ledoit_wolf", "oas", "inverse_wishart")


def central_fourth(
    size: jax.Array,
    sums: jax.Array,
    squares: jax.Array,
    cubes: jax.Array,
    fourths: jax.Array,
    shift: jax.Array,
) -> jax.Array:
    """Sum of w_i |y_i - s|^4 from moments of y: |y - s|^2 = q - 2 s'y + |s|^2, with q = |y|^2, is squared.

    Args:
        size: sum of w_i. sums: (D,) of w_i y_i. squares: (D, D) of w_i y_i y_i'.
        cubes: (D,) of w_i q_i y_i. fourths: of w_i q_i^2.
        shift: (D,) s.
    """
    far = jnp.sum(shift * shift)
    along = jnp.sum(shift * jnp.sum(squares * shift[None, :], axis=1))
    second = jnp.trace(squares)
    linear = jnp.sum(shift * (cubes + far * sums))
    return fourths + 4 * along + far * far * size + 2 * far * second - 4 * linear


def ledoit_wolf(covariance: jax.Array, size: jax.Array, fourth: jax.Array, dim: int | jax.Array) -> jax.Array:
    """Shrinkage s of Ledoit and Wolf (2004).

    "A well-conditioned estimator for large-dimensional covariance matrices", section 3.3: s = b^2 / d^2, with
    each sum over samples weighted:

        d^2 = |S - mu I|^2 / D
        b^2 = min(d^2, 1 / (n^2 D) sum_i w_i |(x_i - mean)(x_i - mean)' - S|^2)

    in Frobenius norms. The sum is that of w_i |x_i - mean|^4, less n |S|^2. At least 1 / (n + 1), see above.

    Args:
        covariance: (D, D) S; features beyond `dim` are zero.
        size: n.
        fourth: sum of w_i |x_i - mean|^4.
        dim: D without padding.
    """
    norm = jnp.sum(covariance * covariance)
    away = jnp.maximum(norm - jnp.trace(covariance) ** 2 / dim, 0.0) / dim
    noise = jnp.maximum(fourth / size - norm, 0.0) / (size * dim)
    amount = jnp.where(away > 0, jnp.minimum(noise, away) / jnp.where(away > 0, away, 1.0), 1.0)
    return jnp.maximum(amount, 1 / (size + 1))


def oas(covariance: jax.Array, size: jax.Array, dim: int | jax.Array) -> jax.Array:
    """Shrinkage s of Chen, Wiesel, Eldar and Hero (2010).

    "Shrinkage algorithms for MMSE covariance estimation", Eq. 23, without its terms in 2 / D, as scikit-learn
    has it:

        s = min(1, (|S|^2 + tr(S)^2) / ((n + 1) (|S|^2 - tr(S)^2 / D)))

    Args:
        covariance, size, dim: as of `ledoit_wolf`.
    """
    norm, square = jnp.sum(covariance * covariance), jnp.trace(covariance) ** 2
    above, below = norm + square, (size + 1) * (norm - square / dim)
    return jnp.where(below > above, above / jnp.where(below > above, below, 1.0), 1.0)


def inverse_wishart(
    covariance: jax.Array, size: jax.Array, spread: jax.Array, number: jax.Array, dim: int | jax.Array
) -> jax.Array:
    """The likeliest covariance (D, D) after a prior of Fraley and Raftery (2007).

    "Bayesian regularization for normal mixture estimation and model-based clustering", without their prior of
    the means:

        (lambda I + n S) / (n + nu + D + 1), with nu = D + 2 and lambda = v / K^(2 / D)

    Their scale matrix of spherical and diagonal models is taken, since that of full ones, the covariance of
    all samples, is singular where these are fewer than features.

    Args:
        covariance, size, dim: as of `ledoit_wolf`.
        spread: v, the mean variance of a feature over all samples of the mixture.
        number: K.
    """
    real = jnp.arange(len(covariance)) < dim
    scale = spread / number ** (2 / dim)
    return (size * covariance + jnp.diag(jnp.where(real, scale, 0.0))) / (size + 2 * dim + 3)


def shrink(
    covariance: jax.Array, amount: jax.Array, size: jax.Array, spread: jax.Array, dim: int | jax.Array
) -> jax.Array:
    """(1 - amount) covariance + amount mu I (D, D), which leaves features beyond `dim` zero.

    Args:
        covariance, size, dim: as of `ledoit_wolf`.
        amount: s.
        spread: v, the mean variance of a feature over all samples of the mixture.
    """
    real = jnp.arange(len(covariance)) < dim
    scale = (size * jnp.trace(covariance) / dim + spread) / (size + 1)
    return (1 - amount) * covariance + jnp.diag(jnp.where(real, amount * scale, 0.0))
