"""The stages as steps on random data: what the scaling experiment times."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import jax
import numpy as np
import optax

from adeada_jax.bench.mixtures.synthetic import domain_pair
from adeada_jax.config import paper_defaults
from adeada_jax.mixtures import fit_mixtures
from adeada_jax.models import Discriminator, Segmenter
from adeada_jax.run import inference
from adeada_jax.training import optimizers, parallel
from adeada_jax.training.adversarial import adversarial_step
from adeada_jax.training.state import create_adversarial_state, create_train_state
from adeada_jax.training.supervised import supervised_step
from adeada_jax.types import PyTree

STAGES = ("warmup", "finetune", "inference", "density")
_CLASSES = 19
_REGIONS = 40


@dataclass(frozen=True)
class Point:
    """One measurement.

    Attributes:
      stage: of STAGES.
      scaling: "strong" (the batch is the same for all numbers of devices) or "weak" (the same a device).
      devices: of the process.
      batch: images a step over all devices; for density, regions a fit.
      dtype: of the computation; densities are float32 whatever it says.
      model, backbone: of the segmenter.
      height, width: of the images in pixels.
      freeze_batch_norm: as `model.freeze_batch_norm`.
      steps: that are timed, after the one that compiles.
    """

    stage: str
    scaling: str
    devices: int
    batch: int
    dtype: str
    model: str
    backbone: str
    height: int
    width: int
    freeze_batch_norm: bool
    steps: int


@dataclass(frozen=True)
class Workload:
    """A stage ready to be timed: `step()` does one and waits; FLOPs are one device's in a step, if known."""

    step: Callable[[], None]
    flops: float | None


def make_workload(point: Point) -> Workload:
    """The stage of a point on this process's devices, with random weights and images."""
    if point.stage == "density":
        return _density(point)
    segmenter = Segmenter(
        point.model,
        backbone=point.backbone,
        num_classes=_CLASSES,
        dtype=point.dtype,
        freeze_batch_norm=point.freeze_batch_norm,
        axis_name=parallel.AXIS,
    )
    rng = np.random.default_rng(0)
    size = (point.batch, point.height, point.width)
    images = rng.integers(0, 256, (*size, 3)).astype(np.uint8)
    if point.stage == "inference":
        return _inference(segmenter, images)
    label = rng.integers(0, _CLASSES, size).astype(np.uint8)
    place = np.arange(point.batch)
    batch: dict[str, np.ndarray] = {"image": images, "label": label, "place": place}
    if point.stage == "warmup":
        batch |= {"target_image": images[::-1], "target_place": point.batch + place}
        return _warmup(segmenter, batch, point.dtype)
    return _finetune(segmenter, batch)


def _finetune(segmenter: Segmenter, batch: dict[str, np.ndarray]) -> Workload:
    optimizer = _optimizer(segmenter)
    step = parallel.parallelize(supervised_step(segmenter.apply, optimizer))
    return _training(step, create_train_state(*segmenter.init(0), optimizer), batch)


def _warmup(segmenter: Segmenter, batch: dict[str, np.ndarray], dtype: str) -> Workload:
    options, optimizer = paper_defaults(), _optimizer(segmenter)
    discriminator = Discriminator(_CLASSES, dtype=dtype)
    discriminator_optimizer = optimizers.discriminator_optimizer(
        options.optimizer,
        learning_rate=options.warmup.discriminator_learning_rate,
        steps=options.warmup.steps,
    )
    step = adversarial_step(
        segmenter.apply,
        discriminator.apply,
        optimizer,
        discriminator_optimizer,
        adversarial_weight=options.warmup.adversarial_weight,
    )
    state = create_train_state(*segmenter.init(0), optimizer)
    return _training(
        parallel.parallelize(step),
        create_adversarial_state(state, discriminator.init(1), discriminator_optimizer),
        batch,
    )


def _optimizer(segmenter: Segmenter) -> optax.GradientTransformation:
    options = paper_defaults()
    return optimizers.segmenter_optimizer(
        segmenter,
        options.optimizer,
        learning_rate=options.finetune.learning_rate,
        steps=options.finetune.steps,
    )


def _training(step: jax.stages.Wrapped, state: PyTree, batch: dict[str, np.ndarray]) -> Workload:
    """The state is given away at each step, so the workload keeps the newest."""
    current, key, sharded = [parallel.replicate(state)], jax.random.key(0), parallel.shard(batch)
    shapes = jax.eval_shape(lambda *arguments: arguments, state, sharded, key)
    lowered = step.lower(*shapes)
    compiled = lowered.compile()

    def advance() -> None:
        current[0], losses = compiled(current[0], sharded, key)
        jax.block_until_ready((current[0], losses))

    return Workload(advance, _flops(lowered.cost_analysis(), compiled.cost_analysis(), 1))


def _inference(segmenter: Segmenter, images: np.ndarray) -> Workload:
    measure, weights = inference.make_measure(segmenter), parallel.replicate(segmenter.init(0))
    count, height, width = images.shape[:3]
    columns = np.arange(width) * _REGIONS // width
    regions = np.broadcast_to(columns, (count, height, width)).astype(np.int32)
    arguments = (*weights, None, parallel.spread(images), parallel.spread(regions))
    lowered = measure.lower(*arguments, num_regions=_REGIONS)
    compiled = lowered.compile()

    def step() -> None:
        jax.block_until_ready(compiled(*arguments))

    devices = jax.local_device_count()
    return Workload(step, _flops(lowered.cost_analysis(), compiled.cost_analysis(), devices))


def _flops(
    written: Mapping[str, float] | None, compiled: Mapping[str, float] | None, devices: int
) -> float | None:
    """A device's, of its compiled program, or of its part of the program as written, if that is more.

    It is where the compiler leaves to a library what it does not count, as convolutions on GPUs.
    """
    counts = [(analysis or {}).get("flops", 0.0) for analysis in (written, compiled)]
    return max(counts[0] / devices, counts[1]) or None


def _density(point: Point) -> Workload:
    """One fit of all classes, long-tailed, K as the method chooses it."""
    target, _ = domain_pair(0, point.batch, 100)
    features = [target.features[target.classes == c] for c in range(_CLASSES)]
    features = [rows for rows in features if len(rows) >= 2]
    components = [int(np.clip(len(rows) // 100, 1, 10)) for rows in features]
    devices = jax.local_devices()

    def step() -> None:
        fit_mixtures(features, components, devices=devices, init_params="random_from_data")

    return Workload(step, None)
