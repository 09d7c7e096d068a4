"""Where EM's task lists are made, for a comparison of both."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

from adeada_jax.mixtures import engines

PLATFORMS = {"host": (), "device": ("cpu", "gpu", "tpu")}


@contextmanager
def lists_made_on(place: Literal["host", "device"]) -> Iterator[None]:
    """While it lasts, new engines with full covariances make their task lists there."""
    before = engines.LISTS_ON_DEVICE
    engines.LISTS_ON_DEVICE = PLATFORMS[place]
    try:
        yield
    finally:
        engines.LISTS_ON_DEVICE = before
