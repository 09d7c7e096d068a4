"""How long a run takes on the present devices, estimated from a few steps of each kind.

They start from random weights and are dropped: nothing is written.
"""

import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass

import jax
import numpy as np

from adeada_jax.data.loader import Batches
from adeada_jax.data.subset import Subset
from adeada_jax.partitions.store import DividedImages
from adeada_jax.run import inference, training_batches, trainings
from adeada_jax.run.experiment import Experiment
from adeada_jax.run.forecast import Plan, Training, region_map
from adeada_jax.telemetry import console
from adeada_jax.training import parallel
from adeada_jax.types import IGNORE_LABEL, Example, PyTree

_STEPS = 5  # timed steps, after the one that compiles
_IMAGES = 4  # different images that inference is timed on

_clock = time.perf_counter


@dataclass(frozen=True)
class StepTime:
    """What a training step takes, in seconds; devices and host work at the same time.

    Attributes:
      devices: of the step itself, the median of a few.
      images: until the host has made the next batch, the mean of a few.
    """

    devices: float
    images: float

    @property
    def seconds(self) -> float:
        return max(self.devices, self.images)


@dataclass(frozen=True)
class Times:
    """What was timed.

    Attributes:
      steps: of training, by their kind as of `costs.Cost`; those that the plan has.
      image: seconds that one takes in inference; 0 where the plan has none.
    """

    steps: Mapping[str, StepTime]
    image: float

    def of(self, training: Training) -> StepTime:
        return self.steps[training.kind]

    def hours(self, plan: Plan) -> float:
        """Hours of all trainings and inference."""
        steps = sum(one.times * one.steps * self.of(one).seconds for one in plan.trainings)
        return (steps + plan.passes * self.image) / 3600

    def hours_left(self, plan: Plan) -> float:
        """Hours of what is still to be done; a training that has begun counts in full."""
        steps = sum(one.left * one.steps * self.of(one).seconds for one in plan.trainings)
        return (steps + plan.passes_left * self.image) / 3600


def time_steps(experiment: Experiment, plan: Plan) -> Times:
    """Compiles and times what the plan has; of a partition not made yet, a few images are divided for it."""
    of_kind = {"supervised": _supervised, "adversarial": _adversarial, "teacher": _with_teacher}
    steps = {kind: of_kind[kind](experiment) for kind in sorted({one.kind for one in plan.trainings})}
    return Times(steps, _inference(experiment) if plan.inferred else 0.0)


def _supervised(experiment: Experiment) -> StepTime:
    """Of fine-tuning, on images of one domain alone: of the target's no labels are known beforehand."""
    options = experiment.config.finetune
    initial_state, step = trainings.supervised_training(
        experiment.segmenter,
        experiment.config.optimizer.to_json(),
        options.learning_rate,
        options.steps,
        options.learning_rate_steps,
        experiment.config.training.accumulation,
    )
    state = initial_state(*experiment.segmenter.init(seed=0))
    return _time(experiment, step, state, _labelled_batches(experiment))


def _with_teacher(experiment: Experiment) -> StepTime:
    """The same, with as many target images in each batch, none of them bought."""
    initial_state, step = trainings.teacher_training(experiment)
    state = initial_state(*experiment.segmenter.init(seed=0))
    target = _target_batches_of(experiment, IGNORE_LABEL)
    batch_size = experiment.config.data.batch_size
    batches = training_batches.with_target(_labelled_batches(experiment), target, batch_size)
    return _time(experiment, step, state, batches)


def _labelled_batches(experiment: Experiment) -> Batches:
    """The source's, or without one the target's, all of one class: a step takes as long with any labels."""
    if experiment.source is None:
        return _target_batches_of(experiment, 0)
    return training_batches.source_batches(experiment, 0)


def _target_batches_of(experiment: Experiment, label: int) -> Batches:
    """The target's images with the same label everywhere."""
    with closing(training_batches.target_batches(experiment, 0)) as stream:
        for batch in stream:
            yield {**batch, "label": np.full(batch["image"].shape[:3], label, np.uint8)}


def _adversarial(experiment: Experiment) -> StepTime:
    initial_state, step = trainings.adversarial_training(experiment, experiment.config.warmup)
    weights = experiment.segmenter.init(seed=0)
    state = initial_state(*weights, experiment.discriminator().init(seed=0))
    return _time(experiment, step, state, training_batches.adaptation_batches(experiment, 0))


def _time(experiment: Experiment, step: jax.stages.Wrapped, state: PyTree, batches: Batches) -> StepTime:
    ready = 2 * experiment.config.training.workers  # batches that workers have prepared in advance
    count = max(_STEPS, ready)
    with closing(batches) as stream:
        for _ in range(1 + ready):
            next(stream)
        begun = _clock()
        for _ in range(count):
            batch = next(stream)
        images = (_clock() - begun) / count
    return StepTime(_seconds_of_a_step(step, parallel.replicate(state), batch), images)


def _seconds_of_a_step(step: jax.stages.Wrapped, state: PyTree, batch: dict[str, np.ndarray]) -> float:
    seconds = []
    for number in range(1 + _STEPS):
        begun = _clock()
        state, _ = jax.block_until_ready(step(state, parallel.shard(batch), jax.random.key(number)))
        seconds.append(_clock() - begun)
    return float(np.median(seconds[1:]))


class _Mapped:
    """Images read anew each time, as a run does, with region maps that need not lie on the disk."""

    def __init__(self, divided: DividedImages, indices: list[int]):
        self._images, self.names = divided.images, divided.names
        self._maps = {i: region_map(divided, i) for i in indices}

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> Example:
        return {**self._images[index], "regions": self._maps[index]}


def _inference(experiment: Experiment) -> float:
    """Seconds an image in inference on the target's regions: reading it, the network, its regions' sums."""
    config, divided = experiment.config, experiment.divided["target"]
    (size, _), *_ = Counter(divided.images.sizes).most_common(1)
    indices = [i for i, other in enumerate(divided.images.sizes) if other == size][:_IMAGES]
    count = max(_IMAGES, 2 * parallel.whole_batch(config.inference.batch_size))
    images = Subset(_Mapped(divided, indices), [indices[i % len(indices)] for i in range(count)])
    ingredients = experiment.needed("OfModel")
    params, batch_stats = parallel.replicate(experiment.segmenter.init(seed=0))
    discriminator = None
    if any(ingredient.discriminator for ingredient in ingredients):
        network = experiment.discriminator()
        discriminator = network, parallel.replicate(network.init(seed=0))
    with _silence():
        for _ in range(2):  # The first one compiles.
            begun = _clock()
            inference.infer_regions(
                experiment.segmenter,
                params,
                batch_stats,
                images,
                **experiment.size,
                batch_size=config.inference.batch_size,
                ingredients=ingredients,
                discriminator=discriminator,
            )
    return (_clock() - begun) / count


@contextmanager
def _silence() -> Iterator[None]:
    """Turns progress bars off meanwhile."""
    before, console.quiet = console.quiet, True
    try:
        yield
    finally:
        console.quiet = before
