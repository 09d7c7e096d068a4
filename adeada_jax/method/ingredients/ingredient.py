"""The three kinds of provider of a column: from the model's outputs, from the image, from both domains."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

import jax
import numpy as np

from adeada_jax.method.regions import Regions
from adeada_jax.types import Json


class Outputs(NamedTuple):
    """What the network says of a batch of images; what no ingredient looks at is not computed.

    Attributes:
      features: `(B, h, w, D)` float32 on the network's grid, the input of the final 1x1 convolution.
      logits: `(B, h, w, C)` float32 class scores there.
      log_probabilities: `(B, H, W, C)` float32, log softmax of the upsampled logits, at the images' size.
      target_probability: `(B, h', w')` float32 on the discriminator's grid: the probability that this is of
        the target. Zeros where the run has no discriminator.
    """

    features: jax.Array
    logits: jax.Array
    log_probabilities: jax.Array
    target_probability: jax.Array


class OfModel(Protocol):
    """A number, or k of them, of each region from the model's outputs: the mean over the region's pixels.

    Attributes:
      name: of the column.
      discriminator: whether it looks at `target_probability`, so that the run must have a discriminator.
    """

    @property
    def name(self) -> str: ...
    @property
    def discriminator(self) -> bool: ...

    def maps(self, outputs: Outputs) -> jax.Array:
        """`(B, y, x)` or `(B, y, x, k)`, at the images' size or on any grid; a grid is upsampled bilinearly.

        This runs within a jitted function.
        """
        ...


class OfImage(Protocol):
    """A number of each region from the image alone, made once a run.

    Attributes:
      name: of the column.
    """

    @property
    def name(self) -> str: ...

    def values(self, image: np.ndarray, regions: np.ndarray) -> np.ndarray:
        """Of an `(H, W, 3)` uint8 RGB image and `(H, W)` ids: `(R,)`, R more than the largest id."""
        ...


@dataclass(frozen=True)
class Before:
    """Where a domain's regions were a round before, for mixtures that start there (`density.warm_start`).

    Attributes:
      classes: `(N,)` the classes that they were predicted as; -1 where a region was not there yet.
      components: `(N,)` the components of their classes' mixtures; -1 where there was none.
    """

    classes: np.ndarray
    components: np.ndarray


@dataclass(frozen=True)
class Context:
    """What a comparison of the domains may need besides the tables.

    Attributes:
      class_names: of the C classes.
      shared_classes: those that both domains may have.
      seed: of what is drawn.
      devices: to compute on, other processes' included, which all compare at the same time; None = own.
      before: by domain where the regions were; empty in the first round, and where nobody starts there.
    """

    class_names: Sequence[str]
    shared_classes: Sequence[int]
    seed: int
    devices: Sequence[jax.Device] | None = None
    before: Mapping[str, Before] = field(default_factory=dict)


@dataclass(frozen=True)
class Compared:
    """A column made of both domains' tables.

    Attributes:
      values: `(N_T,)` of the target's regions; NaN where there is none.
      classes: by class name what density.json tells of it, JSON-able; read of the ingredient `density` only.
      components: by domain `(N,)` int32, as `Before` has them, kept for the next round; empty where none
        starts there.
    """

    values: np.ndarray
    classes: Mapping[str, Mapping[str, Json]] = field(default_factory=dict)
    components: Mapping[str, np.ndarray] = field(default_factory=dict)


class OfDomains(Protocol):
    """A number of each target region from both domains' tables.

    Attributes:
      name: of the column.
    """

    @property
    def name(self) -> str: ...

    def compare(self, target: Regions, source: Regions, context: Context) -> Compared:
        """Compares the regions of the target, labelled or not, with those of the source."""
        ...


Ingredient = OfModel | OfImage | OfDomains
