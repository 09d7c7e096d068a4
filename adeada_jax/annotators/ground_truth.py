"""Answers from existing labels, as in the paper's experiments.

The only module of a run that opens the target's training labels, one region at a time.
"""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from adeada_jax.annotators.asking import Answer, Job, Question
from adeada_jax.data import sources
from adeada_jax.data.batches import read_ahead
from adeada_jax.partitions.store import DividedImages
from adeada_jax.types import IGNORE_LABEL


class GroundTruth:
    """Knows every label, and gives those of the regions that it is asked for."""

    reads_labels = True

    def __init__(self, job: Job):
        self._divided = job.images
        self._regions: dict[str, list[int]] = {}

    def request(self, questions: Sequence[Question]) -> None:
        self._regions = {}
        for question in questions:
            self._regions.setdefault(question.image, []).append(question.region)

    def collect(self) -> Iterable[Answer]:
        if not self._regions:
            return []
        images = self._divided.images
        source = sources.open_labelled(images.dataset, images.data_dir, images.split)
        sources.check_same(source, images.digest)
        return read_ahead(_Answers(source, self._divided, self._regions))


class _Answers:
    """Answers by index, in the order of the images' names."""

    def __init__(
        self, source: sources.LabelledSource, divided: DividedImages, regions: Mapping[str, Sequence[int]]
    ):
        self._source, self._divided, self._regions = source, divided, regions
        self._names = sorted(regions)
        self._index = {name: i for i, name in enumerate(source.names)}

    def __len__(self) -> int:
        return len(self._names)

    def __getitem__(self, i: int) -> Answer:
        name = self._names[i]
        index, regions = self._index[name], tuple(self._regions[name])
        bought = np.isin(self._divided.regions(index), regions)
        known = np.where(bought, self._source.label(index), IGNORE_LABEL)
        return Answer(name, regions, known.astype(np.uint8))
