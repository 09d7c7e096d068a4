"""Array types and the constants every part shares."""

import jax
import numpy as np

Array = jax.Array | np.ndarray

# Pixels with this label take part in no loss, no metric and no price list (Cityscapes' convention).
IGNORE_LABEL = 255
