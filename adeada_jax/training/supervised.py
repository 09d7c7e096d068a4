"""The supervised step: cross entropy on labelled pixels (fine-tuning, and warm-up `source_only`)."""

import jax
import optax

from adeada_jax.models import Draw, normalize, upsample
from adeada_jax.training import losses, parallel
from adeada_jax.training.accumulation import accumulate
from adeada_jax.training.state import TrainState
from adeada_jax.training.step_types import Apply, Batch, Step, Values
from adeada_jax.types import PyTree


def supervised_step(
    apply: Apply, optimizer: optax.GradientTransformation, *, parts: int = 1
) -> Step[TrainState]:
    """Makes the step for `parallel.parallelize`.

    Args:
      apply: the segmenter, `apply(params, batch_stats, images, train=, draw=)`.
      optimizer: of its parameters.
      parts: in which a device works through its b images (gradient accumulation).

    Returns:
      `step(state, {"image": (b, H, W, 3) uint8, "label": (b, H, W), "place": (b,)}, key) ->
      (state, {"loss": scalar})`, b images on this device; their places are those in the whole batch.
    """

    def step(state: TrainState, batch: Batch, key: jax.Array) -> tuple[TrainState, Values]:
        dropout_key = jax.random.fold_in(key, 0)  # the same on all devices: places tell their images apart

        def part(batch_stats: PyTree, images: Batch) -> tuple[PyTree, tuple[jax.Array, jax.Array, PyTree]]:
            draw = Draw(dropout_key, images["place"])

            def loss_fn(params: PyTree) -> tuple[jax.Array, PyTree]:
                segmentation, new_stats = apply(
                    params, batch_stats, normalize(images["image"]), train=True, draw=draw
                )
                logits = upsample(segmentation.logits, *images["label"].shape[1:])
                loss, count = losses.cross_entropy(logits, images["label"])
                return loss, (count, new_stats)

            (loss, (count, new_stats)), grads = jax.value_and_grad(loss_fn, has_aux=True)(state.params)
            return new_stats, (loss, count, grads)

        batch_stats, sums = accumulate(part, state.batch_stats, batch, parts)
        loss, count, grads = parallel.sum_over_devices(sums)
        count = jax.numpy.maximum(count, 1.0)
        grads = jax.tree.map(lambda g: g / count, grads)
        return apply_gradients(state, grads, batch_stats, optimizer), {"loss": loss / count}

    return step


def apply_gradients(
    state: TrainState, grads: PyTree, batch_stats: PyTree, optimizer: optax.GradientTransformation
) -> TrainState:
    """The state one optimiser step later."""
    updates, opt_state = optimizer.update(grads, state.opt_state, state.params)
    return TrainState(state.step + 1, optax.apply_updates(state.params, updates), batch_stats, opt_state)
