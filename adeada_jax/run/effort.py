"""What people's answers took, and how often they agreed with the model."""

from collections.abc import Sequence

import numpy as np

from adeada_jax.annotators.bought_labels import read_label
from adeada_jax.evaluation.summaries import Effort
from adeada_jax.files import read_json
from adeada_jax.method.selection_csv import Purchase
from adeada_jax.partitions.counting import region_counts
from adeada_jax.run.experiment import Experiment


def of_people(experiment: Experiment, number: int, purchases: Sequence[Purchase]) -> Effort:
    """What people's answers have cost so far, and how often people accepted the suggestion.

    The latter does not measure the model: it buys what it does not know.
    """
    workdir = experiment.workdir
    told = [read_json(workdir.answered(n)) for n in range(1, number + 1) if workdir.answered(n).exists()]
    told = [facts for facts in told if "seconds" in facts]
    entry: Effort = {}
    if told:
        for key in ("clicks", "seconds", "refused"):
            known = [facts[key] for facts in told if facts[key] is not None]
            entry[key] = sum(known) if known else None
        entry["agreement"] = told[-1]["agreement"]
    if purchases and experiment.knows_classes(number) and (told or not experiment.validation):
        entry["suggestions_taken"] = suggestions_taken(experiment, number, purchases)
    return entry


def suggestions_taken(experiment: Experiment, number: int, purchases: Sequence[Purchase]) -> float | None:
    """Share of a round's answered regions most of whose labelled pixels are of the class predicted before."""
    divided, workdir = experiment.divided["target"], experiment.workdir
    index = {name: i for i, name in enumerate(divided.names)}
    classes = {name: i for i, name in enumerate(experiment.class_names)}
    by_image: dict[str, list[Purchase]] = {}
    for purchase in purchases:
        by_image.setdefault(purchase.image, []).append(purchase)
    taken = []
    for name, bought in by_image.items():
        regions = divided.regions(index[name])
        label = read_label(workdir.labels(number) / f"{name}.png", regions.shape, len(classes))
        counts = region_counts(regions, label, len(classes))
        present = {int(region): row for row, region in enumerate(np.unique(regions))}
        for purchase in bought:
            own = counts[present[purchase.region]]
            if own.any():
                taken.append(own.argmax() == classes.get(purchase.class_name))
    return float(np.mean(taken)) if taken else None
