"""Optimisers of the segmenter and the discriminator, with learning rates by parameter group."""

from collections.abc import Mapping
from functools import partial
from typing import Any

import jax
import optax

from adeada_jax.models.layers import is_norm

# Groups by the first element of a parameter's path: everything before the head is 'backbone'.
_GROUPS = {"backbone": "backbone", "head": "head"}


def group_of(path: tuple[str, ...], *, freeze_batch_norm: bool) -> str:
    """The group a parameter belongs to: "backbone", "head", or "frozen", which is not trained.

    Raises:
      ValueError: no group covers the path, so it would silently not be trained.
    """
    if path[0] not in _GROUPS:
        raise ValueError(f"parameter '{'/'.join(path)}' belongs to no optimiser group ({', '.join(_GROUPS)})")
    return "frozen" if freeze_batch_norm and is_norm(path) else _GROUPS[path[0]]


def _groups(params: Any, *, freeze_batch_norm: bool) -> Any:
    def group(path: tuple, _: Any) -> str:
        names = tuple(str(getattr(key, "key", getattr(key, "name", key))) for key in path)
        return group_of(names, freeze_batch_norm=freeze_batch_norm)

    return jax.tree_util.tree_map_with_path(group, params)


def polynomial_decay(
    learning_rate: float, steps: int, *, power: float, end: float, warmup_steps: int = 0
) -> optax.Schedule:
    """`lr (1 - t/T)^power`, never below `end`, after a linear increase from 0 over `warmup_steps`.

    As in AdaptSegNet the decay counts from step 0, and the increase replaces its first part.
    """

    def schedule(step: jax.Array) -> jax.Array:
        decayed = learning_rate * jax.numpy.maximum(1.0 - step / max(steps, 1), 0.0) ** power
        decayed = jax.numpy.maximum(decayed, min(end, learning_rate))
        rising = learning_rate * step / max(warmup_steps, 1)
        return jax.numpy.where(step < warmup_steps, rising, decayed)

    return schedule


def segmenter_optimizer(
    options: Mapping[str, Any],
    *,
    learning_rate: float,
    steps: int,
    warmup_steps: int = 0,
    freeze_batch_norm: bool = False,
) -> optax.GradientTransformation:
    """SGD with momentum and weight decay; the head learns `head_multiplier` times faster.

    Weight decay is added to the gradient before the momentum, as in torch's SGD.

    Args:
      options: `config.optimizer`.
      learning_rate: the backbone's, at its highest.
      steps: length of the decay, in steps.
      warmup_steps: linear increase at the start, in steps.
      freeze_batch_norm: leaves batch norm's scales and biases as they are, weight decay included.
    """

    def sgd(rate: float) -> optax.GradientTransformation:
        schedule = polynomial_decay(
            rate, steps, power=options["decay_power"], end=options["end_learning_rate"],
            warmup_steps=warmup_steps,
        )  # fmt: skip
        return optax.chain(
            optax.add_decayed_weights(options["weight_decay"]),
            optax.sgd(schedule, momentum=options["momentum"]),
        )

    rules = {
        "backbone": sgd(learning_rate),
        "head": sgd(learning_rate * options["head_multiplier"]),
        "frozen": optax.set_to_zero(),
    }
    return optax.partition(rules, partial(_groups, freeze_batch_norm=freeze_batch_norm))


def discriminator_optimizer(
    options: Mapping[str, Any], *, learning_rate: float, steps: int
) -> optax.GradientTransformation:
    """Adam with AdaptSegNet's betas and the segmenter's decay."""
    schedule = polynomial_decay(
        learning_rate, steps, power=options["decay_power"], end=options["end_learning_rate"]
    )
    return optax.adam(schedule, b1=0.9, b2=0.99)
