"""What a run will do, worked out beforehand: images, regions, steps, their cost, the files it will write."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from adeada_jax.acquisition.registry import create_strategy
from adeada_jax.experiment import Experiment, Weights
from adeada_jax.regions.pool import Pool
from adeada_jax.run import trainings as stages
from adeada_jax.training.step_cost import StepCost, step_cost, tree_bytes

# Images of a split that are decoded to estimate what all of them hold.
SAMPLE = 12

# Of labels as PNG: toy streets with every region bought took 0.03, with 40 of 5,000 regions 0.002.
_LABEL_BYTES_A_PIXEL = 0.03
_SELECTION_BYTES_A_ROW = 100
_REPORT_BYTES = 20_000_000  # report, losses and TensorBoard's files, at most


@dataclass(frozen=True)
class Split:
    """What a split of a data set holds.

    Attributes:
      images: their number.
      sizes: (height, width) of those that were looked at, the most frequent first.
      looked_at: images that were decoded; all, or as many as tell the rest apart.
      regions: their number; estimated from the images looked at, unless those are all.
      pixels: likewise.
      smallest: pixels of the smallest region that was seen.
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
    """A stage of training: what it is called, how often it is done, its steps and the cost of one."""

    name: str
    times: int
    steps: int
    examples: int
    cost: StepCost


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
      parameters: of the segmenter.
      discriminator_parameters: of the warm-up's discriminator; 0 where there is none.
      trainings: in their order.
      forward: cost of inference on one batch.
      inferred: images that go through the network for regions and evaluations, in all.
      files: that the run writes; those that are gone at its end too.
    """

    splits: dict[str, Split]
    budget: int
    rounds: int
    parameters: int
    discriminator_parameters: int
    trainings: tuple[Training, ...]
    forward: StepCost
    inferred: int
    files: tuple[Written, ...]

    @property
    def bytes(self) -> int:
        """All that is written."""
        return sum(file.bytes for file in self.files)


def make_plan(experiment: Experiment) -> Plan:
    """Works a run out; decodes a few images of each split and compiles nothing."""
    config = experiment.config
    splits = {
        "source": survey(experiment.source),
        "target pool": _pool_survey(experiment),
        "evaluation": survey(experiment.validation),
    }
    source, target, validation = splits.values()
    rounds = config.acquisition.rounds if config.experiment == "active" else 0
    strategy = create_strategy(config.acquisition.strategy, config.acquisition)
    measured = [target, source] if "density" in strategy.needs else [target]
    trainings = tuple(_trainings(experiment, source, target))
    has_discriminator = any(training.name.endswith("adversarial") for training in trainings)
    return Plan(
        splits=splits,
        budget=int(config.acquisition.budget * target.pixels) if rounds else 0,
        rounds=rounds,
        parameters=_count(experiment.segmenter.shapes[0]),
        discriminator_parameters=_count(experiment.discriminator().shapes) if has_discriminator else 0,
        trainings=trainings,
        forward=forward_cost(experiment),
        inferred=rounds * sum(split.images for split in measured) + (rounds + 1) * validation.images,
        files=tuple(_files(experiment, trainings, target, measured, rounds)),
    )


def survey(images: Any, *, sample: int = SAMPLE) -> Split:
    """Looks at images spread evenly over a split; labels, where the split gives them, are checked by that.

    Raises:
      InputError: one of them cannot be read.
    """
    chosen = np.unique(np.linspace(0, len(images) - 1, min(sample, len(images))).astype(int))
    maps = [images[int(i)]["regions"] for i in chosen]
    counts = [np.bincount(regions.ravel()) for regions in maps]
    prices = np.concatenate([count[count > 0] for count in counts])
    share = len(images) / len(chosen)
    shapes = [regions.shape for regions in maps]
    return Split(
        images=len(images),
        sizes=tuple(sorted(set(shapes), key=lambda size: (-shapes.count(size), size))),
        looked_at=len(chosen),
        regions=round(share * len(prices)),
        pixels=round(share * int(prices.sum())),
        smallest=int(prices.min()),
    )


def _pool_survey(experiment: Experiment) -> Split:
    """The target's training split, from the pool that an earlier start has listed, if there is one."""
    looked = survey(experiment.target_images)
    if not experiment.workdir.pool.exists():
        return looked
    pool = Pool.load(experiment.workdir.pool)
    return Split(
        looked.images,
        looked.sizes,
        looked.images,
        len(pool.region),
        pool.total_pixels,
        int(pool.pixels.min()),
    )


def _trainings(experiment: Experiment, source: Split, target: Split) -> Iterator[Training]:
    config = experiment.config
    warmup, finetune, rounds = config.warmup.steps, config.finetune.steps, config.acquisition.rounds
    in_all = warmup + rounds * finetune
    batch = config.data.batch_size
    if config.experiment in ("active", "warmup_only"):
        if not config.warmup.checkpoint:
            adversarial = config.warmup.method == "adversarial"
            cost = _cost(experiment, adversarial_cost if adversarial else supervised_cost)
            name = "warm-up, adversarial" if adversarial else "warm-up, source only"
            yield Training(name, 1, warmup, warmup * batch, cost)
        if config.experiment == "active":
            yield Training(
                "fine-tuning",
                rounds,
                finetune,
                rounds * finetune * batch,
                _cost(experiment, supervised_cost),
            )
    elif config.experiment == "adaptation_only":
        yield Training(
            "adaptation, adversarial", 1, in_all, in_all * batch, _cost(experiment, adversarial_cost)
        )
    else:
        name = config.experiment.replace("_", " ")
        yield Training(name, 1, in_all, in_all * batch, _cost(experiment, supervised_cost))


def _cost(experiment: Experiment, step_of: Callable[[Experiment], StepCost]) -> StepCost:
    """The cost of a kind of step; XLA counts a loop over parts once, so FLOPs are those of a single part."""
    cost = step_of(experiment)
    if experiment.config.training.accumulation == 1:
        return cost
    config = experiment.config.copy_and_resolve_references()
    config.training.accumulation = 1
    return replace(cost, flops=step_of(replace(experiment, config=config)).flops)


def supervised_cost(experiment: Experiment) -> StepCost:
    """Of a fine-tuning step, or one of a reference's."""
    options = experiment.config.finetune
    initial_state, step = stages.supervised_training(
        experiment.segmenter, experiment.config.optimizer.to_json(), options.learning_rate, options.steps,
        options.learning_rate_steps, experiment.config.training.accumulation,
    )  # fmt: skip
    state = jax.eval_shape(initial_state, *experiment.segmenter.shapes)
    return step_cost(step, state, _batch(experiment, "image", "label", "place"), _key())


def adversarial_cost(experiment: Experiment) -> StepCost:
    """Of a warm-up step with discriminator."""
    initial_state, step = stages.adversarial_training(experiment, experiment.config.warmup)
    state = jax.eval_shape(initial_state, *experiment.segmenter.shapes, experiment.discriminator().shapes)
    return step_cost(
        step, state, _batch(experiment, "image", "label", "place", "target_image", "target_place"), _key()
    )


def forward_cost(experiment: Experiment) -> StepCost:
    """Of a forward pass of an inference batch."""
    size = experiment.config.inference.batch_size, experiment.config.data.height, experiment.config.data.width
    segmenter = experiment.segmenter

    def forward(weights: tuple[Any, Any], images: jax.Array) -> Any:
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


def _count(shapes: Any) -> int:
    return sum(int(np.prod(leaf.shape)) for leaf in jax.tree.leaves(shapes))


def _files(
    experiment: Experiment, trainings: tuple[Training, ...], target: Split, measured: list[Split], rounds: int
) -> Iterator[Written]:
    config = experiment.config
    weights = tree_bytes(Weights(*experiment.segmenter.shapes).tree())
    yield Written("pool.safetensors", 1, 16 * target.regions)
    yield Written("rounds/*/checkpoint/", rounds + 1, (rounds + 1) * weights)
    if any(training.name.endswith("adversarial") for training in trainings):
        yield Written("rounds/00/discriminator/", 1, tree_bytes(experiment.discriminator().shapes))
    if trainings and any(training.steps > config.training.checkpoint_every for training in trainings):
        # A new one is whole before the old one goes.
        yield Written("rounds/*/progress/", 2, 2 * max(t.cost.state_bytes for t in trainings))
    if rounds:
        rows = sum(split.regions for split in measured)
        yield Written("rounds/*/regions_*.safetensors", len(measured) * rounds,
                      rounds * rows * _row_bytes(experiment))  # fmt: skip
        if len(measured) > 1:
            if stages.adapts_statistics(config):
                statistics = tree_bytes(experiment.segmenter.shapes[1])
                yield Written("rounds/*/source_statistics/", rounds, rounds * statistics)
            yield Written("rounds/*/importance.safetensors", rounds, rounds * 8 * target.regions)
    bought = 1.0 if config.experiment == "target_only" else min(1.0, rounds * config.acquisition.budget)
    if bought:
        regions = max(1, round(bought * target.regions))
        images = min(target.images * max(rounds, 1), regions)
        yield Written("rounds/*/selection.csv", max(rounds, 1), regions * _SELECTION_BYTES_A_ROW)
        pixels = images * target.pixels / target.images
        yield Written("rounds/*/labels/", images, round(pixels * _LABEL_BYTES_A_PIXEL))
    yield Written("report.html, metrics, tensorboard/", 1, _REPORT_BYTES)


def _row_bytes(experiment: Experiment) -> int:
    """Of a region in a region table: ids and price, feature, probabilities, uncertainties."""
    size = (1, experiment.config.data.height, experiment.config.data.width, 3)
    images = jax.ShapeDtypeStruct(size, jnp.float32)
    shapes = jax.eval_shape(
        lambda weights, images: experiment.segmenter.apply(*weights, images, train=False)[0],
        experiment.segmenter.shapes, images,
    )  # fmt: skip
    return 4 + 4 + 8 + 4 * (shapes.features.shape[-1] + shapes.logits.shape[-1] + 3)
