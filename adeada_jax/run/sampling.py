"""A random sample of regions to evaluate on, which people label before the first training.

Its images are never trained on, and no suggestion goes with it, so that the answers do not lean on a model.
"""

from pathlib import Path

import numpy as np

from adeada_jax.annotators.asking import Question, label
from adeada_jax.annotators.bought_labels import LabelStore, PurchasedLabels
from adeada_jax.files import write_text_atomic
from adeada_jax.method.regions import Regions
from adeada_jax.method.selection_csv import Purchase, purchases_from_csv, purchases_to_csv
from adeada_jax.partitions.store import DividedImages
from adeada_jax.run import acquisition
from adeada_jax.run.costs import Cost, Survey
from adeada_jax.run.experiment import Experiment
from adeada_jax.run.runner import Alone, Outcome, Stage
from adeada_jax.telemetry import track

_LABEL_BYTES = 4096  # of a sampled image's labels as PNG, roughly


def draw(experiment: Experiment) -> Stage:
    """Draws `evaluation.regions` of the held-back images' regions, all equally likely."""
    path, divided = experiment.workdir.evaluation_sample, experiment.sample()

    def make() -> None:
        regions = regions_of(divided)
        count = min(experiment.config.evaluation.regions, len(regions))
        generator = np.random.default_rng(experiment.seed(0, "evaluation sample"))
        chosen = np.sort(generator.choice(len(regions), count, replace=False))
        rows = [
            Purchase(
                0,
                regions.names[regions.image[i]],
                int(regions.region[i]),
                int(regions.pixels[i]),
                "",
                "evaluation",
                0.0,
            )
            for i in chosen
        ]
        write_text_atomic(path, purchases_to_csv(rows))

    return Stage(
        "evaluation_sample",
        0,
        Alone(make),
        reads=(divided.index,),
        writes=(path,),
        timed=False,
        cost=Cost(files=lambda _: {path: 100 * experiment.config.evaluation.regions}),
    )


def ask(experiment: Experiment) -> Stage:
    """Has the sample labelled."""
    workdir, divided, evaluator = experiment.workdir, experiment.sample(), experiment.evaluator
    assert evaluator is not None  # who labels the sample

    def make() -> Outcome:
        rows = purchases_from_csv(workdir.evaluation_sample.read_text(encoding="utf-8"))
        questions = [Question(0, row.image, row.region, row.pixels) for row in rows]
        done = label(
            evaluator,
            questions,
            divided,
            experiment.config.num_classes,
            directory=workdir.evaluation_labels,
            answered=workdir.evaluation_answered,
        )
        return Outcome.DONE if done else Outcome.WAITING

    def files(_: Survey) -> dict[Path, int]:
        images = min(len(divided), experiment.config.evaluation.regions)
        pixels = sum(height * width for height, width in divided.images.sizes)
        copied = acquisition.request_bytes(experiment, 0, pixels * images / len(divided))
        return {workdir.evaluation_labels: images * _LABEL_BYTES, **copied}

    return Stage(
        "evaluation_labels",
        0,
        Alone(make),
        reads=(workdir.evaluation_sample,),
        writes=(workdir.evaluation_answered,),
        cost=Cost(files=files),
        timed=False,
    )


def sampled_examples(experiment: Experiment) -> PurchasedLabels:
    """The held-back images of which a region was labelled, with these labels."""
    labels = LabelStore([experiment.workdir.evaluation_labels])
    return PurchasedLabels(experiment.sample().images, labels, experiment.config.num_classes)


def regions_of(divided: DividedImages) -> Regions:
    """All regions of a split, whose maps are there."""
    indices = track(range(len(divided)), total=len(divided), description="listing regions")
    return Regions.from_counts(divided.names, [np.bincount(divided.regions(i).ravel()) for i in indices])
