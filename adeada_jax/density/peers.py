"""Sums and gathers over the processes among which the samples are spread.

Every process knows all shards, but computes only those on its own devices. What a shard's rows give is
summed or gathered here; all processes then take the same decisions from the same numbers. With a single
process nothing is communicated.
"""

from collections.abc import Sequence
from functools import cache
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from adeada_jax.density.layout import Shard

_AXIS = "processes"


def own(shards: Sequence[Shard]) -> list[Shard]:
    """The shards on this process's devices."""
    return [shard for shard in shards if shard.process == jax.process_index()]


def spread(shards: Sequence[Shard]) -> bool:
    """Whether several processes hold shards."""
    return len({shard.process for shard in shards}) > 1


def summed(shards: Sequence[Shard], tree: Any) -> Any:
    """Sums a pytree of arrays over the processes; call it in all of them.

    Args:
        shards: all.
        tree: this process's, zeros where it has no shard.

    Returns:
        NumPy arrays of the inputs' shapes; the tree as it is if one process holds all shards.
    """
    if not spread(shards):
        return tree
    mesh, add = _adder()

    def total(array: Any) -> np.ndarray:
        parts = np.asarray(array)[None]
        parts = multihost_utils.host_local_array_to_global_array(parts, mesh, PartitionSpec(_AXIS))
        return np.asarray(add(parts).addressable_data(0))

    return jax.tree.map(total, tree)


def completed(
    shards: Sequence[Shard], values: Sequence[np.ndarray], dtype: np.dtype, leading: tuple[int, ...] = ()
) -> list[np.ndarray]:
    """Arrays over the rows of all shards from those of this process's; call it in all processes.

    Args:
        shards: all.
        values: (*leading, rows) one for each of this process's shards, at least `count` rows each.
        dtype: of the values, which a process without shards cannot know.
        leading: their other dimensions.
    """
    if not spread(shards):
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


@cache
def _adder() -> tuple[Mesh, Any]:
    """A mesh of one device a process, and the compiled sum over it."""
    first = {device.process_index: device for device in reversed(jax.devices())}
    mesh = Mesh(np.array([first[p] for p in sorted(first)]), (_AXIS,))
    everywhere = NamedSharding(mesh, PartitionSpec())
    return mesh, jax.jit(lambda parts: parts.sum(axis=0), out_shardings=everywhere)
