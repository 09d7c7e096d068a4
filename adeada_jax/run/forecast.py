"""What a run will do, worked out beforehand: images, regions, steps, their cost, the files it will write."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from adeada_jax.data.sources import Images
from adeada_jax.models import Segmentation
from adeada_jax.partitions.store import DividedImages
from adeada_jax.run import inference, recipe, trainings
from adeada_jax.run.costs import Survey
from adeada_jax.run.experiment import Experiment, Weights
from adeada_jax.run.region_file import load_regions
from adeada_jax.run.runner import Stage
from adeada_jax.training.step_cost import StepCost, step_cost, tree_bytes
from adeada_jax.types import PyTree

# Images of a split that are decoded to estimate what all of them hold.
SAMPLE = 12

_REPORT_BYTES = 20_000_000  # at most, for the report, losses and TensorBoard files


@dataclass(frozen=True)
class Split:
    """What a split of a data set holds.

    Attributes:
      images: their number.
      sizes: their (height, width), the most frequent first.
      looked_at: images that were decoded; all, or as many as tell the rest apart.
      regions: their number; estimated from the images looked at, unless those are all.
        0 where none are needed.
      pixels: their number.
      smallest: of the smallest region that was seen, in pixels.
    """

    images: int
    sizes: tuple[tuple[int, int], ...]
    looked_at: int
    regions: int
    pixels: int
    smallest: int

    @property
    def exact(self) -> bool:
        return self.looked_at == self.images


@dataclass(frozen=True)
class Training:
    """A stage of training.

    Attributes:
      name: what it is called.
      times: how often it is done.
      left: how often it is still to be done.
      steps: each time.
      examples: images that it sees, in all.
      kind: of its steps, as of `costs.Cost`.
      cost: of a step; None where it was not worked out.
    """

    name: str
    times: int
    left: int
    steps: int
    examples: int
    kind: str
    cost: StepCost | None


@dataclass(frozen=True)
class Written:
    """What a run leaves, or holds for a while: the path in its directory, how many, and bytes in all."""

    path: str
    count: int
    bytes: int


@dataclass(frozen=True)
class Plan:
    """What is known of a run beforehand; --dry_run shows it.

    Attributes:
      splits: "source", "target pool" (whose labels can be bought) and "evaluation".
      budget: pixels a round; 0 where none are bought.
      rounds: rounds of bought labels.
      asked: regions whose labels are bought in all rounds, or for a reference, at least about.
      sample: regions to evaluate on; 0 where none are asked for.
      parameters: of the segmenter.
      discriminator_parameters: of the warm-up's discriminator; 0 where there is none.
      trainings: in their order.
      forward: cost of inference on one batch; None where it was not worked out.
      inferred: images that go through the network for regions and evaluations, in all.
      passes: of whole images that this takes, in all; more where evaluations use windows or mirror images.
      passes_left: those of them that are still to be made.
      files: that the run writes; those that are gone at its end too.
      missing: bytes of them that are still to be written.
      partitions: region maps that are to be made first, by the directory where they will lie.
    """

    splits: dict[str, Split]
    budget: int
    rounds: int
    asked: int
    sample: int
    parameters: int
    discriminator_parameters: int
    trainings: tuple[Training, ...]
    forward: StepCost | None
    inferred: int
    passes: float
    passes_left: float
    files: tuple[Written, ...]
    missing: int
    partitions: tuple[Written, ...]

    @property
    def bytes(self) -> int:
        """All that is written."""
        return sum(file.bytes for file in self.files)

    @property
    def regions_a_round(self) -> float:
        """About; 0 where none are bought in rounds."""
        target = self.splits["target pool"]
        return self.budget / (target.pixels / target.regions)


def make_plan(experiment: Experiment, *, whole: bool = True) -> Plan:
    """Plans a run from its list of stages; decodes a few images of each split and compiles nothing.

    Args:
      experiment: the run.
      whole: whether to work out also what a start does not need: FLOPs, and the costs of inference and of
        trainings that are done. It takes seconds.
    """
    config, stages = experiment.config, recipe.stages(experiment)
    splits = {
        "target pool": _pool_survey(experiment),
    }
    if experiment.source:
        splits = {"source": survey(experiment.source, experiment.divided.get("source")), **splits}
    if experiment.validation:
        splits["evaluation"] = survey(experiment.validation, experiment.sampled)
    target, rounds = splits["target pool"], recipe.rounds(stages)
    trainings = tuple(_trainings(experiment, stages, whole))
    adversarial = any(stage.cost.kind == "adversarial" for stage in stages)
    sizes = _survey(experiment, splits)
    plan = Plan(
        splits=splits,
        budget=int(config.acquisition.budget * target.pixels) if rounds else 0,
        rounds=rounds,
        asked=0,
        sample=min(config.evaluation.regions, splits["evaluation"].regions) if experiment.sampled else 0,
        parameters=_count(experiment.segmenter.shapes[0]),
        discriminator_parameters=_count(experiment.discriminator().shapes) if adversarial else 0,
        trainings=trainings,
        forward=forward_cost(experiment) if whole else None,
        inferred=sum(stage.cost.images for stage in stages),
        passes=sum(stage.cost.images * stage.cost.work for stage in stages),
        passes_left=sum(stage.cost.images * stage.cost.work for stage in stages if not stage.finished),
        files=tuple(_files(experiment, stages, trainings, sizes)),
        missing=_missing(experiment, stages, trainings, sizes),
        partitions=tuple(_partitions(stages, sizes)),
    )
    if any(stage.name == "labels" for stage in stages):
        bought = plan.rounds * plan.regions_a_round if plan.rounds else target.regions
        plan = replace(plan, asked=min(round(bought), target.regions))
    return plan


def survey(images: Images, divided: DividedImages | None = None, *, sample: int = SAMPLE) -> Split:
    """Looks at images spread evenly over a split; labels, where the split gives them, are checked by that.

    Args:
      images: the split.
      divided: the same with regions, where they are needed; those looked at are divided here, if need be.
      sample: images to look at.

    Raises:
      InputError: one of them cannot be read or divided.
    """
    chosen = [
        int(i) for i in np.unique(np.linspace(0, len(images) - 1, min(sample, len(images))).astype(int))
    ]
    for i in chosen:
        images[i]
    prices = np.concatenate([np.zeros(0, int), *(_prices(divided, i) for i in chosen if divided is not None)])
    shapes = Counter(images.sizes)
    return Split(
        images=len(images),
        sizes=tuple(sorted(shapes, key=lambda size: (-shapes[size], size))),
        looked_at=len(chosen),
        regions=round(len(images) / len(chosen) * len(prices)),
        pixels=sum(height * width for height, width in images.sizes),
        smallest=int(prices.min(initial=0 if divided is None else 2**62)),
    )


def _prices(divided: DividedImages, index: int) -> np.ndarray:
    """Pixels of an image's regions."""
    counts = np.bincount(region_map(divided, index).ravel())
    return counts[counts > 0]


def region_map(divided: DividedImages, index: int) -> np.ndarray:
    """An image's region map; made now, and not kept, where the split is not divided yet."""
    return divided.regions(index) if divided.complete else divided.divide(index)["regions"]


def _pool_survey(experiment: Experiment) -> Split:
    """The target's training split, from the pool that an earlier start has listed, if there is one."""
    looked = survey(experiment.target_images, experiment.divided["target"])
    if not experiment.workdir.pool.exists() or not experiment.workdir.is_of(experiment.data):
        return looked
    pool = load_regions(experiment.workdir.pool)
    return Split(
        looked.images,
        looked.sizes,
        looked.images,
        len(pool.region),
        pool.total_pixels,
        int(pool.pixels.min()),
    )


def _trainings(experiment: Experiment, stages: Sequence[Stage], whole: bool) -> Iterator[Training]:
    """The stages that train, those of one title together; `whole` as of `make_plan`."""
    training = [stage for stage in stages if stage.cost.steps]
    titles = Counter(stage.cost.title for stage in training)
    left = Counter(stage.cost.title for stage in training if not stage.finished)
    costs = {stage.cost.title: stage.cost for stage in stages}
    for title, times in titles.items():
        steps, kind = costs[title].steps, costs[title].kind
        examples = times * steps * experiment.config.data.batch_size
        cost = _cost(experiment, STEP_COSTS[kind], whole) if whole or left[title] else None
        yield Training(title, times, left[title], steps, examples, kind, cost)


def _cost(experiment: Experiment, step_of: Callable[..., StepCost], flops: bool) -> StepCost:
    """The cost of a kind of step; XLA counts a loop over parts once, so FLOPs are those of a single part."""
    parts = experiment.config.training.accumulation
    cost = step_of(experiment, flops=flops and parts == 1)
    if parts == 1 or not flops:
        return cost
    config = experiment.config.copy_and_resolve_references()
    config.training.accumulation = 1
    return replace(cost, flops=step_of(replace(experiment, config=config)).flops)


def supervised_cost(experiment: Experiment, *, flops: bool = True) -> StepCost:
    """The cost of a step of fine-tuning or of a reference; `flops` as in `step_cost`."""
    options = experiment.config.finetune
    initial_state, step = trainings.supervised_training(
        experiment.segmenter,
        experiment.config.optimizer.to_json(),
        options.learning_rate,
        options.steps,
        options.learning_rate_steps,
        experiment.config.training.accumulation,
    )
    state = jax.eval_shape(initial_state, *experiment.segmenter.shapes)
    return step_cost(step, state, _batch(experiment, "image", "label", "place"), _key(), flops=flops)


def adversarial_cost(experiment: Experiment, *, flops: bool = True) -> StepCost:
    """The cost of a warm-up step with discriminator; `flops` as in `step_cost`."""
    initial_state, step = trainings.adversarial_training(experiment, experiment.config.warmup)
    state = jax.eval_shape(initial_state, *experiment.segmenter.shapes, experiment.discriminator().shapes)
    batch = _batch(experiment, "image", "label", "place", "target_image", "target_place")
    return step_cost(step, state, batch, _key(), flops=flops)


def teacher_cost(experiment: Experiment, *, flops: bool = True) -> StepCost:
    """The cost of a fine-tuning step with a teacher; `flops` as in `step_cost`."""
    initial_state, step = trainings.teacher_training(experiment)
    state = jax.eval_shape(initial_state, *experiment.segmenter.shapes)
    names = ("image", "label", "place")
    batch = _batch(experiment, *names, *(f"target_{name}" for name in names))
    return step_cost(step, state, batch, _key(), flops=flops)


# By kind of step, see `costs.Cost`.
STEP_COSTS: dict[str, Callable[..., StepCost]] = {
    "supervised": supervised_cost,
    "adversarial": adversarial_cost,
    "teacher": teacher_cost,
}


def forward_cost(experiment: Experiment) -> StepCost:
    """The cost of a forward pass of an inference batch."""
    size = experiment.config.inference.batch_size, experiment.config.data.height, experiment.config.data.width
    segmenter = experiment.segmenter

    def forward(weights: tuple[PyTree, PyTree], images: jax.Array) -> Segmentation:
        return segmenter.apply(*weights, images, train=False)[0]

    return step_cost(jax.jit(forward), segmenter.shapes, jax.ShapeDtypeStruct((*size, 3), jnp.float32))


def _batch(experiment: Experiment, *keys: str) -> dict[str, jax.ShapeDtypeStruct]:
    """Shapes of a training batch, divided among the devices."""
    config, devices = experiment.config.data, jax.local_device_count()
    size = (devices, config.batch_size // devices, config.height, config.width)
    kinds = {"image": ((*size, 3), jnp.uint8), "label": (size, jnp.uint8), "place": (size[:2], jnp.int32)}
    return {key: jax.ShapeDtypeStruct(*kinds[key.removeprefix("target_")]) for key in keys}


def _key() -> jax.ShapeDtypeStruct:
    return jax.eval_shape(lambda: jax.random.key(0))


def _count(shapes: PyTree) -> int:
    return sum(int(np.prod(leaf.shape)) for leaf in jax.tree.leaves(shapes))


def _survey(experiment: Experiment, splits: Mapping[str, Split]) -> Survey:
    """What the stages' costs depend on."""
    target = splits["target pool"]
    return Survey(
        target_images=target.images,
        target_regions=target.regions,
        target_pixels=target.pixels,
        source_regions=splits["source"].regions if "source" in splits else 0,
        weights_bytes=tree_bytes(Weights(*experiment.segmenter.shapes).tree()),
        statistics_bytes=tree_bytes(experiment.segmenter.shapes[1]),
        discriminator_bytes=tree_bytes(experiment.discriminator().shapes),
        row_bytes=_row_bytes(experiment),
    )


def _files(
    experiment: Experiment, stages: Sequence[Stage], trainings: Sequence[Training], survey: Survey
) -> Iterator[Written]:
    """The files that stages leave, by kind, and those that trainings keep meanwhile."""
    found: dict[str, list[int]] = {}
    for stage in (stage for stage in stages if not stage.cost.divided):
        for path, size in stage.cost.files(survey).items():
            found.setdefault(_kind(path.relative_to(experiment.workdir.root)), []).append(size)
    for kind, sizes in found.items():
        yield Written(kind, len(sizes), sum(sizes))
    progress = _progress_bytes(experiment, trainings)
    if progress:
        yield Written("rounds/*/progress/", 2, progress)
    yield Written("report.html, metrics, tensorboard/", 1, _REPORT_BYTES)


def _partitions(stages: Sequence[Stage], survey: Survey) -> Iterator[Written]:
    """Region maps that are still to be made; they lie with the data."""
    for stage in stages:
        if stage.cost.divided and not stage.finished:
            for path, size in stage.cost.files(survey).items():
                yield Written(str(path.parent), stage.cost.divided, size)


def _progress_bytes(experiment: Experiment, trainings: Sequence[Training]) -> int:
    """The most bytes that checkpoints of a training take: a new one is complete before the old one goes."""
    if all(training.steps <= experiment.config.training.checkpoint_every for training in trainings):
        return 0
    return 2 * max((training.cost.state_bytes for training in trainings if training.cost), default=0)


def _missing(
    experiment: Experiment, stages: Sequence[Stage], trainings: Sequence[Training], survey: Survey
) -> int:
    """Bytes that are still to be written: of the stages that are not finished, and of the report."""
    left = [stage for stage in stages if not stage.finished and not stage.cost.divided]
    missing = sum(sum(stage.cost.files(survey).values()) for stage in left)
    if any(stage.cost.steps for stage in left):
        missing += _progress_bytes(experiment, trainings)
    return missing + (0 if experiment.workdir.report.exists() else _REPORT_BYTES)


def _kind(path: Path) -> str:
    """A file's place in the run's directory, with a star for its round."""
    parts = ["*" if part.isdigit() else part for part in path.parts]
    return "/".join(parts) + ("" if path.suffix else "/")


def _row_bytes(experiment: Experiment) -> int:
    """Of a region in a region table: ids and price, and the columns of the model's ingredients."""
    size = (1, experiment.config.data.height, experiment.config.data.width)
    measure = inference.make_measure(experiment.segmenter, tuple(experiment.needed("OfModel")))
    sums = jax.eval_shape(
        partial(measure, num_regions=1),
        *experiment.segmenter.shapes,
        None,
        jax.ShapeDtypeStruct((*size, 3), jnp.uint8),
        jax.ShapeDtypeStruct(size, jnp.int32),
    )
    return 4 + 4 + 8 + sum(4 * int(np.prod(s.shape[2:])) for name, s in sums.items() if name != "pixels")
