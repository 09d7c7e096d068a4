"""The job that every contender gets: samples, numbers of components, and one start."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np

from adeada_jax.bench.mixtures.synthetic import DomainFeatures
from adeada_jax.mixtures.engines import Options, plan_groups
from adeada_jax.mixtures.kmeans import kmeans
from adeada_jax.mixtures.packing import Rows, Samples, make_shards, mean

DOMAINS = ("source", "target")


@dataclass(frozen=True)
class Problem:
    """Mixtures to fit: those of the source's classes, then those of the target's.

    Attributes:
        features: (source (N_S, D), target (N_T, D)).
        classes: (N_S,) and (N_T,) classes.
        starts: (N_S,) and (N_T,) cluster of every region within its class's mixture.
        components: (C,) K of every class; 0 where it has no density.
        options: keyword arguments reg_covar, tol, max_iter.
    """

    features: tuple[np.ndarray, np.ndarray]
    classes: tuple[np.ndarray, np.ndarray]
    starts: tuple[np.ndarray, np.ndarray]
    components: np.ndarray
    options: dict[str, Any]

    @property
    def jobs(self) -> list[tuple[int, int]]:
        """(domain, class) of every mixture; a domain without samples has none."""
        return [(d, int(c)) for d in (0, 1) if len(self.classes[d]) for c in np.flatnonzero(self.components)]

    def samples(self, domain: int, of_class: int) -> Rows:
        """Features of a class's regions."""
        return Rows(self.features[domain], np.flatnonzero(self.classes[domain] == of_class))

    def responsibilities(self, domain: int, of_class: int) -> np.ndarray:
        """(n, K) one-hot start of a mixture."""
        chosen = self.starts[domain][self.classes[domain] == of_class]
        return np.eye(self.components[of_class], dtype=np.float32)[chosen]

    def flops(self, domain: int, of_class: int) -> float:
        """Of one iteration of a mixture done in full: two products of 2 N K D^2."""
        size = int(np.sum(self.classes[domain] == of_class))
        return 4.0 * size * float(self.components[of_class]) * self.features[domain].shape[1] ** 2

    def save(self, directory: Path) -> None:
        """Write the arrays where contenders' processes find them."""
        for d, name in enumerate(DOMAINS):
            for what in ("features", "classes", "starts"):
                np.save(directory / f"{what}_{name}.npy", getattr(self, what)[d])
        (directory / "problem.json").write_text(
            json.dumps({"components": self.components.tolist(), "options": self.options}), encoding="utf-8"
        )

    @classmethod
    def load(cls, directory: Path) -> "Problem":
        """Read what `save` wrote; arrays stay on the disk until they are used."""

        def pair(what: str) -> tuple[np.ndarray, np.ndarray]:
            source, target = (np.load(directory / f"{what}_{name}.npy", mmap_mode="r") for name in DOMAINS)
            return source, target

        described = json.loads((directory / "problem.json").read_text(encoding="utf-8"))
        components = np.array(described["components"])
        return cls(pair("features"), pair("classes"), pair("starts"), components, described["options"])


def make_problem(
    target: DomainFeatures,
    source: DomainFeatures,
    *,
    num_classes: int,
    max_components: int = 10,
    regions_per_component: int = 100,
    seed: int = 0,
    **options: Any,
) -> Problem:
    """K of every class as the method has it, and a k-means start for every mixture."""
    counts = [np.bincount(d.classes, minlength=num_classes) for d in (source, target)]
    components = np.clip(counts[1] // regions_per_component, 1, max_components)
    components = np.minimum(components, np.minimum(*counts))
    components[np.minimum(*counts) < 2] = 0
    features = (source.features, target.features)
    classes = (source.classes, target.classes)
    starts = (np.zeros(len(source.classes), np.int16), np.zeros(len(target.classes), np.int16))
    bare = Problem(features, classes, starts, components, options)
    samples = [bare.samples(d, c) for d, c in bare.jobs]
    labels = cluster_all(samples, [int(components[c]) for _, c in bare.jobs], seed)
    for (d, _), chosen, found in zip(bare.jobs, samples, labels, strict=True):
        starts[d][chosen.rows] = found
    return bare


def cluster_all(samples: Sequence[Samples], components: Sequence[int], seed: int) -> list[np.ndarray]:
    """K-means clusters (n_i,) of every sample set."""
    options, labels = Options(), [np.zeros(0, np.int32)] * len(samples)
    dtype, dim = samples[0].dtype, samples[0].shape[1]
    with jax.enable_x64(True):
        for group in plan_groups([len(s) for s in samples], components, dim, dtype, options):
            members = [samples[i] for i in group.members]
            shards = make_shards(
                members,
                group.layout,
                np.stack([mean(m) for m in members]),
                dtype,
                devices=options.device_list(),
                capacity=group.capacity,
                resident_bytes=options.resident_limit(),
            )
            generators = [np.random.default_rng([seed, i]) for i in group.members]
            for i, found in zip(group.members, kmeans(shards, group.layout, generators), strict=True):
                labels[i] = found
    return labels
