"""The trainings of an experiment as stages: warm-up, fine-tuning, references, batch-norm statistics."""

import json
from collections.abc import Callable
from contextlib import closing
from functools import cache, partial
from pathlib import Path

import jax
from ml_collections import config_dict

from adeada_jax import processes
from adeada_jax.errors import InputError
from adeada_jax.models import Segmenter
from adeada_jax.run.costs import Cost, Survey
from adeada_jax.run.experiment import Experiment, Weights
from adeada_jax.run.runner import Alone, Stage, Together
from adeada_jax.run.training_batches import (
    Batches,
    adaptation_batches,
    batches_of,
    mixed_batches,
    purchased_with_warning,
    source_of_round,
    teacher_batches,
)
from adeada_jax.training import checkpoints, optimizers, parallel
from adeada_jax.training.adversarial import adversarial_step
from adeada_jax.training.loop import LoopOptions, run_steps
from adeada_jax.training.state import (
    AdversarialState,
    TeacherState,
    TrainState,
    create_adversarial_state,
    create_teacher_state,
    create_train_state,
)
from adeada_jax.training.statistics import statistics_step
from adeada_jax.training.step_types import S
from adeada_jax.training.supervised import supervised_step
from adeada_jax.training.teacher import teacher_step
from adeada_jax.types import PyTree

# The title of the progress bar of a training before the first round.
_DESCRIPTIONS = {"warmup": "warm-up", "finetune": "training"}


def warm_up(experiment: Experiment) -> Stage:
    """The model before any label is bought: AdaptSegNet or source only, or `warmup.checkpoint`'s.

    Without a source it is the network as it begins, from `model.pretrained` or random.
    """
    options = experiment.config.warmup
    if options.checkpoint:
        return _taken_over(experiment, Path(options.checkpoint))
    if experiment.source is None:
        return _untrained(experiment)
    if options.method == "adversarial":
        return adaptation(experiment, options, "warm-up, adversarial")
    return on_source(experiment, options, "warmup", "warm-up, source only")


def adaptation(experiment: Experiment, options: config_dict.ConfigDict, title: str) -> Stage:
    """Adversarial training on the source's labels and the target's images; leaves the discriminator, too."""
    workdir = experiment.workdir
    return _training(
        experiment,
        0,
        "warmup",
        title,
        options,
        partial(_train_adversarially, experiment, options),
        writes=(workdir.discriminator(), workdir.checkpoint(0)),
        kind="adversarial",
    )


def on_source(experiment: Experiment, options: config_dict.ConfigDict, name: str, title: str) -> Stage:
    """Supervised training on the source alone, from the first weights."""

    def train(start: int) -> tuple[Weights]:
        batches = batches_of(experiment, experiment.source, 0, name)
        return _train_supervised(experiment, 0, name, experiment.initial_weights(), batches, options, start)

    return _training(experiment, 0, name, title, options, train)


def on_bought_labels(experiment: Experiment, options: config_dict.ConfigDict) -> Stage:
    """Supervised training on the target's bought labels alone, from the first weights."""

    def train(start: int) -> tuple[Weights]:
        examples = purchased_with_warning(experiment, 0)
        if not len(examples):
            target = experiment.config.target
            raise InputError(
                f"no label of the training images of '{target.dataset}' in '{target.dir}' is known (all are "
                "255), so there is nothing to train on"
            )
        batches = batches_of(experiment, examples, 0, "finetune")
        weights = experiment.initial_weights()
        return _train_supervised(experiment, 0, "finetune", weights, batches, options, start)

    return _training(experiment, 0, "finetune", "target only", options, train)


def finetune(experiment: Experiment, number: int) -> Stage:
    """Tunes the model of the round before on D_S and D_T^L together.

    What is not bought is ignored, or with finetune.method='teacher' learned from by pseudo-labels.
    """
    options, workdir = experiment.config.finetune, experiment.workdir

    def train(start: int) -> tuple[Weights]:
        weights = experiment.load_weights(workdir.checkpoint(number - 1))
        if options.method == "teacher":
            return _train_with_teacher(experiment, number, weights, start)
        bought = purchased_with_warning(experiment, number)
        batches = mixed_batches(experiment, source_of_round(experiment, number), bought, number)
        return _train_supervised(experiment, number, "finetune", weights, batches, options, start)

    before: tuple[Path, ...] = (workdir.checkpoint(number - 1), workdir.answered(number))
    if experiment.source is not None and options.rare_class_sampling:
        before += (workdir.source_classes,)
    return _training(
        experiment, number, "finetune", "fine-tuning", options, train, reads=before, kind=options.method
    )


def all_steps(config: config_dict.ConfigDict, options: config_dict.ConfigDict) -> config_dict.ConfigDict:
    """A training's options with the steps of warm-up and all rounds together, as a reference has them."""
    options = options.copy_and_resolve_references()
    options.steps = config.warmup.steps + config.acquisition.rounds * config.finetune.steps
    return options


def adapts_statistics(config: config_dict.ConfigDict, segmenter: Segmenter) -> bool:
    """Whether batch-norm statistics are computed again after training, if they are trained."""
    return config.training.target_statistics_steps > 0 and segmenter.trains_batch_norm


def source_statistics(experiment: Experiment, number: int) -> Stage:
    """The batch-norm statistics with which a round's model looks at the source.

    Batch norm is adapted to each domain by itself (AdaBN): the checkpoint has the target's statistics; those
    of the source are made by as many steps on source images.
    """
    path, checkpoint = experiment.workdir.source_statistics(number), experiment.workdir.checkpoint(number)

    def make(_: int) -> PyTree:
        return _adapt_statistics(
            experiment, number, experiment.load_weights(checkpoint), "source"
        ).batch_stats

    return Stage(
        "source_statistics",
        number,
        Together(make, partial(checkpoints.save, path)),
        reads=(checkpoint,),
        writes=(path,),
        cost=Cost(files=lambda survey: {path: survey.statistics_bytes}),
        timed=False,
    )


def load_weights(experiment: Experiment, number: int, domain: str) -> Weights:
    """A round's model with the batch-norm statistics of a domain, "source" or "target".

    The source's are there once `source_statistics` made them; where nothing is adapted, both domains share
    the checkpoint's.
    """
    own = domain == "source" and adapts_statistics(experiment.config, experiment.segmenter)
    statistics = experiment.workdir.source_statistics(number) if own else None
    return experiment.load_weights(experiment.workdir.checkpoint(number), statistics)


def _taken_over(experiment: Experiment, checkpoint: Path) -> Stage:
    """Another run's warm-up: its segmenter and, where it lies beside that, its discriminator."""
    workdir, discriminator = experiment.workdir, checkpoint.parent / "discriminator"
    writes: tuple[Path, ...] = (workdir.checkpoint(0),)
    if discriminator.exists():
        writes = (workdir.discriminator(), *writes)

    def make() -> None:
        if discriminator.exists():
            shapes = experiment.discriminator().shapes
            checkpoints.save(workdir.discriminator(), checkpoints.restore(discriminator, shapes))
        checkpoints.save(workdir.checkpoint(0), experiment.load_weights(checkpoint).tree())

    def files(survey: Survey) -> dict[Path, int]:
        sizes = {workdir.checkpoint(0): survey.weights_bytes}
        return sizes | {path: survey.discriminator_bytes for path in writes if path not in sizes}

    return Stage("warmup", 0, Alone(make), writes=writes, cost=Cost(files=files))


def _untrained(experiment: Experiment) -> Stage:
    """The first weights as the warm-up's checkpoint."""
    path = experiment.workdir.checkpoint(0)

    def make(_: int) -> PyTree:
        return _adapted_to_target(experiment, 0, experiment.initial_weights()).tree()

    return Stage(
        "warmup",
        0,
        Together(make, partial(checkpoints.save, path)),
        writes=(path,),
        cost=Cost(files=lambda survey: {path: survey.weights_bytes}),
    )


def _training(
    experiment: Experiment,
    number: int,
    name: str,
    title: str,
    options: config_dict.ConfigDict,
    train: Callable[[int], tuple[Weights] | tuple[Weights, PyTree]],
    *,
    reads: tuple[Path, ...] = (),
    writes: tuple[Path, ...] | None = None,
    kind: str = "supervised",
) -> Stage:
    """A stage that trains to a checkpoint; `train` gives weights and perhaps a discriminator."""
    workdir = experiment.workdir
    progress = workdir.training_progress(number)

    def write(weights: Weights, discriminator: PyTree | None = None) -> None:
        with experiment.stage(number, "checkpoint"):
            if discriminator is not None:
                checkpoints.save(workdir.discriminator(), discriminator)
            checkpoints.save(workdir.checkpoint(number), weights.tree())

    writes = writes or (workdir.checkpoint(number),)

    def files(survey: Survey) -> dict[Path, int]:
        sizes = {workdir.checkpoint(number): survey.weights_bytes}
        return sizes | {path: survey.discriminator_bytes for path in writes if path not in sizes}

    return Stage(
        name,
        number,
        Together(train, lambda result: write(*result), checkpoints.Progress(progress).latest_step),
        reads=reads,
        writes=writes,
        temporary=(progress,),
        timed=False,
        cost=Cost(title=title, steps=options.steps, kind=kind, files=files),
    )


def _train_supervised(
    experiment: Experiment,
    number: int,
    name: str,
    weights: Weights,
    batches: Batches,
    options: config_dict.ConfigDict,
    start: int,
) -> tuple[Weights]:
    initial_state, step = supervised_training(
        experiment.segmenter,
        experiment.config.optimizer.to_json(),
        options.learning_rate,
        options.steps,
        options.learning_rate_steps,
        experiment.config.training.accumulation,
    )
    state = initial_state(weights.params, weights.batch_stats)
    state = _run(experiment, number, name, step, state, batches, options.steps, start)
    return (_adapted_to_target(experiment, number, Weights(state.params, state.batch_stats)),)


@cache
def supervised_training(
    segmenter: Segmenter, options: str, learning_rate: float, steps: int, warmup_steps: int, parts: int
) -> tuple[Callable[[PyTree, PyTree], TrainState], jax.stages.Wrapped]:
    """What makes a state of (params, batch_stats), and the step: one for all rounds, so compiled once.

    `options` is `config.optimizer` as JSON; the rest as of `optimizers.segmenter_optimizer`.
    """
    optimizer = optimizers.segmenter_optimizer(
        segmenter, json.loads(options), learning_rate=learning_rate, steps=steps, warmup_steps=warmup_steps
    )
    step = parallel.parallelize(supervised_step(segmenter.apply, optimizer, parts=parts))
    return partial(create_train_state, optimizer=optimizer), step


def _train_with_teacher(experiment: Experiment, number: int, weights: Weights, start: int) -> tuple[Weights]:
    """Fine-tuning that learns from all of the pool; leaves the student or the teacher."""
    options = experiment.config.finetune
    initial_state, step = teacher_training(experiment)
    state = initial_state(weights.params, weights.batch_stats)
    batches = teacher_batches(experiment, number)
    state = _run(experiment, number, "finetune", step, state, batches, options.steps, start)
    kept = state.teacher if options.keep == "teacher" else (state.student.params, state.student.batch_stats)
    return (_adapted_to_target(experiment, number, Weights(*kept)),)


def teacher_training(
    experiment: Experiment,
) -> tuple[Callable[[PyTree, PyTree], TeacherState], jax.stages.Wrapped]:
    """What makes a state of (params, batch_stats), and the step: one for all rounds."""
    config = experiment.config
    return _teacher_training(
        experiment.segmenter,
        config.optimizer.to_json(),
        config.finetune.to_json(),
        config.training.accumulation,
    )


@cache
def _teacher_training(
    segmenter: Segmenter, optimizer_options: str, finetune_options: str, parts: int
) -> tuple[Callable[[PyTree, PyTree], TeacherState], jax.stages.Wrapped]:
    """The same, from `config.optimizer` and `config.finetune` as JSON."""
    options = json.loads(finetune_options)
    optimizer = optimizers.segmenter_optimizer(
        segmenter,
        json.loads(optimizer_options),
        learning_rate=options["learning_rate"],
        steps=options["steps"],
        warmup_steps=options["learning_rate_steps"],
    )
    step = teacher_step(
        segmenter.apply,
        optimizer,
        decay=options["teacher_decay"],
        threshold=options["pseudo_threshold"],
        parts=parts,
    )

    def initial_state(params: PyTree, batch_stats: PyTree) -> TeacherState:
        return create_teacher_state(create_train_state(params, batch_stats, optimizer))

    return initial_state, parallel.parallelize(step)


def adversarial_training(
    experiment: Experiment, options: config_dict.ConfigDict
) -> tuple[Callable[[PyTree, PyTree, PyTree], AdversarialState], jax.stages.Wrapped]:
    """What makes a state of (params, batch_stats, discriminator's params), and the step.

    `options` is `config.warmup`, or with other steps.
    """
    config = experiment.config
    optimizer = optimizers.segmenter_optimizer(
        experiment.segmenter,
        config.optimizer,
        learning_rate=options.learning_rate,
        steps=options.steps,
        warmup_steps=options.learning_rate_steps,
    )
    discriminator_optimizer = optimizers.discriminator_optimizer(
        config.optimizer, learning_rate=options.discriminator_learning_rate, steps=options.steps
    )
    step = adversarial_step(
        experiment.segmenter.apply,
        experiment.discriminator().apply,
        optimizer,
        discriminator_optimizer,
        adversarial_weight=options.adversarial_weight,
        parts=config.training.accumulation,
    )

    def initial_state(params: PyTree, batch_stats: PyTree, discriminator: PyTree) -> AdversarialState:
        state = create_train_state(params, batch_stats, optimizer)
        return create_adversarial_state(state, discriminator, discriminator_optimizer)

    return initial_state, parallel.parallelize(step)


def _train_adversarially(
    experiment: Experiment, options: config_dict.ConfigDict, start: int
) -> tuple[Weights, PyTree]:
    initial_state, step = adversarial_training(experiment, options)
    weights = experiment.initial_weights()
    discriminator = experiment.discriminator().init(seed=experiment.seed(0, "discriminator"))
    state = initial_state(weights.params, weights.batch_stats, discriminator)
    batches = partial(adaptation_batches, experiment)
    state = _run(experiment, 0, "warmup", step, state, batches, options.steps, start)
    weights = Weights(state.segmenter.params, state.segmenter.batch_stats)
    return _adapted_to_target(experiment, 0, weights), state.discriminator


def _run(
    experiment: Experiment,
    number: int,
    name: str,
    step: jax.stages.Wrapped,
    state: S,
    batches: Batches,
    steps: int,
    start: int,
) -> S:
    """Trains from the newest checkpoint of this stage, if a killed run left one."""
    options = LoopOptions(
        description=f"round {number}: fine-tuning" if number else _DESCRIPTIONS[name],
        steps=steps,
        log_every=experiment.config.training.log_every,
        checkpoint_every=experiment.config.training.checkpoint_every,
        seed=experiment.seed(number, name),
    )
    directory = experiment.workdir.training_progress(number)
    with checkpoints.Progress(directory) as progress, closing(batches(start)) as stream:
        if start:
            state = progress.restore(start, state)
        experiment.metrics.rewind(number, name, start)
        return run_steps(
            step,
            state,
            stream,
            options,
            start=start,
            log=lambda done, values: experiment.metrics.write(round=number, stage=name, step=done, **values),
            save=progress.save if processes.is_writer() else lambda *_: None,
        )


def _adapted_to_target(experiment: Experiment, number: int, weights: Weights) -> Weights:
    if not adapts_statistics(experiment.config, experiment.segmenter):
        return weights
    return _adapt_statistics(experiment, number, weights, "target")


def _adapt_statistics(experiment: Experiment, number: int, weights: Weights, domain: str) -> Weights:
    """The batch-norm statistics of a domain's training images, "source" or "target"."""
    images = experiment.source_images if domain == "source" else experiment.target_images
    name = "statistics" if domain == "target" else "source_statistics"
    batches = batches_of(experiment, images, number, name)
    steps = experiment.config.training.target_statistics_steps
    options = LoopOptions(
        description=f"{domain} statistics",
        steps=steps,
        log_every=steps,
        checkpoint_every=steps,
        seed=experiment.seed(number, name),
    )
    step, state = _statistics(experiment.segmenter), (weights.params, weights.batch_stats)
    with experiment.stage(number, name), closing(batches(0)) as stream:
        state = run_steps(step, state, stream, options, log=lambda *_: None, save=lambda *_: None)
    return Weights(*state)


@cache
def _statistics(segmenter: Segmenter) -> jax.stages.Wrapped:
    return parallel.parallelize(statistics_step(segmenter.apply))
