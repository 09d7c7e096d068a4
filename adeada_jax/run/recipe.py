"""Algorithm 1 as a list of stages; the only place that asks which experiment it is."""

from collections.abc import Callable, Iterator, Sequence

from adeada_jax.experiment import Experiment
from adeada_jax.run import acquisition, trainings, validation
from adeada_jax.run.runner import Stage


def stages(experiment: Experiment) -> list[Stage]:
    """All stages of the experiment that the configuration asks for, in order."""
    return list(EXPERIMENTS[experiment.config.experiment](experiment))


def rounds(stages: Sequence[Stage]) -> int:
    """Rounds of bought labels; 0 for a reference."""
    return max(stage.round for stage in stages)


def active(experiment: Experiment) -> Iterator[Stage]:
    """Algorithm 1: the warm-up and `acquisition.rounds` rounds of bought labels."""
    yield from warmup_only(experiment)
    for number in range(1, experiment.config.acquisition.rounds + 1):
        yield from acquisition.acquire(experiment, number)
        yield trainings.finetune(experiment, number)
        yield from validation.evaluate(experiment, number)


def warmup_only(experiment: Experiment) -> Iterator[Stage]:
    """The beginning of an active run (Table 3)."""
    yield acquisition.pool(experiment)
    yield trainings.warm_up(experiment)
    yield from validation.evaluate(experiment, 0)


def target_only(experiment: Experiment) -> Iterator[Stage]:
    """Table 1's reference: all target labels, trained on for as many steps as an active run."""
    config = experiment.config
    yield acquisition.pool(experiment)
    yield acquisition.select_everything(experiment)
    yield acquisition.ask_for_labels(experiment, 0)
    yield trainings.on_bought_labels(experiment, trainings.all_steps(config, config.finetune))
    yield from validation.evaluate(experiment, 0)


def source_only(experiment: Experiment) -> Iterator[Stage]:
    """A reference without any target label: the source alone, for as many steps."""
    config = experiment.config
    yield acquisition.pool(experiment)
    yield trainings.on_source(
        experiment, trainings.all_steps(config, config.finetune), "finetune", "source only"
    )
    yield from validation.evaluate(experiment, 0)


def adaptation_only(experiment: Experiment) -> Iterator[Stage]:
    """A reference without any target label: the adversarial warm-up, for as many steps."""
    config = experiment.config
    yield acquisition.pool(experiment)
    yield trainings.adaptation(
        experiment, trainings.all_steps(config, config.warmup), "adaptation, adversarial"
    )
    yield from validation.evaluate(experiment, 0)


EXPERIMENTS: dict[str, Callable[[Experiment], Iterator[Stage]]] = {
    "active": active,
    "warmup_only": warmup_only,
    "target_only": target_only,
    "source_only": source_only,
    "adaptation_only": adaptation_only,
}
