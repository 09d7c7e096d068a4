"""Gaussian mixtures (Eq. 1), as the paper has them: as many components as the target's regions allow."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import jax
import numpy as np

from adeada_jax.method.densities.contract import Failure
from adeada_jax.mixtures import Mixture, fit_mixtures, score_mixtures
from adeada_jax.mixtures.packing import Samples
from adeada_jax.mixtures.result import FITTED
from adeada_jax.mixtures.warm_starts import start_from
from adeada_jax.types import Json

_DOMAINS = ("source", "target")


class Gmm:
    """A mixture a class and domain, all fitted in one go by `mixtures.fit_mixtures`."""

    def __init__(
        self,
        *,
        max_components: int = 10,
        regions_per_component: int = 100,
        warm_start: bool = False,
        **options: Any,
    ):
        """Checks how many components a class may have; the rest is checked when mixtures are fitted.

        Args:
          max_components: most components of a mixture.
          regions_per_component: target regions of a class for each component.
          warm_start: whether `facts` tell which mixtures started from `starts`.
          **options: of `mixtures.fit_mixtures`: `covariance_type`, `covariance_prior`, `reg_covar`,
            `tol`, `max_iter`, `n_init`.

        Raises:
          ValueError: components or regions a component are fewer than one.
        """
        self._options, self._warm_start = options, warm_start
        self._limits = max_components, regions_per_component
        for name, value in zip(("max_components", "regions_per_component"), self._limits, strict=True):
            if value < 1:
                raise ValueError(f"{name} must be at least 1, got {value!r}")

    def wanted(self, num_target: int) -> int:
        """Components for so many target regions, if the source has enough regions, too."""
        most, regions = self._limits
        return int(np.clip(num_target // regions, 1, most))

    def fit(
        self,
        source: Sequence[Samples],
        target: Sequence[Samples],
        *,
        seeds: Sequence[Sequence[tuple[int, ...]]],
        devices: Sequence[jax.Device] | None,
        weights: Sequence[Sequence[np.ndarray]] | None = None,
        starts: Sequence[Sequence[np.ndarray | None]] | None = None,
    ) -> list[tuple[Mixture | Failure, Mixture | Failure]]:
        components = [min(self.wanted(len(t)), len(s), len(t)) for s, t in zip(source, target, strict=True)]

        def without_parameters(index: int, mixture: Mixture) -> Mixture:
            """A target's mixture is asked for its own samples' densities only, which it holds."""
            return mixture if index < len(source) else replace(mixture, precisions_cholesky=None)

        shares = None
        if weights is not None:  # with a mean of one: for a prior there are as many samples as regions
            shares = [pixels / pixels.mean() for domain in weights for pixels in domain]
        given = None
        if starts is not None:
            before = [start for domain in starts for start in domain]
            given = [start_from(start, k) for start, k in zip(before, components * 2, strict=True)]
        fits = fit_mixtures(
            [*source, *target],
            components * 2,
            seed=[*seeds[0], *seeds[1]],
            finish=without_parameters,
            devices=devices,
            sample_weight=shares,
            responsibilities=given,
            **self._options,
        )
        told = [mixture if mixture.status == FITTED else mixture.status for mixture in fits]
        return list(zip(told[: len(source)], told[len(source) :], strict=True))

    def log_density(
        self, fits: Sequence[Mixture], features: Sequence[Samples], *, devices: Sequence[jax.Device] | None
    ) -> list[np.ndarray]:
        held = [fit.log_densities for fit in fits if fit.precisions_cholesky is None]
        known = [found.astype(np.float64) for found in held if found is not None]
        if len(known) == len(fits):
            return known
        return score_mixtures(fits, features, devices=devices)

    def components(self, fit: Mixture) -> np.ndarray:
        """`(n,)` int32: the component of the highest responsibility of each region of the fit."""
        assert fit.labels is not None  # what was fitted has them, in every process
        return fit.labels

    def facts(self, fits: tuple[Mixture, Mixture] | None, num_target: int) -> Mapping[str, Json]:
        def each(read: Callable[[Mixture], Json]) -> dict[str, Json]:
            read_all = [read(fit) for fit in fits] if fits else [None, None]
            return dict(zip(_DOMAINS, read_all, strict=True))

        prior, weights = self._options.get("covariance_prior", ""), fits[0].weights if fits else None
        return {
            **({"covariance_prior": prior} if prior else {}),
            "components": len(weights) if weights is not None else None,
            "components_wanted": self.wanted(num_target),
            **({"started_from_before": each(lambda fit: fit.from_given)} if self._warm_start else {}),
            "iterations": each(lambda fit: fit.n_iter),
            "converged": each(lambda fit: fit.converged),
            "log_likelihood": each(lambda fit: fit.log_likelihood),
            "lower_bounds": each(lambda fit: [float(bound) for bound in fit.lower_bounds]),
        }
