"""Class scores of images that go through the network whole or in windows, as they are or mirrored as well."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from adeada_jax.models import Segmenter, upsample
from adeada_jax.types import PyTree


@dataclass(frozen=True)
class Passes:
    """How an image goes through the network: `config.inference`; the default is once and whole.

    Attributes:
      window: side in pixels of square windows of the network's input; 0 = the whole of it.
      stride: pixels from one window to the next; the last ones end at the border.
      flip: whether the mirrored image goes through as well.
    """

    window: int = 0
    stride: int = 0
    flip: bool = False

    def windows(self, height: int, width: int) -> tuple[tuple[int, int], np.ndarray]:
        """Windows that cover an input, as in mmsegmentation's `slide_inference`.

        Returns:
          Their (height, width), no larger than the input, and `(n, 2)` int32 of top and left.
        """
        side = min(self.window or height, height), min(self.window or width, width)
        starts = [
            np.minimum(np.arange(0, size - of + self.stride, self.stride), size - of) if size > of else [0]
            for of, size in zip(side, (height, width), strict=True)
        ]
        grid = np.stack(np.meshgrid(*starts, indexing="ij"), axis=-1)
        return side, grid.reshape(-1, 2).astype(np.int32)

    def work(self, height: int, width: int) -> float:
        """The area that goes through the network, over that of the input."""
        side, starts = self.windows(height, width)
        return (1 + self.flip) * len(starts) * side[0] * side[1] / (height * width)


WHOLE = Passes()


def passes_of(options: Mapping[str, Any]) -> Passes:
    """What `config.inference` says."""
    return Passes(options["window"], options["stride"] if options["window"] else 0, options["flip"])


def class_scores(
    segmenter: Segmenter, params: PyTree, batch_stats: PyTree, images: jax.Array, passes: Passes = WHOLE
) -> jax.Array:
    """Scores whose softmax, enlarged to an image's size, are its class probabilities.

    Logits of overlapping windows are averaged; of an image and its mirror image the probabilities, both at
    the input's size (mmsegmentation averages so, too).

    Args:
      segmenter: the network.
      params: its parameters.
      batch_stats: its batch-norm statistics.
      images: `(B, H, W, 3)` float32, normalised.
      passes: how they go through the network.

    Returns:
      `(B, h, w, C)` float32: logits on the network's own grid if images go through once and whole; else of
      size H x W, logarithms of probabilities where they are mirrored.
    """

    def logits(x: jax.Array) -> jax.Array:
        return segmenter.apply(params, batch_stats, x, train=False)[0].logits

    def scores(x: jax.Array) -> jax.Array:
        return _averaged(logits, x, passes, segmenter.num_classes) if passes.window else logits(x)

    if not passes.flip:
        return scores(images)
    # By `map` the network is in the program once.
    both = jax.lax.map(
        lambda x: jax.nn.log_softmax(upsample(scores(x), *images.shape[1:3])),
        jnp.stack([images, images[:, :, ::-1]]),
    )
    return jnp.logaddexp(both[0], both[1][:, :, ::-1]) - np.log(2)


def _averaged(
    logits: Callable[[jax.Array], jax.Array], images: jax.Array, passes: Passes, classes: int
) -> jax.Array:
    """`(B, H, W, C)` means of the windows' logits, each enlarged to its window."""
    batch, *size, _ = images.shape
    side, starts = passes.windows(*size)
    count = np.zeros((*size, 1), np.float32)
    for top, left in starts:
        count[top : top + side[0], left : left + side[1]] += 1

    def add(total: jax.Array, start: jax.Array) -> tuple[jax.Array, None]:
        place = 0, start[0], start[1], 0
        window = jax.lax.dynamic_slice(images, place, (batch, *side, 3))
        added = jax.lax.dynamic_slice(total, place, (batch, *side, classes)) + upsample(logits(window), *side)
        return jax.lax.dynamic_update_slice(total, added, place), None

    return jax.lax.scan(add, jnp.zeros((batch, *size, classes)), jnp.asarray(starts))[0] / count
