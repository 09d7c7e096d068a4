"""Gradient accumulation: a device's batch in parts, one after another, before one optimiser step."""

from collections.abc import Callable
from typing import TypeVar

import jax
import jax.numpy as jnp

from adeada_jax.training.step_types import Batch

C = TypeVar("C")
T = TypeVar("T")


def accumulate(part: Callable[[C, Batch], tuple[C, T]], carry: C, batch: Batch, parts: int) -> tuple[C, T]:
    """Sums what a function gives for the parts of a batch, which need memory for one part only.

    Args:
      part: `part(carry, batch part) -> (carry, sums)`, such as batch-norm statistics and gradients.
      carry: handed from part to part.
      batch: pytree of `(b, ...)` arrays, b a multiple of `parts`.
      parts: how many.

    Returns:
      The last carry and the sums over all parts.
    """
    if parts == 1:
        return part(carry, batch)
    split = jax.tree.map(lambda array: array.reshape(parts, -1, *array.shape[1:]), batch)
    first = jax.tree.map(lambda array: array[0], split)
    shapes = jax.eval_shape(part, carry, first)[1]
    zeros = jax.tree.map(lambda shape: jnp.zeros(shape.shape, shape.dtype), shapes)

    def body(state: tuple[C, T], one: Batch) -> tuple[tuple[C, T], None]:
        carried, total = state
        carried, sums = part(carried, one)
        return (carried, jax.tree.map(jnp.add, total, sums)), None

    return jax.lax.scan(body, (carry, zeros), split)[0]
