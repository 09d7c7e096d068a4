"""The run's report: gathers what the stages wrote, predicts a few images, and hands it to the page."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from adeada_jax.evaluation.summaries import Summary
from adeada_jax.files import read_json
from adeada_jax.labels import colorize
from adeada_jax.method.selection_csv import Purchase, SelectionRow
from adeada_jax.report.brightness import photograph
from adeada_jax.report.figures import bought_overlay
from adeada_jax.report.page import Gallery, Strip, write_report
from adeada_jax.run import training_batches
from adeada_jax.run.answered import answer_gallery, kappas, outcomes_of, read_rounds
from adeada_jax.run.experiment import Experiment
from adeada_jax.run.prediction import Predictor, predictor

_STRIPS = 4


def publish(experiment: Experiment) -> None:
    """Writes report.html from what lies in the working directory."""
    summary = read_json(experiment.workdir.summary)
    first, last = (
        experiment.load_weights(experiment.workdir.checkpoint(number))
        for number in (0, summary["rounds"][-1]["round"])
    )
    before, after = (
        predictor(experiment.segmenter, weights, **experiment.size, passes=experiment.passes)
        for weights in (first, last)
    )
    write(experiment, summary, before, after)


def write(experiment: Experiment, summary: Summary, before: Predictor, after: Predictor) -> None:
    """`publish` with the first and the last round's predictions given."""
    workdir, last = experiment.workdir, summary["rounds"][-1]["round"]
    purchases = workdir.purchases(last)
    lines = (workdir.root / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    events = [json.loads(line) for line in lines]
    answered = read_rounds(workdir, last + 1)  # the round after the last may be one that people answer now
    densities = {n: read_json(workdir.density(n)) for n in range(last + 1) if workdir.density(n).exists()}
    write_report(
        workdir.report,
        config=read_json(workdir.config),
        summary=summary,
        selections=[_row(purchase) for purchase in purchases] if last else [],
        densities=densities,
        class_names=experiment.class_names,
        palette=experiment.palette,
        galleries=[
            *([validation_gallery(experiment, before, after, last)] if experiment.validation else []),
            *([answer_gallery(answered)] if answered else []),
            *([pool_gallery(experiment, before, after, purchases)] if last and purchases else []),
        ],
        events=events,
        answered=[outcomes_of(one) for one in answered],
        kappas=kappas(answered),
    )


def _row(purchase: Purchase) -> SelectionRow:
    row: Any = dict(vars(purchase))
    row["class"] = row.pop("class_name")
    return row


def validation_gallery(experiment: Experiment, before: Predictor, after: Predictor, last: int) -> Gallery:
    """A few evaluation images, with their ground truth where all of it is known."""
    validation = experiment.evaluated()
    strips = []
    for i in np.unique(np.linspace(0, len(validation) - 1, _STRIPS).astype(int)):
        example = validation[int(i)]
        panels = [
            photograph("image", example["image"]),
            *_predictions(experiment, example["image"], before, after, last),
        ]
        if "label" in example:
            panels.append(("ground truth", colorize(example["label"], experiment.palette)))
        strips.append(Strip(example["name"], tuple(panels)))
    return Gallery("Evaluation images", "None of these was ever trained on.", tuple(strips))


def pool_gallery(
    experiment: Experiment, before: Predictor, after: Predictor, purchases: Sequence[Purchase]
) -> Gallery:
    """The training images of which most regions were bought, with the labels that were paid for."""
    images = experiment.divided["target"]
    last = max(purchase.round for purchase in purchases)
    store = training_batches.label_store(experiment.workdir, last)
    counts = Counter(purchase.image for purchase in purchases)
    strips = []
    for name in sorted(counts, key=lambda name: (-counts[name], name))[:_STRIPS]:
        example = images[images.names.index(name)]
        label = store.label(name, example["image"].shape[:2], len(experiment.class_names))
        rounds = {p.region: p.round for p in purchases if p.image == name}
        panels = [
            photograph("image", example["image"]),
            *_predictions(experiment, example["image"], before, after, last),
        ]
        panels += [
            ("labels bought", colorize(label, experiment.palette)),
            _bought(example["image"], example["regions"], rounds, last),
        ]
        strips.append(Strip(name, tuple(panels)))
    text = "The images of which most regions were bought. Labels that nobody paid for stay unknown: black."
    return Gallery("Bought regions", text, tuple(strips))


def _bought(
    image: np.ndarray, regions: np.ndarray, rounds: Mapping[int, int], last: int
) -> tuple[str, np.ndarray]:
    caption, image = photograph("regions by round", image)
    return caption, bought_overlay(image, regions, rounds, rounds=last)


def _predictions(
    experiment: Experiment, image: np.ndarray, before: Predictor, after: Predictor, last: int
) -> list[tuple[str, np.ndarray]]:
    palette = experiment.palette
    if not last:
        return [("prediction", colorize(after(image), palette))]
    return [
        ("after the warm-up", colorize(before(image), palette)),
        (f"after round {last}", colorize(after(image), palette)),
    ]
