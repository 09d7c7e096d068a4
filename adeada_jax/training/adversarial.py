"""The adversarial warm-up step: AdaptSegNet with a single discriminator (Tsai et al. 2018; supplement A)."""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import optax

from adeada_jax.models import Draw, normalize, upsample
from adeada_jax.training import losses, parallel
from adeada_jax.training.accumulation import accumulate
from adeada_jax.training.losses import SOURCE_DOMAIN, TARGET_DOMAIN
from adeada_jax.training.state import AdversarialState
from adeada_jax.training.step_types import Apply, Batch, Discriminate, Step, Values
from adeada_jax.training.supervised import apply_gradients
from adeada_jax.types import IGNORE_LABEL, PyTree


def adversarial_step(
    apply: Apply,
    discriminate: Discriminate,
    optimizer: optax.GradientTransformation,
    discriminator_optimizer: optax.GradientTransformation,
    *,
    adversarial_weight: float,
    parts: int = 1,
) -> Step[AdversarialState]:
    """Makes the step for `parallel.parallelize`.

    The segmenter learns the source's labels and to make target softmax maps that the discriminator takes
    for source; the discriminator learns to tell the two apart. Both networks' gradients come from one
    forward pass of the segmenter over source and target together.

    Args:
      apply: the segmenter, `apply(params, batch_stats, images, train=, draw=)`.
      discriminate: the discriminator, `discriminate(params, softmax maps (b, H, W, C)) -> scores`.
      optimizer: of the segmenter.
      discriminator_optimizer: of the discriminator.
      adversarial_weight: of the adversarial loss beside the cross entropy.
      parts: in which a device works through its images (gradient accumulation).

    Returns:
      `step(state, batch, key) -> (state, losses)`; the batch has "image" and "label" from the source and
      "target_image" from the target, b images of each on this device, and their places in the whole batch,
      "place" and "target_place".
    """

    def step(state: AdversarialState, batch: Batch, key: jax.Array) -> tuple[AdversarialState, Values]:
        counts, dropout_key = _counts(batch["label"]), jax.random.fold_in(key, 0)

        def part(batch_stats: PyTree, images: Batch) -> tuple[PyTree, tuple[PyTree, PyTree, Values]]:
            def segmenter_loss(params: PyTree) -> tuple[jax.Array, PyTree]:
                return _segmenter_loss(
                    apply,
                    params,
                    batch_stats,
                    partial(discriminate, state.discriminator),
                    images,
                    dropout_key,
                    counts=counts,
                    adversarial_weight=adversarial_weight,
                    parts=parts,
                )

            grads, (values, new_stats, maps) = jax.grad(segmenter_loss, has_aux=True)(state.segmenter.params)
            values["discriminator_loss"], own_grads = jax.value_and_grad(_discriminator_loss)(
                state.discriminator, discriminate, *jax.lax.stop_gradient(maps), parts=parts
            )
            return new_stats, (grads, own_grads, values)

        batch_stats, sums = accumulate(part, state.segmenter.batch_stats, batch, parts)
        grads, discriminator_grads, values = parallel.sum_over_devices(sums)
        updates, opt_state = discriminator_optimizer.update(
            discriminator_grads, state.discriminator_opt_state, state.discriminator
        )
        new_state = AdversarialState(
            apply_gradients(state.segmenter, grads, batch_stats, optimizer),
            optax.apply_updates(state.discriminator, updates),
            opt_state,
        )
        return new_state, values

    return step


def _segmenter_loss(
    apply: Apply,
    params: PyTree,
    batch_stats: PyTree,
    discriminate: Callable[[jax.Array], jax.Array],
    batch: Batch,
    key: jax.Array,
    *,
    counts: jax.Array,
    adversarial_weight: float,
    parts: int,
) -> tuple[jax.Array, PyTree]:
    """This part's share of the segmenter's loss; also both losses, the statistics, both softmax maps."""
    labels = batch["label"]
    images = normalize(jnp.concatenate([batch["image"], batch["target_image"]]))
    draw = Draw(key, jnp.concatenate([batch["place"], batch["target_place"]]))
    segmentation, new_stats = apply(params, batch_stats, images, train=True, draw=draw)
    logits = upsample(segmentation.logits, *labels.shape[1:])
    source_logits, target_logits = jnp.split(logits, [len(labels)])
    target_maps = jax.nn.softmax(target_logits)
    supervised, _ = losses.cross_entropy(source_logits, labels)
    adversarial, scored = losses.domain_loss(discriminate(target_maps), SOURCE_DOMAIN)
    scored = parts * parallel.sum_over_devices(scored)
    values = {"loss": supervised / counts, "adversarial_loss": adversarial / scored}
    total = values["loss"] + adversarial_weight * values["adversarial_loss"]
    return total, (values, new_stats, (jax.nn.softmax(source_logits), target_maps))


def _counts(labels: jax.Array) -> jax.Array:
    """Images with any label, over all devices."""
    labelled = (labels != IGNORE_LABEL).any(axis=(1, 2)).sum().astype(jnp.float32)
    return jnp.maximum(parallel.sum_over_devices(labelled), 1.0)


def _discriminator_loss(
    params: PyTree,
    discriminate: Discriminate,
    source_maps: jax.Array,
    target_maps: jax.Array,
    *,
    parts: int,
) -> jax.Array:
    """This part's share of the mean binary cross entropy; each domain has half the weight."""
    source, source_count = losses.domain_loss(discriminate(params, source_maps), SOURCE_DOMAIN)
    target, target_count = losses.domain_loss(discriminate(params, target_maps), TARGET_DOMAIN)
    source_count, target_count = parallel.sum_over_devices((source_count, target_count))
    return 0.5 * (source / source_count + target / target_count) / parts
