"""Types of the functions that training steps are made of, and of the steps themselves."""

from collections.abc import Callable
from typing import Protocol, TypeVar

import jax

from adeada_jax.models import Draw, Segmentation
from adeada_jax.types import PyTree

S = TypeVar("S")

Batch = dict[str, jax.Array]  # of this device
Values = dict[str, jax.Array]  # scalars for the log, such as losses

# `step(state, batch, key) -> (state, values)`, of a state as in `training.state`.
Step = Callable[[S, Batch, jax.Array], tuple[S, Values]]

# The discriminator: `discriminate(params, softmax maps (b, H, W, C)) -> scores`.
Discriminate = Callable[[PyTree, jax.Array], jax.Array]


class Apply(Protocol):
    """The segmenter, as `models.Segmenter.apply`."""

    def __call__(
        self,
        params: PyTree,
        batch_stats: PyTree,
        images: jax.Array,
        *,
        train: bool,
        draw: Draw | None = None,
    ) -> tuple[Segmentation, PyTree]: ...
