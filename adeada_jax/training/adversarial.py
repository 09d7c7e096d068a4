"""The adversarial warm-up step: AdaptSegNet with a single discriminator (Tsai et al. 2018; supplement A)."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

from adeada_jax.models import normalize, upsample
from adeada_jax.training import losses, parallel
from adeada_jax.training.losses import SOURCE_DOMAIN, TARGET_DOMAIN
from adeada_jax.training.state import AdversarialState
from adeada_jax.training.supervised import apply_gradients


def adversarial_step(
    apply: Callable[..., Any],
    discriminate: Callable[..., Any],
    optimizer: optax.GradientTransformation,
    discriminator_optimizer: optax.GradientTransformation,
    *,
    adversarial_weight: float,
) -> Callable[..., Any]:
    """Makes the step for `parallel.parallelize`.

    The segmenter learns the source's labels and to make target softmax maps that the discriminator takes
    for source; the discriminator learns to tell the two apart. Both networks' gradients come from one
    forward pass of the segmenter over source and target together.

    Args:
      apply: the segmenter, `apply(params, batch_stats, images, train=, dropout_key=)`.
      discriminate: the discriminator, `discriminate(params, softmax maps (b, H, W, C)) -> scores`.
      optimizer: of the segmenter.
      discriminator_optimizer: of the discriminator.
      adversarial_weight: of the adversarial loss beside the cross entropy.

    Returns:
      `step(state, batch, key) -> (state, losses)`; the batch has "image" and "label" from the source and
      "target_image" from the target, b images of each on this device.
    """

    def step(state: AdversarialState, batch: dict[str, jax.Array], key: jax.Array) -> tuple[Any, dict]:
        segmenter, labels = state.segmenter, batch["label"]
        images = normalize(jnp.concatenate([batch["image"], batch["target_image"]]))
        dropout_key = jax.random.fold_in(key, jax.lax.axis_index(parallel.AXIS))
        counts = _counts(labels)

        def segmenter_loss(params: Any) -> tuple[jax.Array, Any]:
            segmentation, batch_stats = apply(
                params, segmenter.batch_stats, images, train=True, dropout_key=dropout_key
            )
            logits = upsample(segmentation.logits, *labels.shape[1:])
            source_logits, target_logits = jnp.split(logits, [len(labels)])
            target_maps = jax.nn.softmax(target_logits)
            scores = discriminate(state.discriminator, target_maps)
            supervised, _ = losses.cross_entropy(source_logits, labels)
            adversarial, scored = losses.domain_loss(scores, SOURCE_DOMAIN)
            scored = parallel.sum_over_devices(scored)
            parts = {"loss": supervised / counts, "adversarial_loss": adversarial / scored}
            maps = (jax.nn.softmax(source_logits), target_maps)
            return parts["loss"] + adversarial_weight * parts["adversarial_loss"], (parts, batch_stats, maps)

        grads, (parts, batch_stats, maps) = jax.grad(segmenter_loss, has_aux=True)(segmenter.params)
        discriminator_loss, discriminator_grads = jax.value_and_grad(_discriminator_loss)(
            state.discriminator, discriminate, *jax.lax.stop_gradient(maps)
        )
        parts["discriminator_loss"] = discriminator_loss
        grads, discriminator_grads, parts = parallel.sum_over_devices((grads, discriminator_grads, parts))
        updates, opt_state = discriminator_optimizer.update(
            discriminator_grads, state.discriminator_opt_state, state.discriminator
        )
        new_state = AdversarialState(
            apply_gradients(segmenter, grads, batch_stats, optimizer),
            optax.apply_updates(state.discriminator, updates),
            opt_state,
        )
        return new_state, parts

    return step


def _counts(labels: jax.Array) -> jax.Array:
    """Images with any label, over all devices."""
    labelled = (labels != losses.IGNORE_LABEL).any(axis=(1, 2)).sum().astype(jnp.float32)
    return jnp.maximum(parallel.sum_over_devices(labelled), 1.0)


def _discriminator_loss(
    params: Any, discriminate: Callable[..., Any], source_maps: jax.Array, target_maps: jax.Array
) -> jax.Array:
    """This device's part of the mean binary cross entropy; each domain has half the weight."""
    source, source_count = losses.domain_loss(discriminate(params, source_maps), SOURCE_DOMAIN)
    target, target_count = losses.domain_loss(discriminate(params, target_maps), TARGET_DOMAIN)
    source_count, target_count = parallel.sum_over_devices((source_count, target_count))
    return 0.5 * source / source_count + 0.5 * target / target_count
