"""Forward passes and train steps of one network on one device, compiled and ready to be timed."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

from adeada_jax.bench.gpu.dilated_ways import with_gradients
from adeada_jax.bench.gpu.network_names import Case
from adeada_jax.models import Discriminator, Segmenter, layers, normalize
from adeada_jax.training import optimizers, parallel
from adeada_jax.training.adversarial import adversarial_step
from adeada_jax.training.state import create_adversarial_state, create_train_state
from adeada_jax.training.step_types import Step
from adeada_jax.training.supervised import supervised_step
from adeada_jax.types import PyTree

CLASSES, RATE, STRIDE = 19, 2.5e-4, 16
# The paper's, as `config.paper_defaults` has them.
OPTIONS = {
    "momentum": 0.9,
    "weight_decay": 5e-4,
    "decay_power": 0.9,
    "end_learning_rate": 1e-6,
    "head_multiplier": 10.0,
    "clip_norm": 0.0,
}
ADVERSARIAL_WEIGHT = 0.0005


@dataclass
class Compiled:
    """A case that can be run.

    Attributes:
        case: which.
        compile_seconds: of tracing and compiling.
        flops: of a run, from the program as written; None where that is not known.
        memory: bytes of arguments, results and intermediate results, as the compiler planned them.
        start: gives what `run` needs.
    """

    case: Case
    compile_seconds: float
    flops: float | None
    memory: dict[str, int] | None
    start: Callable[[], Callable[[], PyTree]]


def make_batch(case: Case) -> dict[str, np.ndarray]:
    """Random images, and labels of which a tenth is unknown."""
    rng = np.random.default_rng(0)
    size = (case.batch, case.height, case.width)
    label = rng.integers(0, CLASSES, size, dtype=np.uint8)
    label[rng.random(size) < 0.1] = 255
    image = rng.integers(0, 256, (*size, 3), dtype=np.uint8)
    place = np.arange(case.batch)
    batch: dict[str, np.ndarray] = {"image": image, "label": label, "place": place}
    if case.task == "adversarial":
        batch |= {"target_image": image[:, ::-1].copy(), "target_place": case.batch + place}
    return batch


def segmenter_of(case: Case) -> Segmenter:
    """The network, its dilated convolutions as the case has them."""
    before = layers.spatial
    if case.gradient or case.input_gradient:
        layers.spatial = with_gradients(case.gradient or "one product", case.input_gradient or "XLA's own")
    try:
        return Segmenter(
            case.model,
            backbone=case.backbone,
            num_classes=CLASSES,
            output_stride=STRIDE,
            dtype=case.dtype,
            axis_name=parallel.AXIS,
            remat=case.remat,
        )
    finally:
        layers.spatial = before


def compile_case(case: Case, weights: tuple[PyTree, PyTree] | None = None) -> Compiled:
    """Traces and compiles.

    Args:
        case: which.
        weights: parameters and statistics, random ones if None.
    """
    with jax.default_matmul_precision(None if case.precision == "default" else case.precision):
        make = _forward if case.task == "forward" else _training
        begin = time.perf_counter()
        lowered, start = make(case, weights)
        compiled = lowered.compile()
        seconds = time.perf_counter() - begin
    # Of a loop XLA counts one step.
    flops = None if case.parts > 1 else (lowered.cost_analysis() or {}).get("flops") or None
    return Compiled(case, seconds, flops, _memory(compiled), lambda: start(compiled))


def _memory(compiled: jax.stages.Compiled) -> dict[str, int] | None:
    try:
        planned = compiled.memory_analysis()
        sizes = {
            name: int(getattr(planned, f"{name}_size_in_bytes"))
            for name in ("argument", "output", "alias", "temp")
        }
    except Exception:  # not every backend says
        return None
    sizes["all"] = sizes["argument"] + sizes["output"] - sizes["alias"] + sizes["temp"]
    return sizes


def _forward(
    case: Case, weights: tuple[PyTree, PyTree] | None
) -> tuple[jax.stages.Lowered, Callable[[jax.stages.Compiled], Callable[[], PyTree]]]:
    segmenter = segmenter_of(case)
    params, stats = jax.device_put(weights or segmenter.init(0), jax.local_devices()[0])
    image = jax.device_put(make_batch(case)["image"], jax.local_devices()[0])
    forward = jax.jit(lambda p, s, x: segmenter.apply(p, s, normalize(x), train=False)[0].logits)
    lowered = forward.lower(params, stats, image)
    return lowered, lambda compiled: lambda: compiled(params, stats, image)


def _training(
    case: Case, weights: tuple[PyTree, PyTree] | None
) -> tuple[jax.stages.Lowered, Callable[[jax.stages.Compiled], Callable[[], PyTree]]]:
    segmenter = segmenter_of(case)
    params, stats = weights or segmenter.init(0)
    optimizer = optimizers.segmenter_optimizer(segmenter, OPTIONS, learning_rate=RATE, steps=120_000)
    step: Step[PyTree]
    if case.task == "supervised":
        step = supervised_step(segmenter.apply, optimizer, parts=case.parts)
    else:
        discriminator = Discriminator(CLASSES, dtype=case.dtype)
        of_discriminator = optimizers.discriminator_optimizer(OPTIONS, learning_rate=RATE, steps=100_000)
        step = adversarial_step(
            segmenter.apply,
            discriminator.apply,
            optimizer,
            of_discriminator,
            adversarial_weight=ADVERSARIAL_WEIGHT,
            parts=case.parts,
        )

    def state() -> PyTree:
        first = create_train_state(params, stats, optimizer)
        if case.task == "supervised":
            return parallel.replicate(first)
        return parallel.replicate(create_adversarial_state(first, discriminator.init(1), of_discriminator))

    batch, key = parallel.shard(make_batch(case)), jax.random.key(0)
    stepped = parallel.parallelize(step)
    lowered = stepped.lower(*jax.eval_shape(lambda *a: a, state(), batch, key))

    def start(compiled: jax.stages.Compiled) -> Callable[[], PyTree]:
        current = [state()]  # given away at each step
        mesh = jax.sharding.Mesh(np.array(jax.local_devices()), (parallel.AXIS,))
        divided = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec(parallel.AXIS))
        on_device = jax.device_put(batch, divided)

        def run() -> PyTree:
            current[0], losses = compiled(current[0], on_device, key)
            return current[0], losses

        return run

    return lowered, start


def is_out_of_memory(error: Exception) -> bool:
    """Whether an error says that memory did not suffice."""
    return "RESOURCE_EXHAUSTED" in str(error) or "out of memory" in str(error).lower()


def random_weights(case: Case) -> tuple[PyTree, PyTree]:
    """For several cases of one network: making them takes seconds."""
    return jax.tree.map(jnp.asarray, segmenter_of(case).init(0))
