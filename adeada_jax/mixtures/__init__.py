"""Gaussian mixtures, many at once: a library of its own that knows nothing of the rest of this package."""

from adeada_jax.mixtures.em import fit_mixtures
from adeada_jax.mixtures.mixture import GaussianMixture
from adeada_jax.mixtures.packing import Rows
from adeada_jax.mixtures.result import Mixture, score_mixtures

__all__ = ["GaussianMixture", "Mixture", "Rows", "fit_mixtures", "score_mixtures"]
