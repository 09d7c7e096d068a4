"""How much denser the target is than the source: Eq. 1, 2 and 5, and why that is what to buy (Eq. 3 and 4).

The loss on the target is at most that in training plus a term that grows with the KL divergence of the joint
distributions of class and feature (Eq. 3). That is the divergence of the classes' frequencies, which differ
little, plus the mean over classes of that of the features within a class (Eq. 4, proof in supplement C).
The latter is estimated by the mean of pi over a class's target regions (Eq. 5), and the labels of the regions
with the largest pi lower it most.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import jax
import numpy as np

from adeada_jax.mixtures.em import fit_mixtures
from adeada_jax.mixtures.packing import Selection
from adeada_jax.mixtures.result import FITTED, Mixture, score_mixtures

TOO_FEW_REGIONS = "too few regions"
NOT_SHARED = "not in both domains"


@dataclass(frozen=True)
class DensityDifference:
    """What the densities of both domains say.

    Attributes:
        importance: (N_T,) pi = log p_T(z|c) - log p_S(z|c) in nats (Eq. 2); NaN where the class
            has no density in one of the domains.
        kl: (C,) mean of pi over the class's target regions (Eq. 5); NaN where there is none.
        records: for each class a JSON-able account of its two fits.
    """

    importance: np.ndarray
    kl: np.ndarray
    records: list[dict]


def _record(
    name: str, regions: tuple[int, int], fits: tuple[Mixture, Mixture] | None, wanted: int, kl: float,
    unfitted: str,
) -> dict:  # fmt: skip
    """JSON-able account of a class; `regions` and `fits` are (source, target), `unfitted` says why none."""
    status = unfitted if fits is None else FITTED
    domains = ("source", "target")
    for domain, fit in zip(domains, fits or (), strict=False):
        if fit.status != FITTED:
            status = f"{fit.status} ({domain})"
    fits = fits if status == FITTED else None

    def each(read) -> dict:
        return (
            {d: read(fit) for d, fit in zip(domains, fits, strict=True)} if fits else dict.fromkeys(domains)
        )

    return {
        "class": name,
        "status": status,
        "regions": dict(zip(domains, (int(n) for n in regions), strict=True)),
        "components": len(fits[0].weights) if fits else None,
        "components_wanted": wanted,
        "iterations": each(lambda fit: fit.n_iter),
        "converged": each(lambda fit: fit.converged),
        "log_likelihood": each(lambda fit: fit.log_likelihood),
        "lower_bounds": each(lambda fit: [float(b) for b in fit.lower_bounds]),
        "kl": None if np.isnan(kl) else float(kl),
    }


def density_difference(
    target_features: np.ndarray,
    target_classes: np.ndarray,
    source_features: np.ndarray,
    source_classes: np.ndarray,
    *,
    num_classes: int,
    class_names: Sequence[str] | None = None,
    shared_classes: Sequence[int] | None = None,
    max_components: int = 10,
    regions_per_component: int = 100,
    covariance_type: str = "full",
    reg_covar: float = 1e-6,
    tol: float = 1e-3,
    max_iter: int = 200,
    n_init: int = 1,
    seed: int = 0,
    devices: Sequence[jax.Device] | None = None,
) -> DensityDifference:
    """Fit a mixture to every class and domain and compare them at the target's regions.

    Args:
        target_features: (N_T, D) features of all target regions, labelled ones included.
        target_classes: (N_T,) int predicted classes.
        source_features: (N_S, D).
        source_classes: (N_S,) int predicted classes.
        num_classes: C.
        class_names: (C,) names for the records.
        shared_classes: classes that get a density, all if None; a domain that lacks a class may still be
            predicted to hold it.
        max_components: most components of a mixture.
        regions_per_component: target regions of a class for each component.
        covariance_type: "full", "tied", "diag" or "spherical".
        reg_covar: added to the covariances' diagonals.
        tol: EM stops when the mean log-likelihood changes by less (nats).
        max_iter: most EM iterations.
        n_init: number of starts.
        seed: of the starts.
        devices: as of `fit_mixtures`, other processes' included.

    Raises:
        ValueError: classes out of range, wrong shapes, features that are not finite, bad options.
    """
    classes = _checked(
        target_features,
        target_classes,
        source_features,
        source_classes,
        num_classes,
        class_names,
        max_components,
        regions_per_component,
    )
    names = list(class_names) if class_names is not None else [str(c) for c in range(num_classes)]
    domains = [
        [Selection(features, np.flatnonzero(of == c)) for c in range(num_classes)]
        for features, of in zip((source_features, target_features), classes, strict=True)
    ]
    wanted = [int(np.clip(len(t) // regions_per_component, 1, max_components)) for t in domains[1]]
    components = [min(k, len(s), len(t)) for k, s, t in zip(wanted, *domains, strict=True)]
    shared = range(num_classes) if shared_classes is None else shared_classes
    usable = [c for c in shared if min(len(domains[0][c]), len(domains[1][c])) >= 2]

    def without_parameters(index: int, mixture: Mixture) -> Mixture:
        """A target mixture is asked only for its own samples' densities, which it holds."""
        return mixture if index < len(usable) else replace(mixture, precisions_cholesky=None)

    fits = fit_mixtures(
        [domains[d][c] for d in (0, 1) for c in usable],
        [components[c] for c in usable] * 2,
        covariance_type=covariance_type,
        tol=tol,
        reg_covar=reg_covar,
        max_iter=max_iter,
        n_init=n_init,
        seed=[(seed, d, c) for d in (0, 1) for c in usable],
        finish=without_parameters,
        devices=devices,
    )
    pairs = dict(zip(usable, zip(fits[: len(usable)], fits[len(usable) :], strict=True), strict=True))
    importance = np.full(len(target_features), np.nan)
    kl = np.full(num_classes, np.nan)
    fitted = [c for c in usable if all(fit.status == FITTED for fit in pairs[c])]
    under_source = score_mixtures(
        [pairs[c][0] for c in fitted], [domains[1][c] for c in fitted], devices=devices
    )
    for c, source_scores in zip(fitted, under_source, strict=True):
        pi = pairs[c][1].log_densities.astype(np.float64) - source_scores
        importance[domains[1][c].rows] = pi
        kl[c] = pi.mean()
    records = [
        _record(
            names[c],
            (len(domains[0][c]), len(domains[1][c])),
            pairs.get(c),
            wanted[c],
            kl[c],
            TOO_FEW_REGIONS if c in shared else NOT_SHARED,
        )
        for c in range(num_classes)
    ]
    return DensityDifference(importance, kl, records)


def _checked(
    target_features,
    target_classes,
    source_features,
    source_classes,
    num_classes,
    class_names,
    max_components,
    regions_per_component,
):
    """Source and target classes as arrays, once everything has the right shape."""
    for name, value in (("max_components", max_components), ("regions_per_component", regions_per_component)):
        if value < 1:
            raise ValueError(f"{name} must be at least 1, got {value!r}")
    if class_names is not None and len(class_names) != num_classes:
        raise ValueError(f"class_names has {len(class_names)} names for {num_classes} classes")
    checked = []
    for name, features, classes in (
        ("source", source_features, np.asarray(source_classes)),
        ("target", target_features, np.asarray(target_classes)),
    ):
        if classes.shape != (len(features),):
            raise ValueError(f"{name}_classes must have shape {(len(features),)}, got {classes.shape}")
        if len(classes) and not 0 <= classes.min() <= classes.max() < num_classes:
            raise ValueError(f"{name}_classes must lie between 0 and num_classes - 1 = {num_classes - 1}")
        checked.append(classes)
    return checked
