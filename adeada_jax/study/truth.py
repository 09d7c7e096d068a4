"""The ground truth of the target's training regions, for analyses of what runs have bought.

Of a study only this module opens the target's training labels. No run sees what it reads: no stage of a run
looks at its file, which lies in the study's directory, or with the analysis of a single run.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from adeada_jax.arrays import load_arrays, save_arrays
from adeada_jax.data import sources
from adeada_jax.data.batches import read_ahead
from adeada_jax.data.held_back import SplitPart
from adeada_jax.errors import InputError
from adeada_jax.method.regions import Regions
from adeada_jax.partitions.counting import region_counts
from adeada_jax.partitions.store import DividedImages
from adeada_jax.telemetry import track
from adeada_jax.toy.streets import new_kinds
from adeada_jax.types import IGNORE_LABEL

# Source and target whose kinds of things are known, and what an image of the target is called.
_STREETS = ("toy/rendered", "toy/filmed")
_STREET = re.compile(r"filmed_(?P<split>\w+)_(?P<index>\d+)")

# Counts up when the file of counts changes.
_LAYOUT = 2


@dataclass(frozen=True)
class Truth:
    """What the pool's regions really hold.

    Attributes:
      counts: `(N, C)` int32, a region's pixels by class; those to be ignored are in no column.
      new: `(N,)` int64, a region's pixels of things whose kind the source has none of; None where kinds are
        not known, which they are of the toy streets alone.
    """

    counts: np.ndarray
    new: np.ndarray | None = None

    @property
    def known(self) -> np.ndarray:
        """`(N,)` int64, a region's pixels that have a class."""
        return self.counts.sum(axis=1, dtype=np.int64)

    @property
    def majority(self) -> np.ndarray:
        """`(N,)` int32, the class most of a region's pixels have; IGNORE_LABEL where none has any."""
        return np.where(self.counts.any(axis=1), self.counts.argmax(axis=1), IGNORE_LABEL).astype(np.int32)

    @property
    def categories(self) -> np.ndarray:
        """`(N,)` int64, how many classes a region's pixels have."""
        return (self.counts > 0).sum(axis=1)


def read_truth(config: Mapping[str, Any], pool: Regions, path: Path) -> Truth:
    """Reads the labels of the pool's images once, and what it counted from `path` afterwards.

    Args:
      config: of the study.
      pool: whose regions are counted.
      path: of the safetensors file that keeps the counts.

    Raises:
      InputError: the target's training split cannot be read, has no labels, or was prepared anew.
    """
    if path.exists():
        arrays, metadata = load_arrays(path)
        same = metadata.get("layout") == _LAYOUT and tuple(metadata["names"]) == pool.names
        if same and np.array_equal(arrays["pixels"], pool.pixels):
            return Truth(arrays["counts"], arrays.get("new"))
    target = config["target"]
    images = _images(config, pool)
    divided, classes = DividedImages(images, config["regions"]), config["num_classes"]
    streets = (config["source"]["dataset"], target["dataset"]) == _STREETS
    counts, new = [], []
    for example in track(read_ahead(divided), total=len(images), description="ground truth of regions"):
        counts.append(region_counts(example["regions"], example["label"], classes))
        new.append(_new_pixels(example) if streets else None)
    arrays = {"counts": np.concatenate(counts), "pixels": pool.pixels}
    drawn = [of for of in new if of is not None]
    if len(drawn) == len(new):
        arrays["new"] = np.concatenate(drawn)
    if len(arrays["counts"]) != len(pool.pixels):
        raise _prepared_anew(target, f"it has {len(arrays['counts'])} regions, they had {len(pool.pixels)}")
    save_arrays(path, arrays, {"names": pool.names, "layout": _LAYOUT})
    return Truth(arrays["counts"], arrays.get("new"))


def _images(config: Mapping[str, Any], pool: Regions) -> sources.LabelledImages:
    """The pool's images with their labels; a part of a split of which others are held back."""
    target = config["target"]
    images = sources.open_labelled(target["dataset"], target["dir"], "train")
    if tuple(images.names) == pool.names:
        return images
    positions = {name: i for i, name in enumerate(images.names)}
    gone = [name for name in pool.names if name not in positions]
    if gone:
        raise _prepared_anew(target, f"image '{gone[0]}' is gone")
    return SplitPart(images, [positions[name] for name in pool.names])


def _new_pixels(example: Mapping[str, Any]) -> np.ndarray | None:
    """Of a toy street, pixels by region of kinds that no rendered one has; None if it was drawn otherwise."""
    name = _STREET.fullmatch(example["name"])
    if not name:
        return None
    height, width = example["label"].shape
    label, new = new_kinds("filmed", name["split"], int(name["index"]), height=height, width=width)
    if not np.array_equal(label, example["label"]):
        return None
    return region_counts(example["regions"], np.where(new, 0, IGNORE_LABEL), 1)[:, 0].astype(np.int64)


def _prepared_anew(target: Mapping[str, Any], how: str) -> InputError:
    return InputError(
        f"data set '{target['dataset']}' in '{target['dir']}' was prepared anew since the runs: {how}. "
        "Start in another workdir"
    )
