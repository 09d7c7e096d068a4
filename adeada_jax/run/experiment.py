"""What an experiment works with: networks, data and seeds made from the configuration."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal, TypedDict, overload

import numpy as np
from ml_collections import config_dict

from adeada_jax import processes, timers
from adeada_jax.annotators.annotators import create_annotator
from adeada_jax.annotators.asking import Annotator, Job
from adeada_jax.data import prepared, sources
from adeada_jax.data.fingerprint import shown
from adeada_jax.data.held_back import SplitPart
from adeada_jax.data.relabelled import relabelled
from adeada_jax.errors import InputError
from adeada_jax.evaluation.passes import Passes, passes_of
from adeada_jax.method.ingredients.ingredient import Ingredient, OfDomains, OfImage, OfModel
from adeada_jax.method.ingredients.providers import create_ingredients, kind_of
from adeada_jax.method.strategies.random import Random
from adeada_jax.method.strategies.registry import create_strategy
from adeada_jax.method.strategies.typical import Typical
from adeada_jax.method.strategy import Strategy
from adeada_jax.models import Discriminator, Segmenter
from adeada_jax.partitions.store import DividedImages
from adeada_jax.run import pretrained
from adeada_jax.run.class_agreement import RunClasses, classes_of, resolve
from adeada_jax.run.target_data import Target, open_target
from adeada_jax.run.workdir import Workdir
from adeada_jax.telemetry import Metrics
from adeada_jax.training import checkpoints, parallel
from adeada_jax.types import Json, PyTree


@dataclass(frozen=True)
class Weights:
    """A segmenter's weights: what a checkpoint holds.

    Attributes:
      params: trained parameters.
      batch_stats: batch-norm statistics.
    """

    params: PyTree
    batch_stats: PyTree

    def tree(self) -> dict[str, PyTree]:
        return {"params": self.params, "batch_stats": self.batch_stats}


class Size(TypedDict):
    """Of the network's input, in pixels."""

    height: int
    width: int


@dataclass(frozen=True)
class Experiment:
    """Everything the stages share; nothing in it changes while they run.

    Attributes:
      config: the resolved configuration.
      workdir: where outputs go.
      metrics: where numbers go.
      segmenter: the network, without weights.
      source_images: D_S without labels, for inference.
      source: D_S; None where there is no labelled source, as then the source's images are.
      target_images: D_T without labels; this object cannot give any.
      divided: by domain its training images with their regions, which a stage of the run makes; the source is
        only there where its regions are needed.
      class_names: of the classes, by id.
      palette: `(C, 3)` uint8 RGB, a colour a class.
      source_classes: ids of the classes that the source has; the others are learned from bought labels alone.
      validation: the target's images to evaluate on, with labels where `evaluation.kind` is 'labels'; None
        where nothing is evaluated.
      sampled: those images with their regions, of which people label a sample; None where they do not.
      strategy: what chooses regions.
      ingredients: what it knows of them.
      annotator: who labels what was bought.
      evaluator: who labels the sample; None where there is none.
      data: what the data sets held when they were opened, see `data_of`.
    """

    config: config_dict.ConfigDict
    workdir: Workdir
    metrics: Metrics
    segmenter: Segmenter
    source_images: sources.Images | None
    source: sources.LabelledImages | None
    target_images: sources.Images
    divided: Mapping[str, DividedImages]
    class_names: tuple[str, ...]
    palette: np.ndarray
    source_classes: tuple[int, ...]
    validation: sources.Images | None
    sampled: DividedImages | None
    strategy: Strategy
    ingredients: tuple[Ingredient, ...]
    annotator: Annotator
    evaluator: Annotator | None
    data: Mapping[str, Any]

    @property
    def size(self) -> Size:
        """The network's input size in pixels."""
        return {"height": self.config.data.height, "width": self.config.data.width}

    @property
    def passes(self) -> Passes:
        """How images to evaluate go through the network."""
        return passes_of(self.config.inference)

    @overload
    def needed(self, kind: Literal["OfModel"]) -> list[OfModel]: ...
    @overload
    def needed(self, kind: Literal["OfImage"]) -> list[OfImage]: ...
    @overload
    def needed(self, kind: Literal["OfDomains"]) -> list[OfDomains]: ...
    def needed(self, kind: str) -> list[Any]:
        """The ingredients of a kind, see `providers.kind_of`."""
        return [ingredient for ingredient in self.ingredients if kind_of(ingredient) == kind]

    @property
    def compared(self) -> list[OfDomains]:
        """The ingredients that compare the domains; none without a source."""
        return self.needed("OfDomains") if self.source else []

    def evaluated(self) -> sources.Images:
        """The images to evaluate on, where there are any."""
        assert self.validation is not None  # never asked for with `evaluation.kind` 'none'
        return self.validation

    def sample(self) -> DividedImages:
        """The images of which people label a sample, if they do."""
        assert self.sampled is not None  # never asked for otherwise
        return self.sampled

    def knows_classes(self, number: int) -> bool:
        """Whether the model that a round begins with was trained on any label."""
        return number > 1 or self.source is not None or bool(self.config.warmup.checkpoint)

    def strategy_of(self, number: int) -> Strategy:
        """What chooses a round's regions: the configuration's, once the model knows classes.

        Before that, features of pretrained weights tell what is typical of the target; random ones do not.
        """
        if self.knows_classes(number):
            return self.strategy
        return Typical() if pretrained.name_of(self.config.model) else Random()

    def seed(self, round: int, purpose: str) -> int:
        """A seed of its own for each round and purpose, derived from the experiment's."""
        return derived_seed(self.config.seed, round, purpose)

    @contextmanager
    def stage(self, round: int, name: str) -> Iterator[None]:
        """Writes a stage's time to the metrics, after dropping what a killed attempt left there."""
        self.metrics.rewind(round, name, 0)
        start = timers.now()
        yield
        self.metrics.write(round=round, stage=name, step=0, **timers.between(start, timers.now()))

    def initial_weights(self) -> Weights:
        """The segmenter before any training: random, its backbone from `model.pretrained` if given."""
        params, batch_stats = self.segmenter.init(seed=self.seed(0, "segmenter"))
        tree = pretrained.taken_over(self.config.model, Weights(params, batch_stats).tree())
        return Weights(tree["params"], tree["batch_stats"])

    def load_weights(self, checkpoint: Path, statistics: Path | None = None) -> Weights:
        """A segmenter from a checkpoint directory; see `load_weights`."""
        return load_weights(self.segmenter, checkpoint, statistics)

    def discriminator(self) -> Discriminator:
        return _discriminator(self.config.num_classes, self.config.model.dtype)

    def load_discriminator(self) -> tuple[Discriminator, PyTree]:
        """The warm-up's discriminator and its parameters."""
        discriminator = self.discriminator()
        params = checkpoints.restore(self.workdir.discriminator(), discriminator.shapes)
        return discriminator, parallel.replicate(params)


def derived_seed(seed: int, round: int, purpose: str) -> int:
    """What an experiment with this seed draws from in a round, for a purpose."""
    return int(np.random.SeedSequence([seed, round, *purpose.encode()]).generate_state(1)[0] >> 1)


@cache
def _discriminator(num_classes: int, dtype: str) -> Discriminator:
    """One for all rounds, so that the programs that use it are compiled once."""
    return Discriminator(num_classes, dtype=dtype)


def create_segmenter(config: config_dict.ConfigDict) -> Segmenter:
    """The network of a configuration.

    Raises:
      InputError: naming the key of a name that is not known.
    """
    return Segmenter(
        config.model.name,
        backbone=config.model.backbone,
        num_classes=config.num_classes,
        output_stride=config.model.output_stride,
        dtype=config.model.dtype,
        freeze_batch_norm=config.model.freeze_batch_norm,
        axis_name=parallel.AXIS,
        remat=config.model.remat,
    )


def load_weights(segmenter: Segmenter, checkpoint: Path, statistics: Path | None = None) -> Weights:
    """A segmenter's weights from a checkpoint, on all local devices.

    Args:
      segmenter: the network.
      checkpoint: its directory.
      statistics: of other batch-norm statistics that take the place of the checkpoint's, if given.

    Raises:
      InputError: as `checkpoints.restore`.
    """
    tree = checkpoints.restore(checkpoint, Weights(*segmenter.shapes).tree())
    if statistics:
        tree["batch_stats"] = checkpoints.restore(statistics, segmenter.shapes[1])
    tree = parallel.replicate(tree)
    return Weights(tree["params"], tree["batch_stats"])


def create_experiment(
    config: config_dict.ConfigDict, workdir: Workdir, metrics: Metrics, *, accept_update: bool = False
) -> Experiment:
    """Checks everything that can be known before the work starts, then opens data and networks.

    The toy streets are made on first use; `num_classes` of 0 becomes what the data say.

    Args:
      config: the configuration.
      workdir: where outputs go.
      metrics: where numbers go.
      accept_update: whether the target may have more training images than when the run began.

    Raises:
      InputError: naming the key, file or value that cannot work; the data are not those that the run of
        this working directory began with.
    """
    config = resolve(config)
    parallel.check_batch_size(config.data.batch_size, config.training.accumulation)
    if config.finetune.mixing == "half" and config.data.batch_size // 2 % processes.count():
        raise InputError(
            f"config.data.batch_size: with finetune.mixing='half', half of the {config.data.batch_size} "
            f"images come from each domain, and they cannot be divided among {processes.count()} processes; "
            f"use a multiple of {2 * processes.count()}"
        )
    segmenter = create_segmenter(config)
    strategy = create_strategy(config.acquisition.strategy, config.acquisition)
    ingredients = create_ingredients(strategy.needs, config)
    _check_checkpoints(config, segmenter)
    classes = classes_of(config)
    source, source_images, target = _open_data(config, classes, workdir.first_images())
    compared = any(kind_of(one) == "OfDomains" for one in ingredients)
    images = {"target": target.pool} | ({"source": source_images} if compared and source_images else {})
    divided = divide(images, config.regions)
    of_sample = target.evaluation if config.evaluation.kind == "sample" else None
    sampled = DividedImages(of_sample, config.regions) if of_sample is not None else None

    def annotator_of(images: DividedImages) -> Annotator:
        return create_annotator(
            Job(config.oracle, images, workdir.root, classes.names, classes.palette, workdir.round)
        )

    experiment = Experiment(
        config=config,
        workdir=workdir,
        metrics=metrics,
        segmenter=segmenter,
        source_images=source_images,
        source=source,
        target_images=target.pool,
        divided=divided,
        class_names=classes.names,
        palette=classes.palette,
        source_classes=classes.of_source,
        validation=target.evaluation,
        sampled=sampled,
        strategy=strategy,
        ingredients=ingredients,
        annotator=annotator_of(divided["target"]),
        evaluator=annotator_of(sampled) if sampled else None,
        data=data_of(config, divided, target.splits),
    )
    for opened in filter(None, (source, target.pool, target.evaluation)):
        sources.check_unchanged(opened)  # so that `data` describes what was opened
    workdir.check_data(experiment.data, accept_update=accept_update)
    return experiment


def _open_data(
    config: config_dict.ConfigDict, classes: RunClasses, first: Sequence[str] | None
) -> tuple[sources.LabelledImages | None, sources.Images | None, Target]:
    """The source with labels and without, and the target, whose training images once were `first`.

    The source has the run's classes; those of the target may be nobody's, where it has no labels.

    Raises:
      InputError: a split is not there, or has no labels where they are needed.
    """
    target = open_target(config, first)
    if not config.source.dataset:
        return None, None, target
    source: sources.LabelledImages = sources.open_labelled(config.source.dataset, config.source.dir, "train")
    source_images = sources.open_images(config.source.dataset, config.source.dir, "train")
    if "" in source.label_marks:
        source = SplitPart(source, [i for i, mark in enumerate(source.label_marks) if mark])
    return relabelled(source, classes.names, classes.palette), source_images, target


def divide(images: Mapping[str, sources.Images], options: Mapping[str, Any]) -> dict[str, DividedImages]:
    """Training images by domain, with their regions.

    Raises:
      InputError: as DividedImages raises; or two images would share a mask.
    """
    divided = {domain: DividedImages(source, options) for domain, source in images.items()}
    if options["kind"] == "masks" and "source" in images:
        both = sorted(set(images["source"].names) & set(images["target"].names))
        if both:
            raise InputError(
                f"config.regions.masks: source and target both have images named {shown(both)}, so their "
                "masks would be the same file; rename the images of one domain"
            )
    return divided


def data_of(
    config: config_dict.ConfigDict, divided: Mapping[str, DividedImages], target_splits: Sequence[str]
) -> dict[str, Json]:
    """The data that a run works with, by domain: what `workdir.check_data` compares."""
    splits = {"source": ("train",), "target": target_splits}
    if not config.source.dataset:
        del splits["source"]
    return {
        domain: {
            "dataset": config[domain].dataset,
            "dir": str(Path(config[domain].dir).resolve()),
            "fingerprint": prepared.fingerprint(config[domain].dataset, config[domain].dir, used),
            "partition": divided[domain].fingerprint() if domain in divided else None,
        }
        for domain, used in splits.items()
    }


def _check_checkpoints(config: config_dict.ConfigDict, segmenter: Segmenter) -> None:
    """Whether the checkpoints to start from are there and fit, before anything else is done."""
    like = Weights(*segmenter.shapes).tree()
    if config.warmup.checkpoint:
        checkpoints.check(Path(config.warmup.checkpoint), like)
    pretrained.check(config.model, like)
