"""The trainings of an experiment: warm-up, fine-tuning of a round, and the fully supervised reference."""

import json
from collections.abc import Callable, Iterator
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
from ml_collections import config_dict

from adeada_jax import processes
from adeada_jax.data import loader
from adeada_jax.errors import InputError
from adeada_jax.evaluation import tables
from adeada_jax.experiment import Experiment, Weights
from adeada_jax.models import Segmenter
from adeada_jax.oracle import LabelStore, PurchasedLabels
from adeada_jax.telemetry import console
from adeada_jax.training import checkpoints, optimizers, parallel
from adeada_jax.training.adversarial import adversarial_step
from adeada_jax.training.loop import LoopOptions, run_steps
from adeada_jax.training.state import AdversarialState, create_adversarial_state, create_train_state
from adeada_jax.training.statistics import statistics_step
from adeada_jax.training.supervised import supervised_step


def warm_up(experiment: Experiment) -> None:
    """The model before any label is bought: AdaptSegNet or source only, or `warmup.checkpoint`'s."""
    if processes.agreed(experiment.workdir.checkpoint(0).exists()):
        return
    options = experiment.config.warmup
    if options.checkpoint:
        _take_over_warm_up(experiment, Path(options.checkpoint))
    elif options.method == "adversarial":
        _warm_up_adversarially(experiment, options)
    else:
        batches = _batches(experiment, experiment.source.without_regions(), 0, "warmup")
        _train_supervised(experiment, 0, experiment.initial_weights(), batches, options, "warm-up")


def finetune(experiment: Experiment, number: int) -> None:
    """Tunes the model of the round before on D_S and D_T^L together; what is not bought is ignored."""
    if processes.agreed(experiment.workdir.checkpoint(number).exists()):
        return
    weights = experiment.load_weights(experiment.workdir.checkpoint(number - 1))
    source = experiment.source.without_regions()
    batches = _mixed_batches(experiment, source, _purchased_with_warning(experiment, number), number)
    name = f"round {number}: fine-tuning"
    _train_supervised(experiment, number, weights, batches, experiment.config.finetune, name)


def train_reference(experiment: Experiment) -> None:
    """One training as long as an active run's trainings together: `experiment` says of what."""
    if processes.agreed(experiment.workdir.checkpoint(0).exists()):
        return
    config = experiment.config
    if config.experiment == "adaptation_only":
        _warm_up_adversarially(experiment, _all_steps(config, config.warmup))
        return
    source_only = config.experiment == "source_only"
    examples = experiment.source.without_regions() if source_only else _purchased_with_warning(experiment, 0)
    if not len(examples):
        raise InputError(
            f"no label of the training images of '{config.target.dataset}' in '{config.target.dir}' is known "
            "(all are 255), so there is nothing to train on"
        )
    _train_supervised(
        experiment, 0, experiment.initial_weights(), _batches(experiment, examples, 0, "finetune"),
        _all_steps(config, config.finetune), "source only" if source_only else "target only",
    )  # fmt: skip


def _all_steps(config: Any, options: Any) -> Any:
    """A training's options with the steps of warm-up and all rounds together."""
    options = options.copy_and_resolve_references()
    options.steps = config.warmup.steps + config.acquisition.rounds * config.finetune.steps
    return options


def _take_over_warm_up(experiment: Experiment, checkpoint: Path) -> None:
    """Another run's warm-up: its segmenter and, where it lies beside that, its discriminator."""
    discriminator = checkpoint.parent / "discriminator"
    if discriminator.exists() and not experiment.workdir.discriminator().exists():
        shapes = experiment.discriminator().shapes
        _save(experiment.workdir.discriminator(), checkpoints.restore(discriminator, shapes))
    _save(experiment.workdir.checkpoint(0), experiment.load_weights(checkpoint).tree())


def _save(path: Path, tree: Any) -> None:
    """A checkpoint that all processes have when this returns."""
    processes.once(path, partial(checkpoints.save, path, tree))


def purchased(experiment: Experiment, number: int, first: int = 0) -> PurchasedLabels:
    """The target's images with the labels bought in the rounds from `first` up to and including `number`."""
    store = LabelStore(experiment.workdir.labels(n) for n in range(first, number + 1))
    return PurchasedLabels(experiment.target_images.without_regions(), store)


def _purchased_with_warning(experiment: Experiment, number: int) -> PurchasedLabels:
    """What is trained on, and a warning where the round's labels hold little of what was paid for."""
    bought = sum(p.pixels for p in experiment.workdir.purchases(number) if p.round == number)
    warning = tables.unknown_labels(number, bought, purchased(experiment, number, number).known_pixels)
    if warning:
        console.print(f"[bold yellow]warning:[/] {warning}", highlight=False, soft_wrap=True)
    return purchased(experiment, number)


def _mixed_batches(
    experiment: Experiment, source: Any, target: Any, number: int
) -> Callable[[int], Iterator]:
    """Batches of the shuffled union of D_S and D_T^L (the paper), or half of each in every batch.

    Of D_S alone where no bought label is known.
    """
    if not len(target):
        console.print("[bold yellow]warning:[/] no label is known: training on the source alone")
        return _batches(experiment, source, number, "finetune")
    if experiment.config.finetune.mixing == "union":
        return _batches(experiment, loader.concatenate([source, target]), number, "finetune")
    halves = [
        _batches(experiment, examples, number, purpose, share=2)
        for examples, purpose in ((source, "finetune source"), (target, "finetune target"))
    ]
    size = experiment.config.data.batch_size // 2
    return lambda start: loader.joined(*(half(start) for half in halves), size=size)


def _batches(
    experiment: Experiment, examples: Any, number: int, purpose: str, *, share: int = 1
) -> Callable[[int], Iterator]:
    """Training batches by the step to start from; `share` of the batch size each."""
    config = experiment.config
    batch_size = config.data.batch_size // share

    def start_at(step: int) -> Iterator[dict[str, np.ndarray]]:
        return loader.training_batches(
            examples, batch_size=batch_size, seed=experiment.seed(number, purpose),
            augment=config.training.augment, start_step=step, process_index=processes.index(),
            process_count=processes.count(), workers=config.training.workers, **experiment.size,
        )  # fmt: skip

    return start_at


def _train_supervised(
    experiment: Experiment, number: int, weights: Weights, batches: Callable[[int], Iterator], options: Any,
    description: str,
) -> None:  # fmt: skip
    initial_state, step = supervised_training(
        experiment.segmenter, experiment.config.optimizer.to_json(), options.learning_rate, options.steps,
        options.learning_rate_steps, experiment.config.training.accumulation,
    )  # fmt: skip
    state = initial_state(weights.params, weights.batch_stats)
    name = "warmup" if description == "warm-up" else "finetune"
    state = _run(experiment, number, name, step, state, batches, options.steps, description)
    _finish(experiment, number, Weights(state.params, state.batch_stats))


@cache
def supervised_training(
    segmenter: Segmenter, options: str, learning_rate: float, steps: int, increase_steps: int, parts: int
) -> tuple[Callable[..., Any], Any]:
    """What makes a state of (params, batch_stats), and the step: one for all rounds, so compiled once.

    `options` is `config.optimizer` as JSON; the rest as of `optimizers.segmenter_optimizer`.
    """
    optimizer = optimizers.segmenter_optimizer(
        json.loads(options), learning_rate=learning_rate, steps=steps, increase_steps=increase_steps
    )
    step = parallel.parallelize(supervised_step(segmenter.apply, optimizer, parts=parts))
    return partial(create_train_state, optimizer=optimizer), step


def adversarial_training(experiment: Experiment, options: Any) -> tuple[Callable[..., Any], Any]:
    """What makes a state of (params, batch_stats, discriminator's params), and the step.

    `options` is `config.warmup`, or with other steps.
    """
    config = experiment.config
    optimizer = optimizers.segmenter_optimizer(
        config.optimizer, learning_rate=options.learning_rate, steps=options.steps,
        increase_steps=options.learning_rate_steps,
    )  # fmt: skip
    discriminator_optimizer = optimizers.discriminator_optimizer(
        config.optimizer, learning_rate=options.discriminator_learning_rate, steps=options.steps
    )
    step = adversarial_step(
        experiment.segmenter.apply, experiment.discriminator().apply, optimizer, discriminator_optimizer,
        adversarial_weight=options.adversarial_weight, parts=config.training.accumulation,
    )  # fmt: skip

    def initial_state(params: Any, batch_stats: Any, discriminator: Any) -> AdversarialState:
        state = create_train_state(params, batch_stats, optimizer)
        return create_adversarial_state(state, discriminator, discriminator_optimizer)

    return initial_state, parallel.parallelize(step)


def _warm_up_adversarially(experiment: Experiment, options: Any) -> None:
    config = experiment.config
    initial_state, step = adversarial_training(experiment, options)
    weights = experiment.initial_weights()
    discriminator = experiment.discriminator().init(seed=experiment.seed(0, "discriminator"))
    state = initial_state(weights.params, weights.batch_stats, discriminator)
    source, target = (d.without_regions() for d in (experiment.source, experiment.target_images))

    def batches(start: int) -> Iterator[dict[str, np.ndarray]]:
        labelled = _batches(experiment, source, 0, "warmup")(start)
        unlabelled = _batches(experiment, target, 0, "warmup target")(start)
        for source_batch, target_batch in zip(labelled, unlabelled, strict=True):
            places = config.data.batch_size + target_batch["place"]
            yield {**source_batch, "target_image": target_batch["image"], "target_place": places}

    state = _run(experiment, 0, "warmup", step, state, batches, options.steps, "warm-up")
    weights = Weights(state.segmenter.params, state.segmenter.batch_stats)
    _finish(experiment, 0, weights, discriminator=state.discriminator)


def _run(
    experiment: Experiment, number: int, name: str, step: Any, state: Any, batches: Callable[[int], Iterator],
    steps: int, description: str,
) -> Any:  # fmt: skip
    """Trains from the newest checkpoint of this stage, if a killed run left one."""
    options = LoopOptions(
        description=description, steps=steps, log_every=experiment.config.training.log_every,
        checkpoint_every=experiment.config.training.checkpoint_every, seed=experiment.seed(number, name),
    )  # fmt: skip
    with checkpoints.Progress(experiment.workdir.training_progress(number)) as progress:
        start = processes.agreed(progress.latest_step())
        if start:
            state = progress.restore(start, state)
        experiment.metrics.rewind(number, name, start)
        return run_steps(
            step, state, batches(start), options, start=start,
            log=lambda done, values: experiment.metrics.write(round=number, stage=name, step=done, **values),
            save=progress.save if processes.is_writer() else lambda *_: None,
        )  # fmt: skip


def _finish(experiment: Experiment, number: int, weights: Weights, *, discriminator: Any = None) -> None:
    """The stage's output; after it the checkpoints on the way are of no more use."""
    if adapts_statistics(experiment.config):
        weights = _adapt_statistics(experiment, number, weights, "target")
    with experiment.stage(number, "checkpoint"):
        if discriminator is not None:
            _save(experiment.workdir.discriminator(), discriminator)
        _save(experiment.workdir.checkpoint(number), weights.tree())
    if processes.is_writer():
        checkpoints.Progress(experiment.workdir.training_progress(number)).clear()


def adapt_to_source(experiment: Experiment, number: int) -> None:
    """Makes the batch-norm statistics with which a round's model looks at the source, as far as it needs any.

    Batch norm is adapted to each domain by itself (AdaBN): the checkpoint has the target's statistics; those
    of the source are made by as many steps on source images.
    """
    path = experiment.workdir.source_statistics(number)
    if not adapts_statistics(experiment.config) or processes.agreed(path.exists()):
        return
    weights = experiment.load_weights(experiment.workdir.checkpoint(number))
    _save(path, _adapt_statistics(experiment, number, weights, "source").batch_stats)


def load_weights(experiment: Experiment, number: int, domain: str) -> Weights:
    """A round's model with the batch-norm statistics of a domain, "source" or "target".

    The source's are there once `adapt_to_source` made them; where nothing is adapted, both domains share the
    checkpoint's.
    """
    own = domain == "source" and adapts_statistics(experiment.config)
    statistics = experiment.workdir.source_statistics(number) if own else None
    return experiment.load_weights(experiment.workdir.checkpoint(number), statistics)


def adapts_statistics(config: config_dict.ConfigDict) -> bool:
    """Whether batch-norm statistics are made anew after training, which frozen batch norm has no need of."""
    return config.training.target_statistics_steps > 0 and not config.model.freeze_batch_norm


def _adapt_statistics(experiment: Experiment, number: int, weights: Weights, domain: str) -> Weights:
    """The batch-norm statistics of a domain's training images, "source" or "target"."""
    images = experiment.source_images if domain == "source" else experiment.target_images
    name = "statistics" if domain == "target" else "source_statistics"
    batches = _batches(experiment, images.without_regions(), number, name)(0)
    steps = experiment.config.training.target_statistics_steps
    options = LoopOptions(
        description=f"{domain} statistics", steps=steps, log_every=steps, checkpoint_every=steps,
        seed=experiment.seed(number, name),
    )  # fmt: skip
    step, state = _statistics(experiment.segmenter), (weights.params, weights.batch_stats)
    with experiment.stage(number, name):
        state = run_steps(step, state, batches, options, log=lambda *_: None, save=lambda *_: None)
    return Weights(*state)


@cache
def _statistics(segmenter: Segmenter) -> Any:
    return parallel.parallelize(statistics_step(segmenter.apply))
