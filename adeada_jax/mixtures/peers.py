"""Sums and gathers over the processes among which the samples are spread.

Every process knows all shards, but computes only those on its own devices. What a shard's rows give is
summed or gathered here; all processes then take the same decisions from the same numbers. With a single
process nothing is communicated.
"""

from collections.abc import Sequence
from functools import cache
from typing import TypeVar

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from numpy.typing import DTypeLike

from adeada_jax.mixtures.packing import Samples, Shard

T = TypeVar("T")  # a tree of arrays

_AXIS = "processes"


def own(shards: Sequence[Shard]) -> list[Shard]:
    """The shards on this process's devices."""
    return [shard for shard in shards if shard.process == jax.process_index()]


def own_rows(samples: Samples, devices: Sequence[jax.Device]) -> Samples:
    """This process's run of samples (N, D), for work that the devices' processes share without shards.

    All rows where the devices are of one process, none in a process that has none of them.
    """
    processes = _processes(devices)
    if len(processes) == 1:
        return samples
    if jax.process_index() not in processes:
        return samples[:0]
    place, number = processes.index(jax.process_index()), len(processes)
    return samples[len(samples) * place // number : len(samples) * (place + 1) // number]


def all_min(devices: Sequence[jax.Device], value: int) -> int:
    """The least of the processes' values, if the devices are of several; call it in all processes."""
    if len(_processes(devices)) == 1:
        return value
    # As bytes, because JAX may cut an int64 down to 32 bits.
    sent = np.frombuffer(np.int64(value).tobytes(), np.uint8)
    received = np.ascontiguousarray(multihost_utils.process_allgather(sent), np.uint8)
    return int(received.view(np.int64).min())


def all_reduce(devices: Sequence[jax.Device], tree: T) -> T:
    """Sums a pytree of arrays over the processes; call it in all of them.

    Args:
        devices: all that the samples are spread over.
        tree: this process's, zeros where it has nothing to add.

    Returns:
        NumPy arrays of the inputs' shapes; the tree as it is if the devices are of one process.
    """
    if len(_processes(devices)) == 1:
        return tree
    mesh, add = _adder()

    def total(array: np.ndarray | jax.Array) -> np.ndarray:
        parts = np.asarray(array)[None]
        parts = multihost_utils.host_local_array_to_global_array(parts, mesh, PartitionSpec(_AXIS))
        return np.asarray(add(parts).addressable_data(0))

    return jax.tree.map(total, tree)


def all_gather(
    shards: Sequence[Shard], values: Sequence[np.ndarray], dtype: DTypeLike, leading: tuple[int, ...] = ()
) -> list[np.ndarray]:
    """Arrays over the rows of all shards from those of this process's; call it in all processes.

    Args:
        shards: all.
        values: (*leading, rows) one for each of this process's shards, at least `count` rows each.
        dtype: of the values, which a process without shards cannot know.
        leading: their other dimensions.
    """
    if len(_processes(shards[0].devices)) == 1:
        return list(values)
    counts = np.zeros(jax.process_count(), np.int64)
    for shard in shards:
        counts[shard.process] += shard.count
    mine = [np.asarray(v)[..., : s.count] for s, v in zip(own(shards), values, strict=True)]
    sent = np.zeros((*leading, counts.max()), dtype)
    if mine:
        sent[..., : counts[jax.process_index()]] = np.concatenate(mine, axis=-1)
    received = multihost_utils.process_allgather(sent)
    taken, found = np.zeros_like(counts), []
    for shard in shards:
        low = taken[shard.process]
        found.append(np.asarray(received[shard.process])[..., low : low + shard.count])
        taken[shard.process] += shard.count
    return found


def mean_densities(
    shards: Sequence[Shard],
    norms: Sequence[np.ndarray],
    weights: Sequence[np.ndarray | None],
    masses: np.ndarray,
) -> np.ndarray:
    """Mean log density (M,) of every mixture's samples; call it in all processes.

    Args:
        shards: all.
        norms: log densities (rows,) of each of this process's shards.
        weights: (1, capacity) of the rows of each of this process's shards, or None.
        masses: (M,) sum of every mixture's weights, or its number of samples.
    """
    totals = np.zeros(len(masses))
    for shard, norm, weight in zip(own(shards), norms, weights, strict=True):
        values = norm if weight is None else norm * weight[0, : shard.count]
        for m, (low, high) in enumerate(zip(shard.starts, shard.starts[1:], strict=False)):
            totals[m] += np.sum(values[low:high], dtype=np.float64)
    return all_reduce(shards[0].devices, totals) / masses


def _processes(devices: Sequence[jax.Device]) -> list[int]:
    return sorted({device.process_index for device in devices})


@cache
def _adder() -> tuple[Mesh, jax.stages.Wrapped]:
    """A mesh of one device a process, and the compiled sum over it."""
    first = {device.process_index: device for device in reversed(jax.devices())}
    mesh = Mesh(np.array([first[p] for p in sorted(first)]), (_AXIS,))
    everywhere = NamedSharding(mesh, PartitionSpec())
    return mesh, jax.jit(lambda parts: parts.sum(axis=0), out_shardings=everywhere)
