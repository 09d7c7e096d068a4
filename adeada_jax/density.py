"""The former place of `adeada_jax.mixtures`, for scripts that still name it; it will go."""

from adeada_jax.method.density import DensityDifference, density_difference
from adeada_jax.mixtures import GaussianMixture, Mixture, fit_mixtures, score_mixtures

__all__ = [
    "DensityDifference",
    "GaussianMixture",
    "Mixture",
    "density_difference",
    "fit_mixtures",
    "score_mixtures",
]
