"""The densities that the domains can be compared by: `config.density.kind`."""

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from adeada_jax import seams
from adeada_jax.errors import InputError
from adeada_jax.method.densities.contract import Density, Restartable
from adeada_jax.method.densities.gmm import Gmm

_GMM = (
    "max_components",
    "regions_per_component",
    "covariance_type",
    "covariance_prior",
    "reg_covar",
    "tol",
    "max_iter",
    "warm_start",
)

# What they are made by, from `config.density`.
DENSITIES: dict[str, Callable[[Mapping[str, Any]], Density]] = {
    # A key that a run of before did not have has the value that it was fitted with.
    "gmm": lambda options: Gmm(**{key: options[key] for key in _GMM if key in options}),
}


def create_density(options: Mapping[str, Any]) -> Density:
    """Makes the density that `config.density` asks for.

    Raises:
      InputError: `kind` is unknown, cannot be imported or gives no density, or none that weighs regions where
        `weight` asks for it, or starts from the round before where `warm_start` does.
    """
    density = seams.DENSITY.make(options["kind"], DENSITIES, options)
    if not all(callable(getattr(density, name, None)) for name in ("fit", "log_density", "facts")):
        raise seams.DENSITY.refuse(options["kind"], "has methods `fit`, `log_density` and `facts`")
    taken = inspect.signature(density.fit).parameters
    by_pixels = options.get("weight", "regions") == "pixels"
    if by_pixels and "weights" not in taken:
        raise InputError(
            f"config.density.weight: 'pixels' needs a density whose `fit` takes `weights`; that of "
            f"density.kind='{options['kind']}' does not. Use 'regions'"
        )
    if options.get("warm_start", False) and not ("starts" in taken and isinstance(density, Restartable)):
        raise InputError(
            "config.density.warm_start: True needs a density whose `fit` takes `starts` and that has a "
            f"method `components`; that of density.kind='{options['kind']}' is none. Use False"
        )
    return density
