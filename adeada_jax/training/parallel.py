"""Running a step on all devices of all processes. The only module that names `pmap`."""

from collections.abc import Iterable, Iterator
from typing import TypeVar

import jax
import numpy as np

from adeada_jax.errors import InputError
from adeada_jax.training.step_types import Step
from adeada_jax.types import Array, PyTree

T = TypeVar("T")  # a tree of arrays

# The name reductions inside a step use: gradients, losses, batch statistics.
AXIS = "devices"


def parallelize(step: Step[PyTree]) -> jax.stages.Wrapped:
    """Pmaps `step(state, batch, key) -> (state, metrics)`.

    State and metrics are neither stacked nor copied to the host: they enter and leave without a device
    axis (`in_axes=None`, `out_axes=None`), so a step must return the same on every device. The old
    state's buffers are reused for the new.
    """
    return jax.pmap(step, axis_name=AXIS, in_axes=(None, 0, None), out_axes=(None, None), donate_argnums=(0,))


def replicate(tree: T) -> T:
    """Places a pytree as `parallelize`'s steps return it, so that the first call compiles for all."""
    mesh = jax.sharding.Mesh(np.array(jax.local_devices()), (AXIS,))
    return jax.device_put(tree, jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec()))


def check_batch_size(batch_size: int, accumulation: int = 1) -> None:
    """Raises InputError unless all devices share a batch evenly, each in `accumulation` equal parts."""
    devices = jax.device_count()
    if batch_size % (devices * accumulation) and batch_size % devices == 0:
        raise InputError(
            f"config.training.accumulation: {batch_size // devices} images a device cannot be divided into "
            f"{accumulation} parts; change it or config.data.batch_size"
        )
    if batch_size % devices:
        raise InputError(
            f"config.data.batch_size: {batch_size} images cannot be divided among {devices} devices; "
            f"use a multiple of {devices}"
        )


def shard(batch: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Splits this process's `(B, ...)` arrays to `(local devices, B / local devices, ...)`."""
    devices = jax.local_device_count()
    return {key: value.reshape(devices, -1, *value.shape[1:]) for key, value in batch.items()}


def spread(array: Array) -> Array:
    """Puts the images of a `(B, ...)` array on the local devices, as evenly as jit's partitioner wants them.

    B is a multiple of `jax.local_device_count()`.
    """
    if jax.local_device_count() == 1:
        return array
    mesh = jax.sharding.Mesh(np.array(jax.local_devices()), (AXIS,))
    return jax.device_put(array, jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec(AXIS)))


def fetched(results: Iterable[PyTree]) -> Iterator[PyTree]:
    """Copies pytrees to the host in turn, each while the devices work on the next."""
    newest = None
    for result in results:
        if newest is not None:
            yield jax.device_get(newest)
        newest = result
    if newest is not None:
        yield jax.device_get(newest)


def whole_batch(batch_size: int) -> int:
    """The least multiple of the local devices that holds a batch."""
    devices = jax.local_device_count()
    return -(-batch_size // devices) * devices


def sum_over_devices(tree: T) -> T:
    """Sums a pytree over the devices of the pmapped step this is called in."""
    return jax.lax.psum(tree, AXIS)
