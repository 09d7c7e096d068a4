"""The classes of the source's images, counted once per run if rare ones are drawn more often."""

import numpy as np

from adeada_jax.arrays import load_arrays, save_arrays
from adeada_jax.data.rare_classes import class_probabilities, class_shares
from adeada_jax.data.sources import LabelledImages
from adeada_jax.run.costs import Cost
from adeada_jax.run.experiment import Experiment
from adeada_jax.run.runner import Alone, Stage
from adeada_jax.telemetry import track


def count(experiment: Experiment, source: LabelledImages) -> Stage:
    """Reads all labels of the experiment's source and leaves each class's share of each image's pixels."""
    path = experiment.workdir.source_classes
    size = 8 * len(source) * experiment.config.num_classes

    def make() -> None:
        indices = track(range(len(source)), total=len(source), description="counting the source's classes")
        shares = class_shares(source, indices, experiment.config.num_classes)
        # Raises now, before anything is bought, if images cannot be drawn by these shares.
        class_probabilities(shares, experiment.config.finetune.rare_class_sampling)
        save_arrays(path, {"shares": shares}, {})

    return Stage("source_classes", 0, Alone(make), writes=(path,), cost=Cost(files=lambda _: {path: size}))


def load(experiment: Experiment) -> np.ndarray:
    """`(N, C)` float64, as `count` left it."""
    return load_arrays(experiment.workdir.source_classes)[0]["shares"]
