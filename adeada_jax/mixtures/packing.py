"""How the samples of many mixtures lie on the devices, and the lists of work over them.

All sizes that enter a compiled program are rounded up to few values, so that the fits of a later
round reuse the programs of an earlier one. Padding costs memory only: work is listed in blocks of
rows and only listed blocks are computed.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol, overload

import jax
import numpy as np
from numpy.typing import DTypeLike

SMALL_BLOCK = 128


def bucket(size: int, least: int) -> int:
    """The least of `least` x {1, 1.25, 1.5, 1.75} x 2^i that holds `size`."""
    upper = least
    while upper < size:
        upper *= 2
    for eighths in (5, 6, 7):
        if upper > least and size <= upper * eighths // 8:
            return upper * eighths // 8
    return upper


def padded_dimension(dim: int) -> int:
    """D rounded up, so that similar widths share programs; padding acts as a unit Gaussian at 0."""
    if dim <= 16:
        return 4 if dim <= 4 else 8 if dim <= 8 else 16
    return -(-dim // 32) * 32


@dataclass(frozen=True)
class Layout:
    """Mixtures that are fitted in the same programs.

    Attributes:
        sizes: (M,) samples, components: (M,) components of every mixture.
        dim: D, padded_dim: D as the programs see it.
        columns: K of the padded (K, N) arrays.
        slots: length C of arrays over all components, `columns` more than there are.
        big_block: rows of a large block of work.
    """

    sizes: np.ndarray
    components: np.ndarray
    dim: int
    padded_dim: int
    columns: int
    slots: int
    big_block: int

    @property
    def component_starts(self) -> np.ndarray:
        """(M + 1,) first component of every mixture."""
        return np.concatenate([[0], np.cumsum(self.components)]).astype(np.int32)

    @property
    def component_mixture(self) -> np.ndarray:
        """(C,) mixture of every component, M for slots without one."""
        mixtures = np.full(self.slots, len(self.sizes), np.int32)
        mixtures[: self.components.sum()] = np.repeat(np.arange(len(self.sizes)), self.components)
        return mixtures


def make_layout(
    sizes: Sequence[int], components: Sequence[int], dim: int, columns: int, slots: int
) -> Layout:
    """Layout of mixtures with `sizes` samples and `components` components of dimension `dim`."""
    padded = padded_dimension(dim)
    big = 512 if jax.default_backend() == "cpu" else 4096
    width = bucket(columns, 4)
    return Layout(
        np.asarray(sizes, np.int64), np.asarray(components, np.int64), dim, padded, width, slots + width, big
    )


@dataclass(frozen=True)
class Rows:
    """Rows of an array by index, read only as they are asked for.

    Attributes:
        array: (N, D).
        rows: (n,) indices into it.
    """

    array: np.ndarray
    rows: np.ndarray

    ndim = 2

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def shape(self) -> tuple[int, int]:
        """(n, D)."""
        return len(self.rows), self.array.shape[1]

    @property
    def dtype(self) -> np.dtype:
        """The array's."""
        return self.array.dtype

    @overload
    def __getitem__(self, key: slice) -> "Rows": ...
    @overload
    def __getitem__(self, key: int | np.ndarray) -> np.ndarray: ...
    def __getitem__(self, key: slice | int | np.ndarray) -> "Rows | np.ndarray":
        if isinstance(key, slice):
            return Rows(self.array, self.rows[key])
        return self.array[self.rows[key]]

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> np.ndarray:
        return np.asarray(self.array[self.rows], dtype)


def zeros(shape: tuple[int, ...] | int, dtype: DTypeLike, device: jax.Device) -> jax.Array:
    """Zeros on a device, without compiling a program for every shape."""
    return jax.device_put(np.zeros(shape, dtype), device, may_alias=False)


def _aligned_zeros(shape: tuple[int, int], dtype: np.dtype) -> np.ndarray:
    """Zeros that a CPU device can take over without a copy."""
    size = int(np.prod(shape)) * dtype.itemsize
    raw = np.zeros(size + 64, np.uint8)
    offset = -raw.ctypes.data % 64
    return raw[offset : offset + size].view(dtype).reshape(shape)


Samples = np.ndarray | Rows


class Given(Protocol):
    """Parameters to start from: those of a fit, or a start that has all of them."""

    @property
    def weights(self) -> np.ndarray | None: ...
    @property
    def means(self) -> np.ndarray | None: ...
    @property
    def precisions_cholesky(self) -> np.ndarray | None: ...


def given_parameters(given: Given) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Weights, means and precisions_cholesky, which are all there."""
    assert given.weights is not None
    assert given.means is not None
    assert given.precisions_cholesky is not None
    return given.weights, given.means, given.precisions_cholesky


def chunks(samples: Samples, rows: int = 4096) -> Iterator[tuple[int, np.ndarray]]:
    """Yield (first row, rows) of samples (N, D), a few rows at a time."""
    for low in range(0, len(samples), rows):
        yield low, np.asarray(samples[low : low + rows])


def total(samples: Samples) -> np.ndarray:
    """Sum (D,) float64 over samples (N, D)."""
    parts = (part.sum(axis=0, dtype=np.float64) for _, part in chunks(samples))
    return sum(parts, np.zeros(samples.shape[1]))


def mean(samples: Samples) -> np.ndarray:
    """Mean (D,) float64 over samples (N, D)."""
    return total(samples) / len(samples)


@dataclass
class Shard:
    """Consecutive rows of the layout's samples, on one device.

    Attributes:
        parts: for every mixture the features (n_m, D) in this shard, as the caller gave them.
        centres: (M, D) float64, subtracted before rounding to the working precision.
        starts: (M + 1,) first row of every mixture here.
        capacity: rows of the device's array.
        device: where the shard's work is done.
        devices: all that the layout's samples are spread over.
        resident: whether the rows stay there; otherwise every pass uploads them anew.
        small: whether there is so little work that NumPy does it, and no device.
    """

    parts: list[Samples]
    centres: np.ndarray
    starts: np.ndarray
    capacity: int
    padded_dim: int
    dtype: np.dtype
    device: jax.Device
    devices: Sequence[jax.Device]
    resident: bool
    small: bool = False
    _rows: jax.Array | None = None
    _host: np.ndarray | None = None
    _squares: np.ndarray | None = None

    def rows(self) -> jax.Array:
        """(capacity, padded D) centred features on the device."""
        if self._rows is not None:
            return self._rows
        rows = jax.device_put(self._centred(), self.device)
        if self.resident:
            self._rows = rows
        return rows

    def on_host(self) -> np.ndarray:
        """The same in NumPy, where the shard is small or its device is a CPU, without a copy."""
        if not self.small:
            return np.asarray(self.rows())
        if self._host is None:
            self._host = self._centred()
        return self._host

    def squares(self) -> np.ndarray:
        """(capacity,) squared norms of the rows, in NumPy."""
        if self._squares is None:
            rows = self.on_host()
            self._squares = np.einsum("ni,ni->n", rows, rows)
        return self._squares

    def _centred(self) -> np.ndarray:
        host = _aligned_zeros((self.capacity, self.padded_dim), self.dtype)
        for part, centre, start in zip(self.parts, self.centres, self.starts, strict=False):
            for low, chunk in chunks(part):
                host[start + low : start + low + len(chunk), : part.shape[1]] = chunk - centre
        return host

    @property
    def process(self) -> int:
        """Number of the process whose device does the shard's work."""
        return self.device.process_index

    @property
    def count(self) -> int:
        """Rows in use."""
        return int(self.starts[-1])

    def row_mixture(self) -> np.ndarray:
        """(capacity,) mixture of every row, M for padding."""
        mixtures = np.full(self.capacity, len(self.parts), np.int32)
        mixtures[: self.count] = np.repeat(np.arange(len(self.parts)), np.diff(self.starts))
        return mixtures


def make_shards(
    features: Sequence[Samples],
    layout: Layout,
    centres: np.ndarray,
    dtype: DTypeLike,
    *,
    devices: Sequence[jax.Device],
    capacity: int,
    resident_bytes: int,
) -> list[Shard]:
    """Cut the rows of all mixtures into shards.

    Every device gets an equal run of rows; where that is more than `resident_bytes`, the run is
    cut further and its pieces are streamed from the host.
    """
    total = int(layout.sizes.sum())
    row_bytes = layout.padded_dim * np.dtype(dtype).itemsize
    per_device = -(-total // len(devices))
    resident = per_device * row_bytes <= resident_bytes
    run = per_device if resident else max(SMALL_BLOCK, resident_bytes // (3 * row_bytes))
    bounds = np.concatenate([[0], np.cumsum(layout.sizes)])
    shards = []
    for index, low in enumerate(range(0, total, run)):
        high = min(low + run, total)
        parts = [
            f[max(low - a, 0) : max(high - a, 0)] for f, a in zip(features, bounds[:-1].tolist(), strict=True)
        ]
        starts = np.concatenate([[0], np.cumsum([len(p) for p in parts])])
        device = devices[index * len(devices) // -(-total // run)]
        size = max(capacity if len(devices) == 1 and resident else 0, bucket(high - low, 256))
        shards.append(
            Shard(parts, centres, starts, size, layout.padded_dim, np.dtype(dtype), device, devices, resident)
        )
    return shards


def own_columns(
    shards: Sequence[Shard], values: Sequence[np.ndarray | None], columns: int, dtype: DTypeLike
) -> Iterator[np.ndarray]:
    """For each shard of this process, (columns, capacity) of its rows' values.

    Args:
        shards: all, those of other processes included.
        values: (n_m, K_m) one a mixture; None leaves zeros.
        columns: at least every K_m.
        dtype: of the result.
    """
    taken = np.zeros(len(values), np.int64)
    for shard in shards:
        lows = taken.copy()
        taken += [len(part) for part in shard.parts]
        if shard.process != jax.process_index():
            continue
        given = np.zeros((columns, shard.capacity), dtype)
        for m, rows in enumerate(values):
            if rows is not None:
                piece = rows[lows[m] : taken[m]]
                given[: piece.shape[1], shard.starts[m] : shard.starts[m] + len(piece)] = piece.T
        yield given


def own_weights(
    shards: Sequence[Shard], weights: Sequence[np.ndarray] | None
) -> list[np.ndarray] | list[None]:
    """For each shard of this process (1, capacity) float64 weights of its rows; None without weights."""
    if weights is None:
        return [None for shard in shards if shard.process == jax.process_index()]
    return list(own_columns(shards, [weight[:, None] for weight in weights], 1, np.float64))


def masses_of(layout: Layout, weights: Sequence[np.ndarray] | None) -> np.ndarray:
    """(M,) sum of every mixture's weights (n_m,); its number of samples without weights."""
    return layout.sizes if weights is None else np.array([weight.sum() for weight in weights])


def row_blocks(shard: Shard, mixtures: np.ndarray, block: int) -> tuple[np.ndarray, np.ndarray]:
    """Blocks of consecutive rows that cover the chosen mixtures.

    Args:
        shard: the rows.
        mixtures: (M,) bool, which to cover.
        block: rows of a large block.

    Returns:
        Two arrays (n, 4) int32 of (start, low, high, mixture) for large and for small blocks: the
        block begins at row `start`, and its rows from `low` to `high` count.
    """
    lists: tuple[list[tuple[int, ...]], list[tuple[int, ...]]] = ([], [])
    for m in np.flatnonzero(mixtures).tolist():
        low, stop = int(shard.starts[m]), int(shard.starts[m + 1])
        while low < stop:
            large = stop - low > block - SMALL_BLOCK and shard.capacity >= block
            size = block if large else SMALL_BLOCK
            high = min(low + size, stop)
            lists[0 if large else 1].append((min(low, shard.capacity - size), low, high, m))
            low = high
    of_large, of_small = (np.array(entries, np.int32).reshape(-1, 4) for entries in lists)
    return of_large, of_small


@dataclass(frozen=True)
class Tasks:
    """Rows that meet a component, in blocks of one size.

    Attributes:
        rows: (T, B) int32, out of range where the block is padded.
        components: (T,) int32 slot, columns: (T,) int32 column of the component in its mixture.
    """

    rows: np.ndarray
    components: np.ndarray
    columns: np.ndarray


def pair_tasks(mask: np.ndarray, shard: Shard, layout: Layout) -> tuple[Tasks, Tasks]:
    """Group the chosen (component, row) pairs into large and small blocks of rows a component.

    A mixture's rows lie together, so a component's pairs are a run of the mask: nothing needs sorting.

    Args:
        mask: (K, rows) bool of pairs of a column and a row; False where there is no such pair.
        shard: the rows.
        layout: the mixtures.
    """
    large: list[tuple[int, int, np.ndarray]] = []  # slot, column and rows of a component
    small: list[tuple[int, int, np.ndarray]] = []
    for m, (low, high) in enumerate(zip(shard.starts[:-1], shard.starts[1:], strict=True)):
        for column in range(layout.components[m]) if high > low else ():
            rows = np.flatnonzero(mask[column, low:high])
            slot, cut = int(layout.component_starts[m]) + column, _in_large(len(rows), layout.big_block)
            rows += low
            if cut:
                large.append((slot, column, rows[:cut]))
            if cut < len(rows):
                small.append((slot, column, rows[cut:]))
    return _blocks(large, layout.big_block, shard.capacity), _blocks(small, SMALL_BLOCK, shard.capacity)


def _in_large(count: int, block: int) -> int:
    """How many of a component's rows go into large blocks; the last may be padded a little."""
    rest = count % block
    return count if rest > block - SMALL_BLOCK else count - rest


def _blocks(owned: Sequence[tuple[int, int, np.ndarray]], size: int, padding: int) -> Tasks:
    """Blocks of `size` rows, each of one component; `padding` stands for no row."""
    counts = [-(-len(rows) // size) for _, _, rows in owned]
    listed = np.full(sum(counts) * size, padding, np.int32)
    at = 0
    for (_, _, rows), count in zip(owned, counts, strict=True):
        listed[at : at + len(rows)] = rows
        at += count * size
    slots, columns = (
        np.repeat(np.array([one[i] for one in owned], np.int32), np.array(counts, np.int64)) for i in (0, 1)
    )
    return Tasks(listed.reshape(-1, size), slots, columns)


def in_chunks(arrays: Sequence[np.ndarray], capacity: int) -> Iterator[tuple[np.integer, list[np.ndarray]]]:
    """Yield (count, arrays padded to `capacity` rows), so that every call has one shape."""
    total = len(arrays[0])
    for low in range(0, total, capacity):
        parts = [array[low : low + capacity] for array in arrays]
        count = len(parts[0])
        if count < capacity:
            parts = [np.concatenate([p, np.repeat(p[-1:], capacity - count, axis=0)]) for p in parts]
        yield np.int32(count), parts
