"""What training carries from step to step: pytrees of plain arrays."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from adeada_jax.types import PyTree


class TrainState(NamedTuple):
    """The segmenter in training.

    Attributes:
      step: int32, steps done in this stage.
      params: trained parameters.
      batch_stats: batch-norm statistics, and the affine parameters too where batch norm is frozen.
      opt_state: the optimiser's.
    """

    step: jax.Array
    params: optax.Params
    batch_stats: PyTree
    opt_state: optax.OptState


class AdversarialState(NamedTuple):
    """Segmenter and discriminator in AdaptSegNet's warm-up.

    Attributes:
      segmenter: see TrainState.
      discriminator: trained parameters.
      discriminator_opt_state: the optimiser's.
    """

    segmenter: TrainState
    discriminator: PyTree
    discriminator_opt_state: optax.OptState


class TeacherState(NamedTuple):
    """The segmenter in training, and the average of what it was.

    Attributes:
      student: see TrainState.
      teacher: `(params, batch_stats)` in float32, averaged over the steps.
    """

    student: TrainState
    teacher: tuple[PyTree, PyTree]


def create_train_state(
    params: PyTree, batch_stats: PyTree, optimizer: optax.GradientTransformation
) -> TrainState:
    """A state at step 0, from copies of the parameters, which a train step then gives away."""
    copied = jax.tree.map(jnp.array, (params, batch_stats))
    return TrainState(jnp.zeros((), jnp.int32), copied[0], copied[1], optimizer.init(copied[0]))


def create_adversarial_state(
    segmenter: TrainState, discriminator: PyTree, optimizer: optax.GradientTransformation
) -> AdversarialState:
    """A state at step 0 for the adversarial warm-up."""
    copied = jax.tree.map(jnp.array, discriminator)
    return AdversarialState(segmenter, copied, optimizer.init(copied))


def create_teacher_state(student: TrainState) -> TeacherState:
    """A state at step 0: the teacher begins as the student."""
    return TeacherState(student, jax.tree.map(jnp.array, (student.params, student.batch_stats)))
