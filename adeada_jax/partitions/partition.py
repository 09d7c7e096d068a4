"""What divides images into regions: the interface, and the kinds by name."""

from collections.abc import Callable, Mapping
from typing import Any, Protocol

import numpy as np

from adeada_jax import seams
from adeada_jax.partitions.grid import Grid
from adeada_jax.partitions.masks import Masks
from adeada_jax.partitions.slic import Slic
from adeada_jax.types import Json


class Partition(Protocol):
    """Divides images into regions, each image by itself.

    Where a map depends on more than the image, its name and the settings, such as a file, a partition has a
    method `mark(name) -> str`, too: a checksum of that. Maps of another mark are made anew.

    Attributes:
      settings: JSON-able; a partition of other settings makes other regions, and its maps lie elsewhere.
    """

    @property
    def settings(self) -> Mapping[str, Json]: ...

    def divide(self, image: np.ndarray, name: str) -> np.ndarray:
        """Divides an image.

        Args:
          image: `(H, W, 3)` uint8 RGB, upright.
          name: of the image.

        Returns:
          `(H, W)` int32 region ids from 0 to 65535; every pixel is of one.

        Raises:
          InputError: it cannot be divided; names the image.
        """
        ...


KINDS: dict[str, Callable[[Mapping[str, Any]], Partition]] = {"slic": Slic, "grid": Grid, "masks": Masks}


def create_partition(options: Mapping[str, Any]) -> Partition:
    """Makes a partition.

    Args:
      options: `config.regions`; its `kind` is a name as of `seams.PARTITION`. What that stands for must be a
        class or function that takes these options, of which it reads what concerns it.

    Raises:
      InputError: the kind is unknown, cannot be imported or gives no partition; what it needs is missing.
    """
    partition = seams.PARTITION.make(options["kind"], KINDS, options)
    if not isinstance(getattr(partition, "settings", None), Mapping) or not callable(
        getattr(partition, "divide", None)
    ):
        raise seams.PARTITION.refuse(
            options["kind"], "has a method `divide(image, name)` and an attribute `settings`, a dictionary"
        )
    return partition
