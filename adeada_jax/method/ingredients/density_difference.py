"""How much denser the target is than the source: Eq. 2 and 5, and why that is what to buy (Eq. 3 and 4).

The loss on the target is at most that in training plus a term that grows with the KL divergence of the joint
distributions of class and feature (Eq. 3). That is the divergence of the classes' frequencies, which differ
little, plus the mean over classes of that of the features within a class (Eq. 4, proof in supplement C).
The latter is estimated by the mean of pi over a class's target regions (Eq. 5), and the labels of the regions
with the largest pi lower it most.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from adeada_jax.errors import InputError
from adeada_jax.method.densities import create_density
from adeada_jax.method.densities.contract import Density, Fit, Restartable
from adeada_jax.method.ingredients.ingredient import Before, Compared, Context
from adeada_jax.method.regions import Regions
from adeada_jax.mixtures import Rows
from adeada_jax.mixtures.packing import Samples
from adeada_jax.mixtures.warm_starts import memberships
from adeada_jax.types import Json

FITTED = "fitted"
TOO_FEW_REGIONS = "too few regions"
NOT_SHARED = "not in both domains"

# What stands in density.json beside a density's facts.
_TAKEN = {"class", "status", "regions", "kl", "budget"}


class Importance:
    """pi in nats (Eq. 2), NaN where the region's class has no density in one of the domains."""

    name = "density"

    def __init__(self, options: Mapping[str, Any]):
        """Makes the density that `density.kind` names.

        Args:
          options: `config.density`.
        """
        self._density = create_density(options)
        self._warm_start = options.get("warm_start", False)
        self._by_pixels = options.get("weight", "regions") == "pixels"

    def compare(self, target: Regions, source: Regions, context: Context) -> Compared:
        found = density_difference(
            target["features"],
            target.classes,
            source["features"],
            source.classes,
            density=self._density,
            num_classes=len(context.class_names),
            shared_classes=context.shared_classes,
            seed=context.seed,
            devices=context.devices,
            pixels=(target.pixels, source.pixels) if self._by_pixels else None,
            before=context.before if self._warm_start else None,
        )
        named = zip(context.class_names, found.records, strict=True)
        classes = {name: {"class": name, **record} for name, record in named}
        components = {}
        if self._warm_start:
            for i, (domain, table) in enumerate((("source", source), ("target", target))):
                fits = {c: pair[i] for c, pair in found.fits.items()}
                components[domain] = _components(self._density, fits, table.classes)
        return Compared(found.importance, classes, components)


@dataclass(frozen=True)
class DensityDifference:
    """What the densities of both domains say.

    Attributes:
      importance: `(N_T,)` pi = log p_T(z|c) - log p_S(z|c) in nats (Eq. 2); NaN where the class has no
        density in one of the domains.
      kl: `(C,)` mean of pi over the class's target regions in nats (Eq. 5); NaN where there is none.
      records: for each class a JSON-able account: `status`, `regions` by domain, what the density says of its
        fits, and `kl`.
      fits: of each class that has a density the source's and the target's, whatever the density makes.
    """

    importance: np.ndarray
    kl: np.ndarray
    records: list[dict[str, Any]]
    fits: dict[int, tuple[Any, Any]]


def density_difference(
    target_features: np.ndarray,
    target_classes: np.ndarray,
    source_features: np.ndarray,
    source_classes: np.ndarray,
    *,
    density: Density,
    num_classes: int,
    shared_classes: Sequence[int] | None = None,
    seed: int = 0,
    devices: Sequence[jax.Device] | None = None,
    pixels: tuple[np.ndarray, np.ndarray] | None = None,
    before: Mapping[str, Before] | None = None,
) -> DensityDifference:
    """Fits a density to every class and domain and compares them at the target's regions.

    Args:
      target_features: `(N_T, D)` features of all target regions, labelled ones included.
      target_classes: `(N_T,)` predicted classes.
      source_features: `(N_S, D)`.
      source_classes: `(N_S,)` predicted classes.
      density: what is fitted.
      num_classes: C.
      shared_classes: classes that get a density, all if None; a domain that lacks a class may still be
        predicted to hold it.
      seed: of what the density draws.
      devices: to compute on; see `Context`.
      pixels: `(N_T,)` and `(N_S,)` by which the regions count in the fits; None counts each as one. KL is the
        mean over regions in either case.
      before: by domain where its regions were a round before, for a density that can start there
        (`contract.Restartable`); empty where there was none. None does not ask for it.

    Raises:
      ValueError: classes out of range, wrong shapes, features that are not finite.
      InputError: the density gives no finite number a region, or facts under names that are taken.
    """
    sides = {"source": (source_features, source_classes), "target": (target_features, target_classes)}
    source, target = (
        [Rows(features, rows) for rows in _rows_by_class(domain, features, of, num_classes)]
        for domain, (features, of) in sides.items()
    )
    shared = range(num_classes) if shared_classes is None else shared_classes
    status = [TOO_FEW_REGIONS if c in shared else NOT_SHARED for c in range(num_classes)]
    usable = [c for c in shared if min(len(source[c]), len(target[c])) >= 2]
    options: dict[str, Any] = {}
    if pixels is not None:
        domains = zip((source, target), reversed(pixels), strict=True)
        options["weights"] = [[of[rows[c].rows] for c in usable] for rows, of in domains]
    if before is not None:
        options["starts"] = [
            [_start(before.get(domain), c, rows[c].rows) for c in usable]
            for domain, rows in (("source", source), ("target", target))
        ]
    pairs = density.fit(
        [source[c] for c in usable],
        [target[c] for c in usable],
        seeds=[[(seed, domain, c) for c in usable] for domain in (0, 1)],
        devices=devices,
        **options,
    )
    fits = {}
    for c, pair in zip(usable, pairs, strict=True):
        status[c] = _status(pair)
        if status[c] == FITTED:
            fits[c] = pair
    importance = np.full(len(target_features), np.nan)
    samples = {c: target[c] for c in fits}
    under_source, under_target = (
        _log_densities(density, {c: pair[domain] for c, pair in fits.items()}, samples, devices)
        for domain in (0, 1)
    )
    for c, own in samples.items():
        importance[own.rows] = under_target[c] - under_source[c]
    kl = divergence(importance, np.asarray(target_classes), num_classes)
    records = [
        {
            "status": status[c],
            "regions": {"source": len(source[c]), "target": len(target[c])},
            **_facts(density, fits.get(c), len(target[c])),
            "kl": None if np.isnan(kl[c]) else float(kl[c]),
        }
        for c in range(num_classes)
    ]
    return DensityDifference(importance, kl, records, fits)


def divergence(importance: np.ndarray, classes: np.ndarray, num_classes: int) -> np.ndarray:
    """KL of the domains within each class: the mean of pi over its target regions (Eq. 5).

    Args:
      importance: `(N,)` pi of Eq. 2 in nats, NaN where there is none.
      classes: `(N,)`.
      num_classes: C.

    Returns:
      `(C,)` float64 in nats; NaN where a class has no density or no region.
    """
    known = [importance[classes == c] for c in range(num_classes)]
    return np.array([values.mean() if len(values) else np.nan for values in known])


def _start(before: Before | None, c: int, rows: np.ndarray) -> np.ndarray | None:
    """Of a class's regions the components in which they were, `(n, K)` float32; None where there are none."""
    if before is None:
        return None
    return memberships(np.where(before.classes == c, before.components, -1), rows)


def _components(density: Density, fits: Mapping[int, Fit], classes: np.ndarray) -> np.ndarray:
    """`(N,)` int32 the components of a domain's regions, -1 where their class has no density.

    Raises:
      InputError: they are not as many as the regions.
    """
    assert isinstance(density, Restartable)
    components = np.full(len(classes), -1, np.int32)
    for c, fit in fits.items():
        own, found = np.flatnonzero(classes == c), np.asarray(density.components(fit))
        if found.shape != own.shape or found.dtype.kind not in "iu":
            raise InputError(
                f"config.density.kind: of {len(own)} regions of class {c} the density gives components of "
                f"shape {found.shape} and type {found.dtype}; one gives a whole number a region"
            )
        components[own] = found
    return components


def _log_densities(
    density: Density,
    fits: Mapping[int, Fit],
    samples: Mapping[int, Samples],
    devices: Sequence[jax.Device] | None,
) -> dict[int, np.ndarray]:
    """By class the log densities of its samples, float64.

    Raises:
      InputError: they are not as many as the samples, or not finite.
    """
    if not fits:
        return {}
    found = density.log_density(list(fits.values()), list(samples.values()), devices=devices)
    values = {c: np.asarray(of, np.float64) for c, of in zip(fits, found, strict=True)}
    for c, of in values.items():
        if of.shape != (len(samples[c]),) or not np.isfinite(of).all():
            what = f"shape {of.shape}" if of.shape != (len(samples[c]),) else "values that are not finite"
            raise InputError(
                f"config.density.kind: of {len(samples[c])} regions of class {c} the density gives {what}; "
                "one gives a finite number a region"
            )
    return values


def _facts(density: Density, fits: tuple[Fit, Fit] | None, num_target: int) -> dict[str, Json]:
    """What the density tells of a class.

    Raises:
      InputError: under a name that says something else.
    """
    facts = dict(density.facts(fits, num_target))
    if taken := sorted(facts.keys() & _TAKEN):
        raise InputError(f"config.density.kind: facts must not be called {', '.join(taken)}")
    return facts


def _status(pair: tuple[Fit, Fit]) -> str:
    """Of a class that was fitted: whether both its fits are there, or why not."""
    for domain, fit in zip(("source", "target"), pair, strict=True):
        if isinstance(fit, str):
            return f"{fit} ({domain})"
    return FITTED


def _rows_by_class(
    domain: str, features: np.ndarray, classes: np.ndarray, num_classes: int
) -> list[np.ndarray]:
    """The rows of each class, once everything has the right shape."""
    classes = np.asarray(classes)
    if classes.shape != (len(features),):
        raise ValueError(f"{domain}_classes must have shape {(len(features),)}, got {classes.shape}")
    if len(classes) and not 0 <= classes.min() <= classes.max() < num_classes:
        raise ValueError(f"{domain}_classes must lie between 0 and num_classes - 1 = {num_classes - 1}")
    return [np.flatnonzero(classes == c) for c in range(num_classes)]
