"""Densities of region features: Gaussian mixtures, log densities, pi and KL (Section 3.2)."""

from adeada_jax.density.divergence import DensityDifference, density_difference
from adeada_jax.density.em import fit_mixtures
from adeada_jax.density.mixture import GaussianMixture
from adeada_jax.density.result import Mixture, score_mixtures

__all__ = [
    "DensityDifference",
    "GaussianMixture",
    "Mixture",
    "density_difference",
    "fit_mixtures",
    "score_mixtures",
]
