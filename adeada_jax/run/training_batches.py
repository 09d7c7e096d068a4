"""What each training sees: its batches, and the labels that are known so far."""

from collections.abc import Callable, Iterator

import numpy as np

from adeada_jax import processes
from adeada_jax.annotators.bought_labels import LabelStore, PoolLabels, PurchasedLabels
from adeada_jax.data import loader
from adeada_jax.data.rare_classes import RareClassImages
from adeada_jax.errors import InputError
from adeada_jax.evaluation import tables
from adeada_jax.run import source_classes
from adeada_jax.run.experiment import Experiment
from adeada_jax.run.workdir import Workdir
from adeada_jax.telemetry import console

Batches = Callable[[int], loader.Batches]  # called with the step to start from


def purchased(experiment: Experiment, number: int, first: int = 0) -> PurchasedLabels:
    """The target's images with the labels bought in the rounds from `first` up to and including `number`."""
    return PurchasedLabels(
        experiment.target_images,
        label_store(experiment.workdir, number, first),
        experiment.config.num_classes,
    )


def label_store(workdir: Workdir, number: int, first: int = 0) -> LabelStore:
    """The labels of the rounds from `first` up to and including `number`, as they were known then.

    Those that the target had before the first round, and those that were given beyond what was asked, count
    where nothing was asked.
    """
    numbers = range(first, number + 1)
    amended = [workdir.amended(n) for n in numbers]
    directories = [path for n in numbers for path in (workdir.amended(n), workdir.labels(n))]
    known = [workdir.known] if first == 0 else []
    return LabelStore(directories, amended, [*(workdir.extra(n) for n in reversed(numbers)), *known])


def purchased_with_warning(experiment: Experiment, number: int) -> PurchasedLabels:
    """What is trained on, and a warning where the round's labels hold little of what was paid for."""
    bought = sum(p.pixels for p in experiment.workdir.purchases(number) if p.round == number)
    labels = LabelStore([experiment.workdir.labels(number)])
    own = PurchasedLabels(experiment.target_images, labels, experiment.config.num_classes)
    warning = tables.unknown_labels(number, bought, own.known_pixels)
    if warning:
        console.print(f"[bold yellow]warning:[/] {warning}", highlight=False, soft_wrap=True)
    return purchased(experiment, number)


def mixed_batches(
    experiment: Experiment, source: loader.Source | None, target: loader.Source, number: int
) -> Batches:
    """Batches of the shuffled union of D_S and D_T^L (the paper), or half of each in every batch.

    D_S alone if no bought label is known, D_T^L alone if there is no source.

    Raises:
      InputError: there is neither.
    """
    if source is None and not len(target):
        raise InputError(
            f"round {number}: no label is known and there is no source, so there is nothing to train on; "
            "label some of what is asked for"
        )
    if source is None:
        return batches_of(experiment, target, number, "finetune")
    if not len(target):
        console.print("[bold yellow]warning:[/] no label is known: training on the source alone")
        return batches_of(experiment, source, number, "finetune")
    if experiment.config.finetune.mixing == "union":
        return batches_of(experiment, loader.concatenate([source, target]), number, "finetune")
    return _halves(experiment, number, (source, "finetune source"), (target, "finetune target"))


def _halves(experiment: Experiment, number: int, *parts: tuple[loader.Source, str]) -> Batches:
    """Batches of which half comes from each of two sources, each drawn for its purpose."""
    halves = [batches_of(experiment, examples, number, purpose, share=2) for examples, purpose in parts]
    size = experiment.config.data.batch_size // 2
    return lambda start: loader.joined(*(half(start) for half in halves), size=size)


def teacher_batches(experiment: Experiment, number: int) -> Batches:
    """Those of `mixed_batches`, each with as many pool images and their known labels.

    Where a batch has halves, so has that of the pool: then the same images meet however many processes there
    are.
    """
    bought, config = purchased_with_warning(experiment, number), experiment.config
    labelled = mixed_batches(experiment, source_of_round(experiment, number), bought, number)
    pool = _pool_labels(experiment, bought, number)
    if config.finetune.mixing == "half" and experiment.source is not None and len(bought):
        target = _halves(experiment, number, (pool, "finetune pool"), (pool, "finetune pool, second half"))
    else:
        target = batches_of(experiment, pool, number, "finetune pool")
    return lambda start: with_target(labelled(start), target(start), config.data.batch_size)


def with_target(
    labelled: Iterator[dict[str, np.ndarray]], target: Iterator[dict[str, np.ndarray]], batch_size: int
) -> loader.Batches:
    """Batches of `batch_size` images over all processes, each with as many of the target's."""
    for one, other in zip(labelled, target, strict=True):
        other = {**other, "place": batch_size + other["place"]}
        yield {**one, **{f"target_{key}": value for key, value in other.items()}}


def _pool_labels(experiment: Experiment, bought: PurchasedLabels, number: int) -> PoolLabels:
    regions: dict[str, list[int]] = {}
    for purchase in experiment.workdir.purchases(number):
        regions.setdefault(purchase.image, []).append(purchase.region)
    return PoolLabels(bought, experiment.divided["target"], regions)


def source_of_round(experiment: Experiment, number: int) -> loader.Source | None:
    """D_S, or as many of its images with rare ones more often (`finetune.rare_class_sampling`)."""
    temperature = experiment.config.finetune.rare_class_sampling
    if experiment.source is None or not temperature:
        return experiment.source
    shares = source_classes.load(experiment)
    seed = experiment.seed(number, "rare classes")
    return RareClassImages(experiment.source, shares, temperature=temperature, seed=seed)


def batches_of(
    experiment: Experiment, examples: loader.Source | None, number: int, purpose: str, *, share: int = 1
) -> Batches:
    """Training batches by the step to start from; `share` of the batch size each."""
    assert examples is not None  # a run without a source has no stage that asks for it
    config = experiment.config
    return lambda step: loader.training_batches(
        examples,
        batch_size=config.data.batch_size // share,
        seed=experiment.seed(number, purpose),
        augment=config.training.augment,
        start_step=step,
        process_index=processes.index(),
        process_count=processes.count(),
        workers=config.training.workers,
        **experiment.size,
    )


def source_batches(experiment: Experiment, start: int) -> loader.Batches:
    """The warm-up's batches of the source, from step `start` on."""
    return batches_of(experiment, experiment.source, 0, "warmup")(start)


def target_batches(experiment: Experiment, start: int) -> loader.Batches:
    """The warm-up's batches of the target, without labels, from step `start` on."""
    return batches_of(experiment, experiment.target_images, 0, "warmup target")(start)


def adaptation_batches(experiment: Experiment, start: int) -> loader.Batches:
    """Those of the source, each with as many of the target's images."""
    labelled, target = source_batches(experiment, start), target_batches(experiment, start)
    return with_target(labelled, target, experiment.config.data.batch_size)
