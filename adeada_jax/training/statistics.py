"""Batch-norm statistics of one domain after training (AdaBN, Li et al. 2018). Differs from the paper.

Training on source and target together leaves statistics of the mixture; AdaBN gives each domain its own. A
network that looks at a domain with the other's statistics gives features whose densities mean nothing.
"""

from collections.abc import Callable
from typing import Any

import jax

from adeada_jax.models import Draw, normalize


def statistics_step(apply: Callable[..., Any]) -> Callable[..., Any]:
    """Makes the step for `parallel.parallelize`: moves the running statistics towards a batch's.

    Args:
      apply: the segmenter, `apply(params, batch_stats, images, train=, draw=)`.

    Returns:
      `step((params, batch_stats), {"image": (b, H, W, 3) uint8, "place": (b,)}, key) -> (state, {})`.
    """

    def step(
        state: tuple[Any, Any], batch: dict[str, jax.Array], key: jax.Array
    ) -> tuple[Any, dict[str, jax.Array]]:
        params, batch_stats = state
        draw = Draw(key, batch["place"])
        _, batch_stats = apply(params, batch_stats, normalize(batch["image"]), train=True, draw=draw)
        return (params, batch_stats), {}

    return step
