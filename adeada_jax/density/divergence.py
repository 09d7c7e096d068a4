"""How much denser the target is than the source: importance (Eq. 2) and KL divergence (Eq. 5)."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from adeada_jax.density.em import Mixture, fit_mixtures


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


def _record(name: str, source: Mixture, target: Mixture, components: int, status: str, kl: float) -> dict:
    both = {"source": source, "target": target}

    def last(mixture: Mixture) -> float | None:
        return float(mixture.lower_bounds[-1]) if len(mixture.lower_bounds) else None

    return {
        "class": name,
        "status": status,
        "regions": {domain: mixture.num_samples for domain, mixture in both.items()},
        "components": components,
        "iterations": {domain: mixture.n_iter for domain, mixture in both.items()},
        "converged": {domain: mixture.converged for domain, mixture in both.items()},
        "log_likelihood": {domain: last(mixture) for domain, mixture in both.items()},
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
    max_components: int = 10,
    regions_per_component: int = 100,
    covariance_type: str = "full",
    reg_covar: float = 1e-6,
    tol: float = 1e-3,
    max_iter: int = 200,
    n_init: int = 1,
    seed: int = 0,
) -> DensityDifference:
    """Fit a mixture to every class and domain and compare them at the target's regions.

    Args:
        target_features: (N_T, D) features of all target regions, labelled ones included.
        target_classes: (N_T,) int predicted classes.
        source_features: (N_S, D).
        source_classes: (N_S,) int predicted classes.
        num_classes: C.
        class_names: (C,) names for the records.
        max_components: most components of a mixture.
        regions_per_component: target regions of a class for each component.
        covariance_type: "full".
        reg_covar: added to the covariances' diagonals.
        tol: EM stops when the mean log-likelihood changes by less (nats).
        max_iter: most EM iterations.
        n_init: number of starts.
        seed: of the starts.
    """
    names = list(class_names) if class_names is not None else [str(c) for c in range(num_classes)]
    source = [np.asarray(source_features)[np.asarray(source_classes) == c] for c in range(num_classes)]
    members = [np.flatnonzero(np.asarray(target_classes) == c) for c in range(num_classes)]
    target = [np.asarray(target_features)[rows] for rows in members]
    components = [
        int(min(np.clip(len(t) // regions_per_component, 1, max_components), max(1, len(s)), max(1, len(t))))
        for t, s in zip(target, source, strict=True)
    ]
    fits = fit_mixtures(
        source + target, components * 2, tol=tol, reg_covar=reg_covar, max_iter=max_iter, seed=seed
    )
    importance = np.full(len(target_features), np.nan)
    kl = np.full(num_classes, np.nan)
    records = []
    for c in range(num_classes):
        of_source, of_target = fits[c], fits[num_classes + c]
        status = "fitted"
        if min(len(source[c]), len(target[c])) < 2:
            status = "too few regions"
        else:
            pi = of_target.score_samples(target[c]) - of_source.score_samples(target[c])
            importance[members[c]] = pi
            kl[c] = pi.mean()
        records.append(_record(names[c], of_source, of_target, components[c], status, kl[c]))
    return DensityDifference(importance, kl, records)
