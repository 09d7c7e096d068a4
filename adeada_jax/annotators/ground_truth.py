"""Answers from labels that are there, as the paper's experiments have them.

The only module of a run that opens the target's training labels, and a region at a time.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from adeada_jax.annotators.asking import Answer
from adeada_jax.data import sources
from adeada_jax.data.batches import read_ahead
from adeada_jax.method.selection_csv import Purchase
from adeada_jax.types import IGNORE_LABEL


class GroundTruth:
    """Knows every label, and tells those of the regions that it is asked for."""

    def __init__(self, dataset: str, data_dir: str | Path, digest: str, split: str = "train"):
        """
        Args:
          dataset: with labels.
          data_dir: where it was prepared.
          digest: of the data set, as the run opened it.
          split: whose images are labelled.
        """
        self._arguments, self._digest = (dataset, data_dir, split), digest
        self._regions: dict[str, list[int]] = {}

    def request(self, purchases: Sequence[Purchase]) -> None:
        self._regions = {}
        for purchase in purchases:
            self._regions.setdefault(purchase.image, []).append(purchase.region)

    def collect(self) -> Iterable[Answer]:
        if not self._regions:
            return []
        source = sources.open_labelled(*self._arguments)
        sources.check_same(source, self._digest)
        return read_ahead(_Answers(source, self._regions))


class _Answers:
    """Answers by index, in the order of the images' names."""

    def __init__(self, source: sources.LabelledSource, regions: Mapping[str, Sequence[int]]):
        self._source, self._regions = source, regions
        self._names = sorted(regions)
        self._index = {name: i for i, name in enumerate(source.names)}

    def __len__(self) -> int:
        return len(self._names)

    def __getitem__(self, i: int) -> Answer:
        name = self._names[i]
        maps, regions = self._source.maps(self._index[name]), tuple(self._regions[name])
        known = np.where(np.isin(maps["regions"], regions), maps["label"], IGNORE_LABEL)
        return Answer(name, regions, known.astype(np.uint8))
