"""What training carries from step to step: pytrees of plain arrays."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax


class TrainState(NamedTuple):
    """The segmenter in training.

    Attributes:
      step: int32, steps done in this stage.
      params: trained parameters.
      batch_stats: batch-norm statistics, and the affine parameters too where batch norm is frozen.
      opt_state: the optimiser's.
    """

    step: jax.Array
    params: Any
    batch_stats: Any
    opt_state: Any


class AdversarialState(NamedTuple):
    """Segmenter and discriminator in AdaptSegNet's warm-up.

    Attributes:
      segmenter: see TrainState.
      discriminator: trained parameters.
      discriminator_opt_state: the optimiser's.
    """

    segmenter: TrainState
    discriminator: Any
    discriminator_opt_state: Any


def create_train_state(params: Any, batch_stats: Any, optimizer: optax.GradientTransformation) -> TrainState:
    """A state at step 0, from copies of the parameters, which a train step then gives away."""
    copied = jax.tree.map(jnp.array, (params, batch_stats))
    return TrainState(jnp.zeros((), jnp.int32), *copied, optimizer.init(copied[0]))


def create_adversarial_state(
    segmenter: TrainState, discriminator: Any, optimizer: optax.GradientTransformation
) -> AdversarialState:
    """A state at step 0 for the adversarial warm-up."""
    copied = jax.tree.map(jnp.array, discriminator)
    return AdversarialState(segmenter, copied, optimizer.init(copied))
