"""Optimisers of the segmenter and the discriminator, with learning rates by parameter group."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, TypeVar

import jax
import optax

from adeada_jax.models import Segmenter
from adeada_jax.types import PyTree

T = TypeVar("T")

# Groups by the first element of a parameter's path.
_GROUPS = ("backbone", "head")


def group_of(path: tuple[str, ...], segmenter: Segmenter) -> str:
    """The group a parameter belongs to: "backbone", "head", or "frozen", which is not trained.

    Raises:
      ValueError: no group covers the path, so it would silently not be trained.
    """
    if path[0] not in _GROUPS:
        raise ValueError(f"parameter '{'/'.join(path)}' belongs to no optimiser group ({', '.join(_GROUPS)})")
    return "frozen" if segmenter.is_frozen(path) else path[0]


def _by_path(of: Callable[[tuple[str, ...]], T]) -> Callable[[PyTree], PyTree]:
    """From a function of paths one of nested dicts, to the same with its values."""
    return partial(jax.tree_util.tree_map_with_path, lambda path, _: of(tuple(key.key for key in path)))


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


def sgd(
    schedule: optax.Schedule, options: Mapping[str, Any], decays: Callable[[optax.Params], PyTree]
) -> optax.GradientTransformation:
    """SGD with momentum; weight decay is added to the gradient before the momentum, as in torch's.

    Args:
      schedule: the learning rate by step.
      options: `config.optimizer`.
      decays: from parameters to booleans, whether weight decay applies to each.
    """
    return optax.chain(
        optax.add_decayed_weights(options["weight_decay"], mask=decays),
        optax.sgd(schedule, momentum=options["momentum"]),
    )


def segmenter_optimizer(
    segmenter: Segmenter,
    options: Mapping[str, Any],
    *,
    learning_rate: float,
    steps: int,
    warmup_steps: int = 0,
) -> optax.GradientTransformation:
    """`sgd` by groups: the head learns `head_multiplier` times faster, frozen batch norm stays as it is.

    Where `clip_norm` is not 0, gradients are first scaled down to that Euclidean norm, if theirs is larger:
    all that is trained together, as in torch's `clip_grad_norm_`. Weight decay and momentum come after. The
    steps hand over the whole batch's gradients, so devices and parts of a batch change nothing. Differs from
    the paper, whose 0 is the default.

    Args:
      segmenter: says which parameters are frozen and which have no weight decay.
      options: `config.optimizer`.
      learning_rate: the backbone's, at its highest.
      steps: length of the decay, in steps.
      warmup_steps: linear increase at the start, in steps.
    """

    def rule(rate: float) -> optax.GradientTransformation:
        schedule = polynomial_decay(
            rate,
            steps,
            power=options["decay_power"],
            end=options["end_learning_rate"],
            warmup_steps=warmup_steps,
        )
        return sgd(schedule, options, _by_path(segmenter.decays))

    rules = {
        "backbone": rule(learning_rate),
        "head": rule(learning_rate * options["head_multiplier"]),
        "frozen": optax.set_to_zero(),
    }
    by_groups = optax.partition(rules, _by_path(lambda path: group_of(path, segmenter)))
    if not options["clip_norm"]:
        return by_groups
    clipped = optax.masked(
        optax.clip_by_global_norm(options["clip_norm"]), _by_path(lambda path: not segmenter.is_frozen(path))
    )
    return optax.chain(clipped, by_groups)


def discriminator_optimizer(
    options: Mapping[str, Any], *, learning_rate: float, steps: int
) -> optax.GradientTransformation:
    """Adam with AdaptSegNet's betas and the segmenter's decay.

    Nothing is clipped: Adam's steps do not grow with the gradients, whatever `clip_norm` is.
    """
    schedule = polynomial_decay(
        learning_rate, steps, power=options["decay_power"], end=options["end_learning_rate"]
    )
    return optax.adam(schedule, b1=0.9, b2=0.99)
