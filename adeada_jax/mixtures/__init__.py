"""Gaussian mixtures, many at once: a library of its own that knows nothing of the rest of this package."""

from typing import TYPE_CHECKING

from adeada_jax.mixtures.choice import Choice, choose_components
from adeada_jax.mixtures.em import fit_mixtures
from adeada_jax.mixtures.packing import Rows
from adeada_jax.mixtures.result import Mixture, score_mixtures
from adeada_jax.mixtures.streams import fit_blocks

if TYPE_CHECKING:
    from adeada_jax.mixtures.mixture import GaussianMixture

__all__ = [
    "Choice",
    "GaussianMixture",
    "Mixture",
    "Rows",
    "choose_components",
    "fit_blocks",
    "fit_mixtures",
    "score_mixtures",
]


def __getattr__(name: str) -> object:
    """The estimator is imported when it is asked for: scikit-learn, which it derives from, takes a second."""
    if name == "GaussianMixture":
        from adeada_jax.mixtures.mixture import GaussianMixture

        return GaussianMixture
    raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
