"""Qualitative strips (Fig. 4 and 6): what models of a seed make of the same evaluation images."""

from collections.abc import Sequence

import numpy as np
from ml_collections import config_dict

from adeada_jax.labels import colorize
from adeada_jax.report.page import Gallery, Strip
from adeada_jax.run.experiment import create_experiment
from adeada_jax.run.prediction import predictor
from adeada_jax.study.collect import Result
from adeada_jax.study.study_plan import WARM_UP
from adeada_jax.study.study_tables import OURS
from adeada_jax.telemetry import Metrics

_STRIPS = 5  # as many as the paper's Fig. 6
_NAMES = {WARM_UP: "warm-up", "target_only": "full supervision", OURS: "ADeADA", "aada": "AADA"}


def compared(results: Sequence[Result], strategies: Sequence[str], seed: int) -> list[Result]:
    """The models to show of a seed: warm-up, AADA (or the first other strategy), ADeADA, full supervision."""
    rivals = [name for name in ("aada", *strategies) if name in strategies and name != OURS][:1]
    found = {result.setting: result for result in results if result.seed == seed}
    return [found[name] for name in (WARM_UP, *rivals, OURS, "target_only") if name in found]


def evaluation_strips(config: config_dict.ConfigDict, models: Sequence[Result]) -> Gallery:
    """Evaluation images with their ground truth and what each model predicts.

    Args:
      config: of the study.
      models: of `compared`, at least one.
    """
    workdir = models[0].workdir
    experiment = create_experiment(config, workdir, Metrics(workdir.root))
    validation = experiment.evaluated()
    chosen = np.unique(np.linspace(0, len(validation) - 1, _STRIPS).astype(int))
    examples = [validation[int(i)] for i in chosen]
    panels = [
        [("image", example["image"]), ("ground truth", colorize(example["label"], validation.palette))]
        for example in examples
    ]
    for model in models:
        last = model.rounds[-1]["round"]
        weights = experiment.load_weights(model.workdir.checkpoint(last))
        predict = predictor(experiment.segmenter, weights, **experiment.size, passes=experiment.passes)
        name = _NAMES.get(model.setting, model.setting)
        for example, row in zip(examples, panels, strict=True):
            row.append((name, colorize(predict(example["image"]), validation.palette)))
    strips = tuple(Strip(example["name"], tuple(row)) for example, row in zip(examples, panels, strict=True))
    text = (
        f"Seed {models[0].seed}, each model after its last round. None of these images was ever trained on."
    )
    return Gallery("Evaluation images (Fig. 4 and 6)", text, strips)
