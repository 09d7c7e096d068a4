"""Batch-norm statistics of one domain after training (AdaBN, Li et al. 2018). Differs from the paper.

Training on source and target together leaves statistics of the mixture; AdaBN gives each domain its own. A
network that looks at a domain with the other's statistics gives features whose densities mean nothing.
"""

import jax

from adeada_jax.models import Draw, normalize
from adeada_jax.training.step_types import Apply, Batch, Step, Values
from adeada_jax.types import PyTree


def statistics_step(apply: Apply) -> Step[tuple[PyTree, PyTree]]:
    """Makes the step for `parallel.parallelize`: moves the running statistics towards a batch's.

    Args:
      apply: the segmenter, `apply(params, batch_stats, images, train=, draw=)`.

    Returns:
      `step((params, batch_stats), {"image": (b, H, W, 3) uint8, "place": (b,)}, key) -> (state, {})`.
    """

    def step(
        state: tuple[PyTree, PyTree], batch: Batch, key: jax.Array
    ) -> tuple[tuple[PyTree, PyTree], Values]:
        params, batch_stats = state
        draw = Draw(key, batch["place"])
        _, batch_stats = apply(params, batch_stats, normalize(batch["image"]), train=True, draw=draw)
        return (params, batch_stats), {}

    return step
