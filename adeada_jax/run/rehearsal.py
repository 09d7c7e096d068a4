"""Tries out a run's end before it begins, so that what would fail after days of training fails at once.

Made-up results of a few rounds are written as a run writes them, into a temporary directory, and the report
is made of them by the functions that make a run's. Networks' answers are made up, too: nothing is compiled.
"""

import io
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from rich.console import Console

from adeada_jax.annotators.answers import Given
from adeada_jax.annotators.by_people import answers_to
from adeada_jax.annotators.requests import read_request
from adeada_jax.data.sources import Images
from adeada_jax.errors import InputError
from adeada_jax.evaluation import confusion, tables
from adeada_jax.evaluation.enlargement import labels_of
from adeada_jax.evaluation.summaries import Effort, Round
from adeada_jax.files import read_json, write_json_atomic, write_png_atomic, write_text_atomic
from adeada_jax.method.selection_csv import Purchase, purchases_to_csv
from adeada_jax.run import publish, recipe
from adeada_jax.run.experiment import Experiment
from adeada_jax.run.prediction import Predictor, pictures
from adeada_jax.run.workdir import Workdir
from adeada_jax.telemetry import Metrics

_ROUNDS = 2  # rounds of made-up results: enough for every chart and table
_SIDE = 1024  # pixels of the image that are used, in height and width
_GRID = (8, 16)  # height and width of the made-up scores


class OneImage:
    """The first image of a split, cropped to a size that is drawn quickly."""

    def __init__(self, source: Images, example: Mapping[str, Any]):
        self.names = source.names[:1]
        self._example = {
            key: value[:_SIDE, :_SIDE] if isinstance(value, np.ndarray) else value
            for key, value in example.items()
        }

    def __len__(self) -> int:
        return 1

    def __getitem__(self, index: int) -> dict[str, Any]:
        return self._example


def rehearse(experiment: Experiment) -> None:
    """Makes the report of made-up results, and drops it; takes a second or two.

    Raises:
      InputError: there is no directory for temporary files; or as the run's end would raise.
    """
    with _temporary() as directory, Metrics(directory) as metrics:
        target = experiment.divided["target"]
        validation = experiment.validation or target.images
        # These stand for all images; they have everything that reports read.
        one: Any = OneImage(target.images, target.divide(0))
        evaluated: Any = OneImage(validation, validation[0]) if experiment.validation else None
        small = replace(
            experiment,
            workdir=Workdir(directory),
            metrics=metrics,
            divided={"target": one},
            validation=evaluated,
        )
        write_results(small, min(recipe.rounds(recipe.stages(experiment)), _ROUNDS))
        summary = read_json(small.workdir.summary)
        publish.write(small, summary, _guess(small, 0), _guess(small, 1))
        Console(file=io.StringIO()).print(tables.round_table(summary))
        image = OneImage(validation, validation[0])[0]["image"]
        for kind, picture in pictures(image, _guess(small, 0)(image), small.palette):
            write_png_atomic(small.workdir.root / f"{kind}.png", picture)


def _temporary() -> tempfile.TemporaryDirectory[str]:
    try:
        return tempfile.TemporaryDirectory(prefix="adeada_jax-")
    except OSError as error:
        raise InputError(
            f"there is no directory for temporary files: {error}; set TMPDIR to a directory"
        ) from error


def _guess(experiment: Experiment, seed: int) -> Predictor:
    """A network with arbitrary answers."""
    scores = np.random.default_rng(seed).normal(size=(*_GRID, experiment.config.num_classes))
    return lambda image: labels_of(scores.astype(np.float32), *image.shape[:2])


def write_results(experiment: Experiment, last: int) -> None:
    """What a run leaves of its rounds up to the last, made up: all that `publish.write` reads."""
    config, workdir = experiment.config, experiment.workdir
    write_json_atomic(workdir.config, config.to_dict())
    rng = np.random.default_rng(0)
    results = [_result(experiment, number, rng.random(config.num_classes)) for number in range(last + 1)]
    write_json_atomic(workdir.summary, {"experiment": config.experiment, "rounds": results})
    for number in range(last + 1):
        seconds = {"seconds": 4.0, "data_seconds": 1.0, "compile_seconds": 1.0, "checkpoint_seconds": 1.0}
        stage = "finetune" if number else "warmup"
        for step in (1, 2):
            experiment.metrics.write(round=number, stage=stage, step=step, loss=1.0 / step, **seconds)
        experiment.metrics.write(round=number, stage="evaluation", step=0, miou=results[number]["miou"])
    for number in range(1, last + 1):
        _write_purchases(experiment, number)
        if not experiment.annotator.reads_labels:
            _write_answer(experiment, number)
        if "density" in [ingredient.name for ingredient in experiment.ingredients]:
            write_json_atomic(workdir.density(number), dict(map(_density, experiment.class_names)))


def _result(experiment: Experiment, number: int, iou: np.ndarray) -> Round:
    """One object of summary.json's list; the first class does not occur."""
    iou[0] = np.nan
    scores = confusion.scores(iou, experiment.class_names, experiment.config.shared_classes)
    people: Effort = (
        {} if experiment.annotator.reads_labels else {"seconds": 60.0 * number, "suggestions_taken": 0.5}
    )
    return {
        "round": number,
        **scores,
        "labelled_pixels": 2 * number,
        "known_pixels": number,
        "target_pixels": 10,
        "labelled_fraction": number / 5,
        **people,
    }


def _write_purchases(experiment: Experiment, number: int) -> None:
    """A region bought for every class, all of one image, and the image's labels."""
    image = experiment.divided["target"]
    name, regions = image.names[0], image[0]["regions"]
    method = "density" if number == 1 else "entropy"
    rows = [
        Purchase(number, name, int(region), 10, class_name, method, 0.5)
        for region, class_name in zip(
            np.resize(np.unique(regions), len(experiment.class_names)), experiment.class_names, strict=True
        )
    ]
    write_text_atomic(experiment.workdir.selection(number), purchases_to_csv(rows))
    labels = (regions % len(experiment.class_names)).astype(np.uint8)
    write_png_atomic(experiment.workdir.labels(number) / f"{name}.png", labels)


def _write_answer(experiment: Experiment, number: int) -> None:
    """A request to people of one region, the whole image, and the answer: another class than suggested."""
    example, directory = experiment.divided["target"][0], experiment.workdir.round(number) / "request"
    name, (height, width) = experiment.divided["target"].names[0], example["regions"].shape
    file, classes = f"images/{name}.png", zip(experiment.class_names, experiment.palette, strict=True)
    content = {
        "id": "made up",
        "round": number,
        "partition": "",
        "classes": [{"name": class_name, "color": color.tolist()} for class_name, color in classes],
        "images": [{"name": name, "file": file, "height": height, "width": width}],
        "regions": [
            {
                "image": name,
                "region": 0,
                "pixels": height * width,
                "box": [0, 0, width, height],
                "runs": [0, height * width],
                "suggestion": 0,
                "probability": 0.5,
            }
        ],
    }
    write_png_atomic(directory / file, example["image"])
    write_json_atomic(directory / "request.json", content)
    answer = Given(f"{number}", name, 0, "", 0.0, 60.0, 1, "class", len(experiment.class_names) - 1)
    with answers_to(read_request(directory / "request.json")).transaction() as transaction:
        transaction.add([answer])


def _density(class_name: str) -> tuple[str, dict[str, Any]]:
    """A class's entry of density.json."""
    pair = {"source": 100, "target": 50}
    return class_name, {
        "regions": pair,
        "components": 2,
        "iterations": pair,
        "log_likelihood": pair,
        "kl": 10.0,
        "budget": 1000,
        "status": "fitted",
    }
