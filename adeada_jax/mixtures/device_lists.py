"""EM's task lists made on the device: by prefix sums and a scatter, without a mask's way to the host.

The lists are those of `packing.pair_tasks`, but of a fixed length: behind the tasks in use is padding.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from adeada_jax.mixtures import programs
from adeada_jax.mixtures.full import FullEngine, State
from adeada_jax.mixtures.packing import SMALL_BLOCK, Layout, Shard


class Places(NamedTuple):
    """How a shard's rows lie, on the device.

    Attributes:
        row_mixture: (N,) mixture of every row, M for padding.
        starts: (M + 1,) first row of every mixture.
        slots: (K, M + 1) slot of every column of a mixture, C where there is none.
        mixture, column: (C,) of every slot; 0 for slots without a component, which `used` (C,) tells apart.
    """

    row_mixture: jax.Array
    starts: jax.Array
    slots: jax.Array
    mixture: jax.Array
    column: jax.Array
    used: jax.Array


class Listed(NamedTuple):
    """Tasks of one size as `packing.Tasks`, of a fixed length T of which the first `number` are in use."""

    rows: jax.Array
    components: jax.Array
    columns: jax.Array
    number: jax.Array


def places_of(shard: Shard, layout: Layout) -> Places:
    """Puts what the lists need of a layout on the shard's device."""
    used = layout.component_mixture < len(layout.sizes)
    mixture = np.where(used, layout.component_mixture, 0).astype(np.int32)
    column = np.where(used, np.arange(layout.slots) - layout.component_starts[mixture], 0).astype(np.int32)
    slots = np.full((layout.columns, len(layout.sizes) + 1), layout.slots, np.int32)
    slots[column[used], mixture[used]] = np.flatnonzero(used)
    arrays = (shard.row_mixture(), shard.starts.astype(np.int32), slots, mixture, column, used)
    return Places(*jax.device_put(arrays, shard.device))


def capacities(shard: Shard, layout: Layout, width: int) -> tuple[int, int]:
    """Most large and small tasks that any mask can give, as multiples of `width`."""
    large = int((layout.components * np.diff(shard.starts)).sum()) // (layout.big_block - SMALL_BLOCK)
    small = int(layout.components.sum()) * ((layout.big_block - SMALL_BLOCK) // SMALL_BLOCK)
    of_large, of_small = (-(-max(most, 1) // width) * width for most in (large, small))
    return of_large, of_small


@partial(jax.jit, static_argnames=("big", "most"))
def listed_pairs(
    mask: jax.Array, places: Places, *, big: int, most: tuple[int, int]
) -> tuple[Listed, Listed, jax.Array]:
    """The tasks of the chosen pairs, in the order of `packing.pair_tasks`.

    A pair's number within its component is the prefix sum of its column of the mask; with the prefix sum of
    the components' blocks it gives the pair's place in the list.

    Args:
        mask: (K, N) bool, of which only pairs that there are count.
        places: of the shard.
        big: rows of a large block.
        most: tasks that there is room for, large and small.

    Returns:
        Large and small tasks, and the pairs (C,) int32 of every slot.
    """
    size, slots = mask.shape[1], places.slots

    def by_row(values: jax.Array) -> jax.Array:
        """(K, N) from (K, M + 1)."""
        return jnp.take(values, places.row_mixture, axis=1)

    def by_mixture(values: jax.Array) -> jax.Array:
        """(K, M + 1) from (C,)."""
        return jnp.append(values, 0)[slots]

    mask = mask & by_row(slots < len(places.used))
    running = jnp.cumsum(mask, axis=1, dtype=jnp.int32)
    before = jnp.where(places.starts > 0, running[:, jnp.maximum(places.starts - 1, 0)], 0)
    counts = jnp.where(places.used, jnp.diff(before, axis=1)[places.column, places.mixture], 0)
    rest = counts % big
    cut = jnp.where(rest > big - SMALL_BLOCK, counts, counts - rest)
    blocks = -(-cut // big), -(-(counts - cut) // SMALL_BLOCK)
    firsts = [jnp.cumsum(number, dtype=jnp.int32) - number for number in blocks]
    lengths = (most[0] * big, most[1] * SMALL_BLOCK)
    number = running - 1 - by_row(before)
    large, small = by_mixture(firsts[0] * big), by_mixture(lengths[0] + firsts[1] * SMALL_BLOCK - cut)
    place = number + jnp.where(number < by_row(by_mixture(cut)), by_row(large), by_row(small))
    place = jnp.where(mask, place, sum(lengths)).ravel()
    rows = jnp.broadcast_to(jnp.arange(size, dtype=jnp.int32), mask.shape).ravel()
    flat = jnp.full(sum(lengths), size, jnp.int32).at[place].set(rows, mode="drop")
    pieces = zip(jnp.split(flat, [lengths[0]]), (big, SMALL_BLOCK), blocks, strict=True)
    of_large, of_small = (_task(piece.reshape(-1, block), own, places) for piece, block, own in pieces)
    return of_large, of_small, counts


def _task(rows: jax.Array, blocks: jax.Array, places: Places) -> Listed:
    """The tasks' components from every slot's number of blocks (C,)."""
    ends = jnp.cumsum(blocks, dtype=jnp.int32)
    component = jnp.searchsorted(ends, jnp.arange(len(rows), dtype=jnp.int32), side="right")
    component = jnp.minimum(component, len(ends) - 1).astype(jnp.int32)
    return Listed(rows, component, places.column[component], ends[-1])


class DeviceListsEngine(FullEngine):
    """The engine with its task lists made on the device; of what it computed it keeps no count."""

    def __init__(self, *arguments: Any, **options: Any):
        super().__init__(*arguments, **options)
        self._places: dict[int, Places] = {}  # by the shard's id

    def _complete(
        self, shard: Shard, state: State, rows: jax.Array, parts: programs.Components, mask: jax.Array
    ) -> None:
        for tasks in self._lists(shard, mask)[:2]:
            state.scores, state.exact = programs.complete_scores(
                rows, state.scores, state.exact, parts, *tasks, width=self.width
            )

    def _accumulate(
        self, shard: Shard, state: State, rows: jax.Array, mask: jax.Array | np.ndarray, changes: jax.Array
    ) -> None:
        *both, counts = self._lists(shard, mask)
        moments, changes = self._moments_on(shard.device), self._weighed(state, changes)
        for tasks in both:
            moments = programs.accumulate(rows, changes, moments, self.centres, *tasks, width=self.width)
        self._moments[shard.device] = moments
        self.changed |= np.asarray(counts) > 0

    def _lists(self, shard: Shard, mask: jax.Array | np.ndarray) -> tuple[Listed, Listed, jax.Array]:
        if id(shard) not in self._places:
            self._places[id(shard)] = places_of(shard, self.layout)
        most = capacities(shard, self.layout, self.width)
        return listed_pairs(mask, self._places[id(shard)], big=self.layout.big_block, most=most)
