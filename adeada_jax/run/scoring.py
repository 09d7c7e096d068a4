"""A checkpoint's scores on a prepared split, for people who ask for them: no module of a run imports this."""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from ml_collections import config_dict

from adeada_jax.data import sources
from adeada_jax.data.relabelled import relabelled
from adeada_jax.errors import InputError
from adeada_jax.evaluation import confusion
from adeada_jax.evaluation.passes import WHOLE, passes_of
from adeada_jax.files import write_json_atomic
from adeada_jax.run import trainings
from adeada_jax.run.experiment import create_segmenter, load_weights
from adeada_jax.run.prediction import classes
from adeada_jax.telemetry import console


def evaluate_split(
    config: config_dict.ConfigDict, checkpoint: Path, *, dataset: str, data_dir: str, split: str
) -> dict[str, Any]:
    """A checkpoint's IoU on a prepared split, at the labels' own size.

    Args:
      config: of the model; `shared_classes` says over which classes the means are.
      checkpoint: a checkpoint directory.
      dataset: its name.
      data_dir: where it was prepared.
      split: with labels.

    Returns:
      `checkpoint`, `dataset`, `data_dir`, `split`, `images`, `pixels` (with a label), `inference` where
      images did not go through the network once and whole, and what
      `confusion.scores` gives: means and `iou` by class in percent, None for a class that does not occur.

    Raises:
      InputError: the split is not there or has no labels; a checkpoint of another model; other classes.
    """
    source = _with_classes_of(config, sources.open_labelled(dataset, data_dir, split))
    segmenter = create_segmenter(config)
    is_source = (dataset, str(data_dir)) == (config.source.dataset, str(config.source.dir))
    own = is_source and trainings.adapts_statistics(config, segmenter)
    weights = load_weights(segmenter, checkpoint, _source_statistics(checkpoint) if own else None)
    matrix = confusion.evaluate(
        segmenter,
        weights.params,
        weights.batch_stats,
        source,
        height=config.data.height,
        width=config.data.width,
        batch_size=config.inference.batch_size,
        passes=passes_of(config.inference),
    ).matrix
    passes = passes_of(config.inference)
    return {
        "checkpoint": str(checkpoint),
        "dataset": dataset,
        "data_dir": str(data_dir),
        "split": split,
        **({} if passes == WHOLE else {"inference": asdict(passes)}),
        "images": len(source),
        "pixels": int(matrix.sum()),
        **confusion.scores(confusion.iou(matrix), source.class_names, config.shared_classes),
    }


def _with_classes_of(
    config: config_dict.ConfigDict, source: sources.LabelledSource
) -> sources.LabelledImages:
    """A split with the model's classes: all or some of them by name, else as many.

    Raises:
      InputError: neither.
    """
    try:
        names, palette = classes(config)
    except InputError:  # the run's data are elsewhere, so nobody knows what it called its classes
        names, palette = (), np.zeros((0, 3), np.uint8)
    if len(names) == config.num_classes and set(source.class_names) <= set(names):
        return relabelled(source, names, palette)
    if len(source.class_names) != config.num_classes:
        raise InputError(
            f"the model has {config.num_classes} classes, but data set '{source.dataset}' in "
            f"'{source.data_dir}' has {len(source.class_names)}, and not all of these are the model's"
        )
    return source


def _source_statistics(checkpoint: Path) -> Path | None:
    """Where the source's batch-norm statistics are; None where they are not."""
    statistics = Path(checkpoint).parent / "source_statistics"
    if statistics.exists():
        return statistics
    console.print(
        "[bold yellow]warning:[/] the checkpoint has the target's batch-norm statistics, and those of the "
        f"source are not beside it ('{statistics}'), so the network scores lower than it could",
        highlight=False,
    )
    return None


def write_scores(path: str | Path, scores: Mapping[str, Any]) -> None:
    """Writes what `evaluate_split` returned as JSON.

    Raises:
      InputError: the file cannot be written.
    """
    try:
        write_json_atomic(path, scores)
    except OSError as error:
        raise InputError(f"--output: '{path}' cannot be written: {error.strerror or error}") from error
