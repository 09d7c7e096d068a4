"""The teacher step: also what was not bought is learned from, by pseudo-labels (docs/teacher.md)."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from adeada_jax.models import Draw, normalize, upsample
from adeada_jax.training import losses, parallel
from adeada_jax.training.accumulation import accumulate
from adeada_jax.training.class_mix import pasted_pixels
from adeada_jax.training.state import TeacherState, TrainState
from adeada_jax.training.step_types import Apply, Batch, Step, Values
from adeada_jax.training.strong_augmentation import ADJUSTMENTS, DRAWS, augment_strongly
from adeada_jax.training.supervised import apply_gradients
from adeada_jax.types import IGNORE_LABEL, NO_CLASS, PyTree


class Mixed(NamedTuple):
    """Target images into which parts of labelled ones are pasted.

    Attributes:
      image: `(B, H, W, 3)` float32 RGB from 0 to 255.
      label: `(B, H, W)` int32.
      weight: `(B, H, W)` float32, of the pixels in the loss.
    """

    image: jax.Array
    label: jax.Array
    weight: jax.Array


def teacher_step(
    apply: Apply,
    optimizer: optax.GradientTransformation,
    *,
    decay: float,
    threshold: float,
    parts: int = 1,
) -> Step[TeacherState]:
    """Makes the step for `parallel.parallelize`.

    The student learns the labels as in the supervised step, and target images as they are mixed, in one pass
    of both. Then the teacher follows.

    Args:
      apply: the segmenter, `apply(params, batch_stats, images, train=, draw=)`.
      optimizer: of the student's parameters.
      decay: of the teacher's average, see `follow`.
      threshold: of pseudo-labels' probability, see `pseudo_labels`.
      parts: in which a device works through its images (gradient accumulation).

    Returns:
      `step(state, batch, key) -> (state, values)`. The batch has b labelled images on this device, "image"
      (b, H, W, 3) uint8, "label" (b, H, W) and "place" (b,), and as many target images, with the same fields
      "target_image", "target_label" (as of `pseudo_labels`) and "target_place". Places are
      those in the whole batch of both. Values are "loss", the labels' cross entropy; "mixed_loss"; and
      "sure_pixels", the share of the pixels with pseudo-labels that are sure.
    """

    def step(state: TeacherState, batch: Batch, key: jax.Array) -> tuple[TeacherState, Values]:
        dropout_key, mix_key = (jax.random.fold_in(key, number) for number in (0, 1))
        counts = _counts(batch)

        def part(batch_stats: PyTree, images: Batch) -> tuple[PyTree, tuple[PyTree, Values]]:
            asked, _ = apply(*state.teacher, normalize(images["target_image"]), train=False)
            logits = upsample(asked.logits, *images["label"].shape[1:])
            pseudo = pseudo_labels(logits, images["target_label"], threshold)
            mixed = mix(mix_key, images, pseudo, logits.shape[-1])

            def loss_fn(params: PyTree) -> tuple[jax.Array, PyTree]:
                return _loss(apply, params, batch_stats, images, mixed, dropout_key, counts)

            grads, (values, new_stats) = jax.grad(loss_fn, has_aux=True)(state.student.params)
            values["sure_pixels"] = pseudo.sure.sum() / counts["mixed"]
            return new_stats, (grads, values)

        batch_stats, sums = accumulate(part, state.student.batch_stats, batch, parts)
        grads, values = parallel.sum_over_devices(sums)
        student = apply_gradients(state.student, grads, batch_stats, optimizer)
        return TeacherState(student, follow(state.teacher, student, decay)), values

    return step


def follow(teacher: tuple[PyTree, PyTree], student: TrainState, decay: float) -> tuple[PyTree, PyTree]:
    """The teacher after a step: `a teacher + (1 - a) student`, a = min(1 - 1 / (t + 1), decay) after t steps.

    Mean Teacher (Tarvainen & Valpola, NeurIPS 2017, Sec. 3) with the beginning of DAFormer's code. Batch-norm
    statistics are averaged, too.
    """
    kept = jnp.minimum(1 - 1 / (student.step + 1), decay)
    return optax.incremental_update((student.params, student.batch_stats), teacher, 1 - kept)


class PseudoLabels(NamedTuple):
    """What is taken for the labels of target images.

    Attributes:
      label: `(B, H, W)` int32.
      weight: `(B, H, W)` float32, of the pixels in the loss.
      sure: `(B,)` float32, the share of the pixels with a pseudo-label whose probability is high.
    """

    label: jax.Array
    weight: jax.Array
    sure: jax.Array


def pseudo_labels(logits: jax.Array, labels: jax.Array, threshold: float) -> PseudoLabels:
    """The likeliest class of each pixel that was not bought; all of an image's weigh as much as it is sure.

    The weight is DACS's and DAFormer's (Hoyer et al., CVPR 2022, Sec. 3.1), of each image by itself: the
    share of pixels whose highest probability is above the threshold. Bought pixels keep their label and
    weigh 1.

    Args:
      logits: `(B, H, W, C)`, the teacher's.
      labels: `(B, H, W)` integers: what was bought, IGNORE_LABEL elsewhere, NO_CLASS where it is of no class.
      threshold: from 0 to 1.
    """
    asked = labels == IGNORE_LABEL
    certain = asked & (jax.nn.softmax(logits).max(axis=-1) > threshold)
    sure = certain.sum(axis=(1, 2)) / jnp.maximum(asked.sum(axis=(1, 2)), 1)
    label = jnp.where(asked, logits.argmax(axis=-1), labels.astype(jnp.int32))
    weight = jnp.where(asked, sure[:, None, None], jnp.where(labels == NO_CLASS, 0.0, 1.0))
    return PseudoLabels(label, weight, sure)


def mix(key: jax.Array, images: Batch, pseudo: PseudoLabels, num_classes: int) -> Mixed:
    """Pastes half of each labelled image's classes into the target image of the same row, then augments.

    Args:
      key: of the step. With the images' places it gives the same whatever devices and parts there are.
      images: of the batch, see `teacher_step`.
      pseudo: of the target images.
      num_classes: C.
    """
    order_key, own_key = jax.random.split(key)
    keys = jax.vmap(jax.random.fold_in, (None, 0))(own_key, images["place"])
    draws = jax.vmap(lambda own: jax.random.uniform(own, (num_classes + DRAWS,)))(keys)
    order = jnp.argsort(jax.random.uniform(order_key, (len(ADJUSTMENTS),)))
    pasted = pasted_pixels(draws[:, :num_classes], images["label"])
    image = jnp.where(pasted[..., None], images["image"], images["target_image"]).astype(jnp.float32) / 255
    return Mixed(
        255 * augment_strongly(image, draws[:, num_classes:], order),
        jnp.where(pasted, images["label"].astype(jnp.int32), pseudo.label),
        jnp.where(pasted, 1.0, pseudo.weight),
    )


def _counts(batch: Batch) -> dict[str, jax.Array]:
    """Images with any label, and mixed ones, over all devices."""
    labelled = (batch["label"] != IGNORE_LABEL).any(axis=(1, 2)).sum()
    counts = parallel.sum_over_devices({"loss": labelled, "mixed": jnp.int32(len(batch["target_label"]))})
    return jax.tree.map(lambda count: jnp.maximum(count.astype(jnp.float32), 1.0), counts)


def _loss(
    apply: Apply,
    params: PyTree,
    batch_stats: PyTree,
    images: Batch,
    mixed: Mixed,
    key: jax.Array,
    counts: dict[str, jax.Array],
) -> tuple[jax.Array, PyTree]:
    """This part's share of the loss; also both parts of it, and the new statistics."""
    draw = Draw(key, jnp.concatenate([images["place"], images["target_place"]]))
    pixels = jnp.concatenate([images["image"].astype(jnp.float32), mixed.image])
    segmentation, new_stats = apply(params, batch_stats, normalize(pixels), train=True, draw=draw)
    logits = upsample(segmentation.logits, *images["label"].shape[1:])
    own, others = jnp.split(logits, [len(images["label"])])
    supervised, _ = losses.cross_entropy(own, images["label"])
    weighted, _ = losses.weighted_cross_entropy(others, mixed.label, mixed.weight)
    values = {"loss": supervised / counts["loss"], "mixed_loss": weighted / counts["mixed"]}
    return values["loss"] + values["mixed_loss"], (values, new_stats)
