"""What a density of region features is (Eq. 1), of whatever kind."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import jax
import numpy as np

from adeada_jax.mixtures.packing import Samples
from adeada_jax.types import Json

# Why a class has no density in a domain, where the density itself says so.
Failure = str

# What a density makes of a class's samples in a domain: any object, of which it alone knows the inside.
Fit = Any

# What regions count by in the fits, `config.density.weight`: all alike, as in the paper, or their pixels.
WEIGHTS = ("regions", "pixels")


class Density(Protocol):
    """Densities p_D(z|c) of the classes that both domains have, all at once.

    It is made from `config.density`. Samples are `(n, D)` float32, read from the disk as they are asked for:
    `numpy.asarray` gives all of them. Fits may be any objects.
    """

    def fit(
        self,
        source: Sequence[Samples],
        target: Sequence[Samples],
        *,
        seeds: Sequence[Sequence[tuple[int, ...]]],
        devices: Sequence[jax.Device] | None,
    ) -> list[tuple[Fit | Failure, Fit | Failure]]:
        """Fits a density to every class and domain.

        Args:
          source: of each class `(n, D)`, at least two.
          target: the same of the target; the classes in the same order.
          seeds: of what is drawn, by domain (source first) and class.
          devices: to compute on, other processes' included, which all call this at the same time; None = own.

        One that can weigh regions also takes `weights`: by domain (source first) and class `(n,)` pixels.
        They are given where `config.density.weight` is "pixels", and only then.

        One that can start from the round before also takes `starts`, and has `components` (`Restartable`): by
        domain (source first) and class `(n, K)` float32, K being the components of before, 1 where a region
        was in one and a row of zeros where it was in another class; None where the class had no density, as
        before the first round. They are given where `config.density.warm_start` is True, and only then.

        Returns:
          For each class its two fits; in place of one that failed, why.
        """
        ...

    def log_density(
        self, fits: Sequence[Fit], features: Sequence[Samples], *, devices: Sequence[jax.Device] | None
    ) -> list[np.ndarray]:
        """`(n,)` finite log densities in nats of each `(n, D)` samples under the fit in the same place.

        Those of a target's fit are asked for the samples that it was fitted to only.
        """
        ...

    def facts(self, fits: tuple[Fit, Fit] | None, num_target: int) -> Mapping[str, Json]:
        """What density.json and the report tell of a class, JSON-able, the same keys for every class.

        Args:
          fits: source's and target's; None if either is missing.
          num_target: the class's regions in the target.

        Returns:
          Values, or pairs of them, {"source": ..., "target": ...}; None for what is not known. The names
          class, status, regions, kl and budget are taken.
        """
        ...


@runtime_checkable
class Restartable(Protocol):
    """What a density also has whose `fit` takes `starts`."""

    def components(self, fit: Any) -> np.ndarray:
        """`(n,)` integers from 0 on: the component of each of the regions that a fit was made of."""
        ...
