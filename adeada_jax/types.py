"""Array types and the constants every part shares."""

from typing import TYPE_CHECKING, Union

import numpy as np

if TYPE_CHECKING:  # what only reads answers starts without JAX
    import jax

Array = Union["jax.Array", np.ndarray]

# Pixels with this label take part in no loss, no metric and no price list (Cityscapes' convention).
IGNORE_LABEL = 255

# Of a target image in the teacher step: bought, and of no class, so that no pseudo-label takes its place.
NO_CLASS = 254
