"""Types and constants every part shares."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NotRequired, TypedDict, Union

if TYPE_CHECKING:  # what only reads answers starts without JAX, and flags without NumPy
    import jax
    import numpy as np

Array = Union["jax.Array", "np.ndarray"]

# A tree of arrays in nested dicts, lists and tuples: parameters, statistics, gradients, an optimiser's state.
# JAX has no type for one.
PyTree = Any

# What is written as JSON. What is read from it has a type of its own where its content is known.
Json = Union[None, bool, int, float, str, "Sequence[Json]", "Mapping[str, Json]"]


class Example(TypedDict):
    """An image of a data set, `(H, W, 3)` uint8 RGB, and what is known of it.

    `label` is `(H, W)` uint8, 255 = ignore; `regions` is `(H, W)` int32.
    """

    image: "np.ndarray"
    name: NotRequired[str]
    label: NotRequired["np.ndarray"]
    regions: NotRequired["np.ndarray"]


# Pixels with this label take part in no loss, no metric and no price list (Cityscapes' convention).
IGNORE_LABEL = 255

# Of a target image in the teacher step: bought, and of no class, so that no pseudo-label takes its place.
NO_CLASS = 254
