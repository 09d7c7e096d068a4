"""What the importance pi of a round ranks by, and how far apart source and target are, class by class.

All of it from a round's two tables of regions: densities are fitted again, which gives the same ones.
"""

import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
from scipy.stats import ConstantInputWarning, spearmanr
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from adeada_jax.method.densities import create_density
from adeada_jax.method.densities.contract import Density, Fit
from adeada_jax.method.ingredients.density_difference import density_difference
from adeada_jax.method.ingredients.ingredient import Context
from adeada_jax.method.regions import Regions
from adeada_jax.mixtures import Mixture
from adeada_jax.study.quality import Judged

# A channel, or a direction, of less variance than this tells nothing apart: it is reg_covar's default.
DEAD = 1e-6
_FOLDS = 3
# Regions of a class and domain that the separating classifier gets at most, drawn by the seed.
_MOST = 1000
# A class with fewer regions in a domain is not described.
_LEAST = 2 * _FOLDS


def domains(target: Regions, source: Regions, context: Context) -> dict[str, dict[str, Any]]:
    """By class how well source and target can be told apart, and how many channels are dead.

    Args:
      target: a round's table, with `features` `(N, D)` and `probabilities`.
      source: the same of the source.
      context: of the comparison.

    Returns:
      By class that has regions enough in both domains: `regions` and `dead_channels` (variance below DEAD)
      by domain, `channels` D, and `separability`: the area under the ROC curve of a logistic regression on
      standardised features, of regions that it was not fitted to; 0.5 where the domains are alike.
    """
    found = {}
    for c in context.shared_classes:
        sides = {name: _of_class(table, c) for name, table in (("source", source), ("target", target))}
        if min(map(len, sides.values())) < _LEAST:
            continue
        found[context.class_names[c]] = {
            "regions": {name: len(features) for name, features in sides.items()},
            "channels": int(sides["source"].shape[1]),
            "dead_channels": {name: int((of.var(axis=0) < DEAD).sum()) for name, of in sides.items()},
            "separability": separability(sides["source"], sides["target"], seed=context.seed),
        }
    return found


def separability(source: np.ndarray, target: np.ndarray, *, seed: int) -> float:
    """See `domains`; of `(n, D)` features each, of which at most _MOST are drawn."""
    generator = np.random.default_rng(seed)
    drawn = [side[np.sort(generator.permutation(len(side))[:_MOST])] for side in (source, target)]
    of_target = np.repeat([0, 1], [len(side) for side in drawn])
    folds = StratifiedKFold(_FOLDS, shuffle=True, random_state=seed % 2**32)
    model = make_pipeline(StandardScaler(), LogisticRegression(solver="newton-cholesky"))
    features = np.concatenate(drawn).astype(np.float64)
    scores = cross_val_predict(model, features, of_target, cv=folds, method="decision_function")
    return float(roc_auc_score(of_target, scores))


def density_checks(
    target: Regions, source: Regions, judged: Judged, options: Mapping[str, Any], context: Context
) -> tuple[np.ndarray, dict[str, dict[str, Any]]]:
    """Fits a density to a round's tables and says what its pi goes along with.

    Args:
      target: a round's table.
      source: the same of the source.
      judged: of the target's regions.
      options: `config.density`.
      context: with the seed that the run compares its domains by.

    Returns:
      `(N,)` pi (Eq. 2), NaN where there is none; and by class with a density `kl` (Eq. 5), `pi_with`: rank
      correlations (Spearman) of pi with what `_company` lists; `log_target_spread`: the standard deviation
      of log p_T, nats; and of mixtures `log_target_with_component_size`, its correlation with the number of
      regions in the region's own component, and `log_target_between_components`, the share of its variance
      that lies between components, 0 to 1; both None of other densities and of a single component.
    """
    density = create_density(options)
    found = density_difference(
        target["features"],
        target.classes,
        source["features"],
        source.classes,
        density=density,
        num_classes=len(context.class_names),
        shared_classes=context.shared_classes,
        seed=context.seed,
        devices=context.devices,
        pixels=(target.pixels, source.pixels) if options.get("weight", "regions") == "pixels" else None,
        before=context.before if options.get("warm_start", False) else None,
    )
    described = {}
    for c, (_, fit) in found.fits.items():
        own = np.flatnonzero(judged.predicted == c)
        company = _company(target, source, judged, c)
        importance = found.importance[own]
        described[context.class_names[c]] = {
            "regions": len(own),
            "kl": float(found.kl[c]),
            "pi_with": {name: rank_correlation(importance, values) for name, values in company.items()},
            **_log_target(density, fit, np.asarray(target["features"][own])),
        }
    return found.importance, described


def _company(target: Regions, source: Regions, judged: Judged, c: int) -> dict[str, np.ndarray]:
    """What pi of a class's target regions may go along with; NaN where it is not known.

    Whether the prediction is wrong, the region's size, the norm of z, and how far z lies from the source's
    regions of the class: beyond the directions in which these vary, and from their mean.
    """
    own = judged.predicted == c
    z, known = np.asarray(target["features"][own], np.float64), judged.known[own] > 0
    others = np.asarray(_of_class(source, c), np.float64)
    return {
        "wrong": np.where(known, judged.wrong[own], np.nan),
        "pixels": judged.pixels[own].astype(np.float64),
        "feature_norm": np.linalg.norm(z, axis=1),
        "outside_source": outside_span(z, others),
        "source_mean": np.linalg.norm(z - others.mean(axis=0), axis=1),
    }


def outside_span(features: np.ndarray, samples: np.ndarray) -> np.ndarray:
    """`(n,)` distances of `(n, D)` features to the flat through the mean of `(m, D)` samples that they span.

    Directions in which the samples' variance is below DEAD do not count as spanned. NaN if all are spanned.
    """
    mean = samples.mean(axis=0)
    variances, directions = np.linalg.eigh(np.cov(samples, rowvar=False, ddof=0).reshape(2 * (len(mean),)))
    unspanned = directions[:, variances < DEAD]
    if not unspanned.shape[1]:
        return np.full(len(features), np.nan)
    return np.linalg.norm((features - mean) @ unspanned, axis=1)


def rank_correlation(one: np.ndarray, other: np.ndarray) -> float | None:
    """Spearman's, where both are finite; None of fewer than three pairs, or where one does not vary."""
    both = np.isfinite(one) & np.isfinite(other)
    if both.sum() < 3:
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConstantInputWarning)
        found = float(spearmanr(one[both], other[both]).statistic)
    return None if np.isnan(found) else found


def _log_target(density: Density, fit: Fit, features: np.ndarray) -> dict[str, float | None]:
    """How far log p_T spreads over a class's regions, and whether by the components that they are in."""
    (logs,) = density.log_density([fit], [features], devices=None)
    logs = np.asarray(logs, np.float64)
    correlation = between = None
    if isinstance(fit, Mixture) and fit.labels is not None:
        sizes = np.bincount(fit.labels)[fit.labels].astype(np.float64)
        means = np.bincount(fit.labels, weights=logs)[fit.labels] / sizes
        correlation = rank_correlation(logs, sizes)
        several = correlation is not None and logs.var() > 0
        between = float(means.var() / logs.var()) if several else None
    return {
        "log_target_spread": float(logs.std()),
        "log_target_with_component_size": correlation,
        "log_target_between_components": between,
    }


def _of_class(table: Regions, c: int) -> np.ndarray:
    return np.asarray(table["features"][table.classes == c])
