"""What a segmentation network is made of: backbones and heads (docs/extending.md has one of each)."""

import re
from collections.abc import Callable
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from adeada_jax.models.dropout import Draw
from adeada_jax.models.initialization import kaiming
from adeada_jax.models.layers import BatchNorm

Path = tuple[str, ...]
# Regular expressions of whole names of modules, and what takes their place; the first that fits counts.
Renames = tuple[tuple[str, str], ...]

# Our last names to PyTorch's, where they differ.
_LEAVES = {
    "kernel": "weight",
    "embedding": "weight",
    "scale": "weight",
    "mean": "running_mean",
    "var": "running_var",
}


@dataclass(frozen=True)
class Build:
    """What backbones and heads are built with.

    Attributes:
      output_stride: 8, 16 or 32: the image's size over that of the last features, for backbones that can
        choose; others ignore it.
      norm: makes the batch norm of a number of features (and `epsilon`), trained or frozen as configured.
      dtype: of the computation; parameters are float32.
      remat: whether a backbone keeps only its blocks' outputs for the gradients (`layers.run_block`).
      rngs: for Flax's layers, which ask for it; what they draw is never used.
    """

    output_stride: int
    norm: Callable[..., BatchNorm]
    dtype: jnp.dtype
    remat: bool
    rngs: nnx.Rngs


class Part(nnx.Module):
    """What backbones and heads know of their parameters; what stands here suits convolutional networks.

    A path names a parameter from the part on, such as ("layer1", "block0", "conv1", "kernel"), or
    ("layer1", "block0", "bn1", "scale") for one of `Build.norm`; elements of an `nnx.List` are "0", "1", ...

    Attributes:
      renames: what modules are called in PyTorch, for `torch_name`.
      unused: regular expressions of names in PyTorch's files that have no place here and need none, such as
        those of a classifier of ImageNet's classes.
    """

    renames: Renames = ()
    unused: tuple[str, ...] = ()

    def first_value(self, path: Path, shape: tuple[int, ...], generator: np.random.Generator) -> np.ndarray:
        """A parameter before any training, drawn by NumPy; called in the order of paths.

        Raises:
          InputError: the parameter has none.
        """
        return kaiming(path, shape, generator)

    def decays(self, path: Path) -> bool:
        """Whether weight decay applies to a parameter."""
        return True

    def torch_name(self, path: Path) -> str:
        """What a parameter is called in PyTorch.

        Kernels of convolutions and of Dense layers are transposed on the way, all else is as it is there.
        """
        return torch_name(path, self.renames)


class Backbone(Part):
    """From images to features; made by a class or function of one argument, a `Build`.

    Attributes:
      channels: of each array of features.
    """

    channels: tuple[int, ...]

    def __call__(self, images: jax.Array, train: bool, draw: Draw | None) -> tuple[jax.Array, ...]:
        """Computes features.

        Args:
          images: `(B, H, W, 3)` float32, normalised with ImageNet's statistics; any H and W.
          train: in training.
          draw: what dropout and drop path draw from (`models/dropout.py`), so that it does not depend on
            devices; None if not in training. Flax's own dropout is refused.

        Returns:
          `(B, h, w, channels[i])` each, from fine to coarse, on grids of any size that span the image evenly.
        """
        raise NotImplementedError


class Head(Part):
    """From features to class scores; made by a class or function of `channels`, `num_classes`, a `Build`.

    Attributes:
      classifier: the last layer, whose first values are small and whose size says how many classes a file of
        PyTorch's has.
    """

    classifier: nnx.Module

    def __call__(
        self, features: tuple[jax.Array, ...], train: bool, draw: Draw | None
    ) -> tuple[jax.Array, jax.Array]:
        """Classifies.

        Args:
          features: the backbone's.
          train: in training.
          draw: as a backbone's.

        Returns:
          `(B, h, w, C)` class scores and `(B, h, w, D)`, the input of the classifier: z of the densities. The
          grid may be any that spans the image evenly.
        """
        raise NotImplementedError


def torch_name(path: Path, renames: Renames) -> str:
    """A parameter's name in PyTorch: ("layer1", "block0", "bn1", "scale") is 'layer1.0.bn1.weight'."""
    *modules, leaf = path
    module = ".".join(modules)
    for pattern, replacement in renames:
        if match := re.fullmatch(pattern, module):
            module = match.expand(replacement)
            break
    return ".".join(filter(None, (module, _LEAVES.get(leaf, leaf))))
