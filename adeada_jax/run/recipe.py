"""Algorithm 1 as a list of stages; the only place that asks which experiment it is."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from ml_collections import config_dict

from adeada_jax.errors import InputError
from adeada_jax.run import (
    acquisition,
    dividing,
    known_labels,
    sampling,
    source_classes,
    trainings,
    validation,
)
from adeada_jax.run.experiment import Experiment
from adeada_jax.run.runner import Stage
from adeada_jax.types import IGNORE_LABEL


def stages(experiment: Experiment) -> list[Stage]:
    """All stages of the experiment that the configuration asks for, in order."""
    return list(EXPERIMENTS[experiment.config.experiment](experiment))


def rounds(stages: Sequence[Stage]) -> int:
    """Rounds of bought labels; 0 for a reference."""
    return max(stage.round for stage in stages)


def check(experiment: Experiment) -> None:
    """Whether all that the stages read will be there, before a warm-up of days.

    Raises:
      InputError: there are no labels that could be bought, learned from or evaluated on; a stage reads what
        no earlier one leaves.
    """
    config, listed = experiment.config, stages(experiment)
    target = config.target
    asked = any(stage.name == "labels" for stage in listed) and experiment.annotator.reads_labels
    if asked and not experiment.target_images.labelled:
        raise InputError(
            f"data set '{target.dataset}' in '{target.dir}': split 'train' was prepared without labels, so "
            "there are none to buy; have people label them, --config.oracle.kind=people, or use "
            "--config.experiment=adaptation_only"
        )
    if experiment.source and EXPERIMENTS[config.experiment] is not target_only:
        _check_any_label(experiment.source, config.source, "train")
    if config.evaluation.kind == "labels":
        _check_any_label(experiment.evaluated(), target, experiment.evaluated().split)
    written: set[Path] = set()
    for stage in listed:
        for path in stage.reads:
            if path not in written:
                raise InputError(_missing(config, path))
        written.update(stage.writes)


def _missing(config: config_dict.ConfigDict, path: Path) -> str:
    if path.name != "discriminator":
        return f"'{path}' is read before any stage writes it"
    strategy = f"config.acquisition.strategy: '{config.acquisition.strategy}'"
    if config.warmup.checkpoint:
        beside = Path(config.warmup.checkpoint).parent / "discriminator"
        return (
            f"{strategy} needs the warm-up's discriminator, but there is no '{beside}' beside "
            "config.warmup.checkpoint"
        )
    if not config.source.dataset:
        return f"{strategy} needs the warm-up's discriminator, and without a source there is no warm-up"
    return (
        f"{strategy} needs a discriminator, which config.warmup.method='{config.warmup.method}' does not "
        "train; use 'adversarial'"
    )


def _check_any_label(source: Any, domain: config_dict.ConfigDict, split: str) -> None:
    """Whether any pixel of a split is of a class; mostly the first image tells."""
    if not any((source.label(index) != IGNORE_LABEL).any() for index in range(len(source))):
        raise InputError(
            f"data set '{domain.dataset}' in '{domain.dir}': no pixel of split '{split}' has a class; "
            "give it labels (docs/data.md) and prepare it in another --data_dir, or have "
            "people label a sample, --config.evaluation.kind=sample"
        )


def active(experiment: Experiment) -> Iterator[Stage]:
    """Algorithm 1: the warm-up and `acquisition.rounds` rounds of bought labels."""
    if "source" in experiment.divided:
        yield dividing.divide(experiment, "source")
    yield from warmup_only(experiment)
    if experiment.source and experiment.config.finetune.rare_class_sampling:
        yield source_classes.count(experiment, experiment.source)
    for number in range(1, experiment.config.acquisition.rounds + 1):
        yield from acquisition.acquire(experiment, number)
        yield trainings.finetune(experiment, number)
        yield from validation.evaluate(experiment, number)


def warmup_only(experiment: Experiment) -> Iterator[Stage]:
    """The beginning of an active run (Table 3)."""
    yield from _beginning(experiment)
    yield trainings.warm_up(experiment)
    yield from validation.evaluate(experiment, 0)


def target_only(experiment: Experiment) -> Iterator[Stage]:
    """Table 1's reference: all target labels, trained on for as many steps as an active run."""
    config = experiment.config
    yield from _beginning(experiment)
    yield acquisition.select_everything(experiment)
    yield acquisition.ask_for_labels(experiment, 0)
    yield trainings.on_bought_labels(experiment, trainings.all_steps(config, config.finetune))
    yield from validation.evaluate(experiment, 0)


def source_only(experiment: Experiment) -> Iterator[Stage]:
    """A reference without any target label: the source alone, for as many steps."""
    config = experiment.config
    yield from _beginning(experiment)
    yield trainings.on_source(
        experiment, trainings.all_steps(config, config.finetune), "finetune", "source only"
    )
    yield from validation.evaluate(experiment, 0)


def adaptation_only(experiment: Experiment) -> Iterator[Stage]:
    """A reference without any target label: the adversarial warm-up, for as many steps."""
    config = experiment.config
    yield from _beginning(experiment)
    yield trainings.adaptation(
        experiment, trainings.all_steps(config, config.warmup), "adaptation, adversarial"
    )
    yield from validation.evaluate(experiment, 0)


def _beginning(experiment: Experiment) -> Iterator[Stage]:
    """The target's training regions, of which labels can be bought and which the summary counts.

    And the labels of a sample of those to evaluate on, where people give these.
    """
    yield dividing.divide(experiment, "target")
    yield acquisition.pool(experiment)
    if known_labels.has_some(experiment):
        yield known_labels.take_in(experiment)
    if experiment.sampled:
        yield dividing.divide(experiment, "evaluation")
        yield sampling.draw(experiment)
        yield sampling.ask(experiment)


EXPERIMENTS: dict[str, Callable[[Experiment], Iterator[Stage]]] = {
    "active": active,
    "warmup_only": warmup_only,
    "target_only": target_only,
    "source_only": source_only,
    "adaptation_only": adaptation_only,
}
