"""The ground truth of the target's training regions, for analyses of runs that have ended.

Of a study only this module opens the target's training labels. No run sees what it reads: it is called when
all runs have ended, and its file lies in the study's directory, not in theirs.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from adeada_jax.arrays import load_arrays, save_arrays
from adeada_jax.data import sources
from adeada_jax.data.batches import read_ahead
from adeada_jax.errors import InputError
from adeada_jax.method.regions import Regions
from adeada_jax.partitions.counting import region_counts
from adeada_jax.partitions.store import DividedImages
from adeada_jax.telemetry import track
from adeada_jax.types import IGNORE_LABEL


@dataclass(frozen=True)
class Truth:
    """What the pool's regions really hold.

    Attributes:
      counts: `(N, C)` int32, a region's pixels by class; those to be ignored are in no column.
    """

    counts: np.ndarray

    @property
    def majority(self) -> np.ndarray:
        """`(N,)` int32, the class most of a region's pixels have; IGNORE_LABEL where none has any."""
        return np.where(self.counts.any(axis=1), self.counts.argmax(axis=1), IGNORE_LABEL).astype(np.int32)

    @property
    def categories(self) -> np.ndarray:
        """`(N,)` int64, how many classes a region's pixels have."""
        return (self.counts > 0).sum(axis=1)


def read_truth(config: Mapping[str, Any], pool: Regions, path: Path) -> Truth:
    """Reads the labels of all target training images once, and what it counted from `path` afterwards.

    Args:
      config: of the study.
      pool: whose regions are counted.
      path: of the safetensors file that keeps the counts.

    Raises:
      InputError: the target's training split cannot be read, has no labels, or was prepared anew.
    """
    if path.exists():
        arrays, metadata = load_arrays(path)
        if tuple(metadata["names"]) == pool.names and np.array_equal(arrays["pixels"], pool.pixels):
            return Truth(arrays["counts"])
    target = config["target"]
    source = sources.open_labelled(target["dataset"], target["dir"], "train")
    divided = DividedImages(source, config["regions"])
    examples = track(read_ahead(divided), total=len(source), description="ground truth of regions")
    classes = config["num_classes"]
    counts = np.concatenate(
        [region_counts(example["regions"], example["label"], classes) for example in examples]
    )
    if len(counts) != len(pool.pixels):
        raise InputError(
            f"data set '{target['dataset']}' in '{target['dir']}' was prepared anew since the runs: it has "
            f"{len(counts)} regions, they had {len(pool.pixels)}. Start in another workdir"
        )
    save_arrays(path, {"counts": counts, "pixels": pool.pixels}, {"names": pool.names})
    return Truth(counts)
