"""Runs one step of each kind on all devices of this process and saves what it made: see test_steps.py.

Called as `devices.py OUTPUT PARTS PAIR ...`, pairs such as "supervised frozen". Parts are tried with frozen
batch norm: with trained batch norm a part's statistics are its own, so parts cannot equal the whole.

Sums in another order differ by 1e-7; here nothing makes more of that than it must. Images are squares in
their classes' colours, so that gradients do not cancel; the discriminator takes all for the target, else its
gradient is what the domains leave of each other; and its Adam has a larger epsilon, as the first step is
otherwise the gradient's sign, even where that is rounding.
"""

import sys
from typing import Any

import jax
import numpy as np
import optax

from adeada_jax.config import paper_defaults
from adeada_jax.models import Discriminator, Segmenter
from adeada_jax.training import optimizers, parallel
from adeada_jax.training.adversarial import adversarial_step
from adeada_jax.training.state import create_adversarial_state, create_teacher_state, create_train_state
from adeada_jax.training.supervised import supervised_step
from adeada_jax.training.teacher import teacher_step
from adeada_jax.types import IGNORE_LABEL, NO_CLASS

COLOURS = np.array(
    [[[200, 40, 40], [40, 200, 40], [40, 40, 200]], [[120, 20, 90], [20, 90, 90], [90, 120, 20]]]
)

CLIP_NORM = 1e-3
THRESHOLD = (
    0.48  # between the teacher's probabilities; the nearest is 2e-5 away, farther than rounding reaches
)


def batch(kind: str) -> dict[str, np.ndarray]:
    """Sixteen images, of two domains or all labelled; one has no label and one has few.

    For "teacher", a tenth of the target's pixels is bought and a few rows are of no class.
    """
    rng = np.random.default_rng(0)
    label = rng.integers(0, 3, (2, 8, 4, 8)).repeat(8, axis=2).repeat(8, axis=3)
    image = np.stack([COLOURS[domain][label[domain]] for domain in (0, 1)])
    image = (image + rng.integers(0, 32, image.shape)).astype(np.uint8)
    label = label.astype(np.uint8)
    label[0, 1] = 255
    label[0, 2, 4:] = 255
    places = np.arange(16)
    if kind == "supervised":
        return {"image": np.concatenate(image), "label": np.concatenate(label), "place": places}
    both = {"image": image[0], "target_image": image[1], "label": label[0], "place": places[:8],
            "target_place": places[8:]}  # fmt: skip
    if kind == "adversarial":
        return both
    bought = np.where(rng.random(label[1].shape) < 0.1, label[1], IGNORE_LABEL).astype(np.uint8)
    bought[:, :2] = NO_CLASS
    return both | {"target_label": bought}


def _optimizer(segmenter: Segmenter) -> optax.GradientTransformation:
    """One whose momentum after a step is the gradient, scaled down to CLIP_NORM."""
    options = {**paper_defaults().optimizer, "weight_decay": 0.0, "clip_norm": CLIP_NORM}
    return optimizers.segmenter_optimizer(segmenter, options, learning_rate=0.01, steps=10)


def supervised(segmenter: Segmenter, parts: int) -> tuple[Any, Any]:
    """A state and its step."""
    optimizer = _optimizer(segmenter)
    state = create_train_state(*segmenter.init(0), optimizer)
    return state, supervised_step(segmenter.apply, optimizer, parts=parts)


def adversarial(segmenter: Segmenter, parts: int) -> tuple[Any, Any]:
    """The same with a discriminator."""
    optimizer = _optimizer(segmenter)
    discriminator, discriminator_optimizer = Discriminator(3), optax.adam(0.001, eps=1e-3)
    params = discriminator.init(1)
    params["conv4"]["bias"] += 2.0
    state = create_train_state(*segmenter.init(0), optimizer)
    step = adversarial_step(
        segmenter.apply,
        discriminator.apply,
        optimizer,
        discriminator_optimizer,
        adversarial_weight=0.5,
        parts=parts,
    )
    return create_adversarial_state(state, params, discriminator_optimizer), step


def teacher(segmenter: Segmenter, parts: int) -> tuple[Any, Any]:
    """The same with a teacher that is surer than the student, so that the threshold divides its guesses."""
    optimizer = _optimizer(segmenter)
    params, batch_stats = segmenter.init(0)
    state = create_teacher_state(create_train_state(params, batch_stats, optimizer))
    sharper = jax.tree.map(lambda leaf: 50 * leaf, params["head"]["classifier"])
    params = {**params, "head": {**params["head"], "classifier": sharper}}
    state = state._replace(teacher=(params, batch_stats))
    return state, teacher_step(segmenter.apply, optimizer, decay=0.999, threshold=THRESHOLD, parts=parts)


def segmenter(norm: str) -> Segmenter:
    """A small network, its batch norm "frozen" or "trained"."""
    return Segmenter(
        "tests.small_network:Linear", backbone="tests.small_network:Small", num_classes=3,
        freeze_batch_norm=norm == "frozen", axis_name=parallel.AXIS,
    )  # fmt: skip


def results(kind: str, norm: str, parts: int) -> dict[str, np.ndarray]:
    """What one step makes of the state, and its losses, by name; and how that is by jit of shard_map.

    The latter, which pmap stands for, on several devices only, with trained batch norm.
    """
    made = {"supervised": supervised, "adversarial": adversarial, "teacher": teacher}[kind]
    state, step = made(segmenter(norm), parts)
    images, key = parallel.shard(batch(kind)), jax.random.key(0)
    twin, has_twin = {}, jax.local_device_count() > 1 and norm == "trained" and kind != "teacher"
    if has_twin:
        expected = sharded(step)(jax.tree.map(np.array, state), images, key)
    made = parallel.parallelize(step)(parallel.replicate(state), images, key)
    if has_twin:
        twin = compared(kind, made, expected)
    leaves = jax.tree_util.tree_flatten_with_path(made)[0]
    return twin | {f"{kind} {norm} {jax.tree_util.keystr(path)}": np.asarray(leaf) for path, leaf in leaves}


def sharded(step: Any) -> Any:
    """The step by jit of shard_map."""
    mesh = jax.sharding.Mesh(np.array(jax.local_devices()), (parallel.AXIS,))
    spec = jax.sharding.PartitionSpec

    def on_a_device(state: Any, images: Any, key: Any) -> Any:
        return step(state, jax.tree.map(lambda leaf: leaf[0], images), key)

    return jax.jit(
        jax.shard_map(
            on_a_device, mesh=mesh, in_specs=(spec(), spec(parallel.AXIS), spec()), out_specs=spec(),
            check_vma=False,
        )
    )  # fmt: skip


def compared(kind: str, pmapped: Any, expected: Any) -> dict[str, np.ndarray]:
    """The leaves of two steps that differ: pmapped, and by jit of shard_map."""
    pairs = jax.tree.map(lambda a, b: np.array_equal(a, b), pmapped, expected)
    leaves = jax.tree_util.tree_flatten_with_path(pairs)[0]
    different = [jax.tree_util.keystr(path) for path, same in leaves if not same]
    return {f"{kind} twin: leaves": np.array(len(leaves)), f"{kind} twin: different": np.array(different)}


if __name__ == "__main__":
    parts = int(sys.argv[2])
    made: dict[str, Any] = {"devices": jax.local_device_count()}
    for pair in sys.argv[3:]:
        made |= results(*pair.split(), parts)
    np.savez(sys.argv[1], **made)
