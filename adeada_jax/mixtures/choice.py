"""How many components a mixture should have: all candidates are fitted side by side and compared."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from adeada_jax.mixtures.em import fit_mixtures
from adeada_jax.mixtures.packing import Rows, Samples
from adeada_jax.mixtures.result import FITTED, Mixture, score_mixtures

CRITERIA = ("bic", "held_out")


@dataclass(frozen=True)
class Choice:
    """A number of components and why it was chosen.

    Attributes:
        n_components: K.
        mixture: of K components, fitted to all samples.
        scores: by candidate the criterion: BIC, of which the lowest is chosen; or the mean log density in
            nats of the samples that were held out, of which the highest is. A candidate without a density
            has the worst score, infinite.
    """

    n_components: int
    mixture: Mixture
    scores: Mapping[int, float]


def choose_components(
    features: np.ndarray,
    candidates: Sequence[int],
    *,
    criterion: str = "bic",
    held_out: float = 0.2,
    sample_weight: np.ndarray | None = None,
    seed: int = 0,
    **options: Any,
) -> Choice:
    """Choose the number of components by BIC or by the density of samples that were held out.

    BIC is -2 log L + p log N (Schwarz 1978), with p free parameters and N the sum of the weights. Of equal
    scores that of fewer components is chosen.

    Args:
        features: (N, D).
        candidates: numbers of components, each from 1 to N (less what is held out).
        criterion: "bic" or "held_out".
        held_out: share of the samples that is held out, drawn by the seed.
        sample_weight: (N,) as of `fit_mixtures`.
        seed: of the starts, and of what is held out.
        **options: of `fit_mixtures`, the same for all candidates.

    Raises:
        ValueError: no candidates, an unknown criterion, a share that leaves nothing on a side; what
            `fit_mixtures` refuses; none of the candidates has a density.
    """
    numbers = sorted(set(candidates))
    if not numbers:
        raise ValueError("candidates must name at least one number of components")
    if criterion not in CRITERIA:
        raise ValueError(f"criterion must be one of {CRITERIA}, got {criterion!r}")
    features = np.asarray(features)
    weight = None if sample_weight is None else np.asarray(sample_weight, np.float64)
    if criterion == "bic":
        fits = _fitted(features, weight, numbers, seed, options)
        scores = [-_bic(fit) for fit in fits]
    else:
        kept, left = _divided(len(features), held_out, seed)
        part = None if weight is None else weight[kept]
        fits = _fitted(Rows(features, kept), part, numbers, seed, options)
        scores = _held_out(fits, Rows(features, left), None if weight is None else weight[left])
    if not np.isfinite(scores).any():
        raise ValueError(f"none of the candidates {numbers} has a density: {fits[0].status}")
    best = int(np.argmax(scores))
    mixture = fits[best]
    if criterion == "held_out":
        (mixture,) = _fitted(features, weight, numbers[best : best + 1], seed, options)
    sign = -1.0 if criterion == "bic" else 1.0
    return Choice(numbers[best], mixture, {k: sign * float(s) for k, s in zip(numbers, scores, strict=True)})


def _fitted(
    samples: Samples, weight: np.ndarray | None, numbers: list[int], seed: int, options: Mapping[str, Any]
) -> list[Mixture]:
    """A mixture of each number of components, all of the same seed."""
    weights = None if weight is None else [weight] * len(numbers)
    seeds = [seed] * len(numbers)
    return fit_mixtures([samples] * len(numbers), numbers, sample_weight=weights, seed=seeds, **options)


def _bic(fit: Mixture) -> float:
    if fit.status != FITTED:
        return np.inf
    number = fit.num_samples if fit.sample_weight is None else fit.sample_weight.sum()
    return -2 * fit.log_likelihood * number + fit.num_parameters * np.log(number)


def _divided(size: int, share: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows that are fitted and rows that are held out, each in order."""
    left = round(share * size)
    if not 0 < left < size:
        raise ValueError(
            f"held_out must leave samples on both sides, but {share!r} holds out {left} of {size}"
        )
    order = np.random.default_rng(seed).permutation(size)
    return np.sort(order[left:]), np.sort(order[:left])


def _held_out(fits: list[Mixture], samples: Rows, weight: np.ndarray | None) -> list[float]:
    """Mean log density of the samples under each fit.

    Raises:
        ValueError: none of the samples has a weight.
    """
    if weight is not None and not weight.any():
        raise ValueError(
            "criterion='held_out': all samples that were held out have the sample_weight zero; use another "
            "seed, or leave samples without weight out"
        )
    found = score_mixtures(fits, [samples] * len(fits))
    return [
        float(np.average(values, weights=weight)) if fit.status == FITTED else -np.inf
        for fit, values in zip(fits, found, strict=True)
    ]
