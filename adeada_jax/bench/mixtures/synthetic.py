"""Region features like those of a segmentation network, for comparisons without a network.

A region's feature is a mean of rectified activations over its pixels: non-negative and skewed, with
channels that are nearly dead, clusters of low rank (kinds of things), a spectrum that falls like a
power, and classes whose sizes differ by three orders of magnitude.
"""

from dataclasses import dataclass

import numpy as np

# Shares of the 19 Cityscapes classes among the regions a network predicts: long-tailed.
CLASS_SHARES = np.array(
    [32.0, 6.2, 22.0, 0.8, 0.9, 1.2, 0.25, 0.6, 15.5, 1.2, 4.2, 1.3, 0.16, 6.8, 0.3, 0.25, 0.26, 0.12, 0.45]
)
# Shares of one class's modes in the target; the source has nearly nothing of the first two, 0.36 in all.
MODE_SHARES = np.array([0.24, 0.12, 0.20, 0.14, 0.10, 0.08, 0.07, 0.05])
ABSENT_MODES = 2


@dataclass(frozen=True)
class DomainFeatures:
    """Features (N, D) float32 of one domain's regions and their classes (N,) int32."""

    features: np.ndarray
    classes: np.ndarray


def class_sizes(total: int, num_classes: int = 19) -> np.ndarray:
    """Regions of every class (num_classes,), long-tailed, summing to `total`."""
    shares = np.resize(CLASS_SHARES, num_classes)
    sizes = np.floor(total * shares / shares.sum()).astype(np.int64)
    sizes[0] += total - sizes.sum()
    return sizes


def _class_shape(rng: np.random.Generator, dim: int, modes: int, rank: int) -> dict[str, np.ndarray]:
    """What a class's features share: offset of every mode, low-rank loadings, spectrum of the rest."""
    base = 0.35 * rng.gamma(0.7, 1.0, dim)
    offsets = 0.25 * rng.normal(size=(modes, dim)) * (rng.random((modes, dim)) < 0.4)
    loadings = rng.normal(size=(modes, rank, dim)) * (0.25 / np.sqrt(1.0 + np.arange(rank)))[:, None]
    mixing = np.linalg.qr(rng.normal(size=(dim, dim)))[0] * (0.25 * (1.0 + np.arange(dim)) ** -0.5)
    return {"centres": base + offsets, "loadings": loadings * 0.5, "mixing": mixing}


def _draw(
    rng: np.random.Generator, shape: dict[str, np.ndarray], weights: np.ndarray, shift: np.ndarray, count: int
) -> tuple[np.ndarray, np.ndarray]:
    modes, rank, dim = shape["loadings"].shape
    kind = rng.choice(modes, size=count, p=weights / weights.sum())
    features = np.empty((count, dim), np.float32)
    for mode in range(modes):
        rows = np.flatnonzero(kind == mode)
        latent = rng.standard_normal((len(rows), rank), np.float32)
        noise = rng.standard_normal((len(rows), dim), np.float32)
        features[rows] = latent @ shape["loadings"][mode].astype(np.float32)
        features[rows] += noise @ shape["mixing"].astype(np.float32)
        features[rows] += (shape["centres"][mode] + shift).astype(np.float32)
    # Rectified softly, as a mean of rectified pixels is: zero only where nearly all pixels are.
    return 0.05 * np.logaddexp(0.0, 20.0 * features, dtype=np.float32), kind.astype(np.int32)


def domain_pair(
    seed: int, target_regions: int, source_regions: int, *, num_classes: int = 19, dim: int = 256
) -> tuple[DomainFeatures, DomainFeatures]:
    """Features of a target and of a source domain.

    The first two modes of each class are (almost) absent from the source, and the domains differ by
    a small shift, so that dense target regions with a low source density exist.

    Args:
        seed: of every draw.
        target_regions: N_T.
        source_regions: N_S.
        num_classes: classes, long-tailed as Cityscapes'.
        dim: D.
    """
    rng = np.random.default_rng(seed)
    domains: list[list[np.ndarray]] = [[], []]
    labels: list[list[np.ndarray]] = [[], []]
    for c in range(num_classes):
        shape = _class_shape(rng, dim, modes=8, rank=24)
        weights = rng.gamma(2.0, 1.0, 8) + 0.1
        for d, total in enumerate((target_regions, source_regions)):
            mine = weights if d == 0 else weights * np.where(np.arange(8) < 2, 0.02, 1.0)
            shift = 0.05 * rng.normal(size=dim) if d else np.zeros(dim)
            count = int(class_sizes(total, num_classes)[c])
            domains[d].append(_draw(rng, shape, mine, shift, count)[0])
            labels[d].append(np.full(count, c, np.int32))
    pair = []
    for features, classes in zip(domains, labels, strict=True):
        order = rng.permutation(sum(len(part) for part in features))
        pair.append(DomainFeatures(np.concatenate(features)[order], np.concatenate(classes)[order]))
    return pair[0], pair[1]


def mode_pair(
    seed: int, target_regions: int, source_regions: int, *, dim: int = 256
) -> tuple[DomainFeatures, DomainFeatures]:
    """One class's features of a target and of a source domain, whose `classes` are its modes.

    The modes are as those of `domain_pair`, their shares `MODE_SHARES`.

    Args:
        seed: of every draw.
        target_regions: N_T.
        source_regions: N_S.
        dim: D.
    """
    rng = np.random.default_rng(seed)
    modes = len(MODE_SHARES)
    shape = _class_shape(rng, dim, modes=modes, rank=24)
    rare = MODE_SHARES * np.where(np.arange(modes) < ABSENT_MODES, 0.02, 1.0)
    target = _draw(rng, shape, MODE_SHARES, np.zeros(dim), target_regions)
    source = _draw(rng, shape, rare, 0.05 * rng.normal(size=dim), source_regions)
    return DomainFeatures(*target), DomainFeatures(*source)
