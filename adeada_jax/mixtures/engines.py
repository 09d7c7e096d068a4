"""Which mixtures are computed together, where, and by which engine."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import jax
import numpy as np
from numpy.typing import DTypeLike

from adeada_jax.mixtures.device_lists import DeviceListsEngine
from adeada_jax.mixtures.full import FullEngine
from adeada_jax.mixtures.packing import Layout, Samples, Shard, bucket, make_layout, make_shards
from adeada_jax.mixtures.peers import all_min
from adeada_jax.mixtures.shared import SharedEngine
from adeada_jax.mixtures.small import SmallEngine, is_small

Engine = FullEngine | SharedEngine | SmallEngine
COVARIANCE_TYPES = ("full", "tied", "diag", "spherical")
CPU_GROUP_ROWS = 32768
CPU_GROUP_COMPONENTS = 32
# Where the mask's way to the host, and the host's lists, take longer than the products: on an H200 a fit of
# 1.1 million regions takes 4.7 s so, and 7.9 s with lists of the host (docs/measurements/gpu.md).
LISTS_ON_DEVICE: tuple[str, ...] = ("gpu",)


@dataclass(frozen=True)
class Options:
    """What all mixtures of a call share.

    Attributes:
        covariance_type: one of `COVARIANCE_TYPES`.
        reg_covar: added to the covariances' diagonals.
        covariance_prior: one of `shrinkage.PRIORS`; not empty with full covariances only.
        devices: to spread the samples over; None for all local accelerators, or one CPU. Where some are
            other processes', all processes must make the same calls.
        resident_bytes: most bytes of samples kept on a device; more are streamed from the host.
            None: all on a CPU, half of an accelerator's memory.
    """

    covariance_type: str = "full"
    reg_covar: float = 1e-6
    covariance_prior: str = ""
    devices: tuple[jax.Device, ...] | None = None
    resident_bytes: int | None = None

    def device_list(self) -> list[jax.Device]:
        """Devices in use."""
        if self.devices:
            return list(self.devices)
        local = jax.local_devices()
        return local[:1] if local[0].platform == "cpu" else local

    def resident_limit(self) -> int:
        """Bytes of samples that may stay on a device; call it in all processes whose devices are used."""
        # The shards follow from it, which all processes have to cut alike.
        return all_min(self.device_list(), self._resident_here())

    def _resident_here(self) -> int:
        if self.resident_bytes is not None:
            return self.resident_bytes
        device = jax.local_devices()[0]
        stats = device.memory_stats() if device.platform != "cpu" else None
        return int(stats["bytes_limit"] // 2) if stats and "bytes_limit" in stats else 1 << 62


@dataclass(frozen=True)
class Group:
    """Mixtures computed together: `members` (indices), their layout and the rows reserved.

    A mixture that is `small` is alone, and computed in NumPy.
    """

    members: list[int]
    layout: Layout
    dtype: np.dtype
    capacity: int
    small: bool = False

    def split(self, shards: Sequence[Shard], values: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Cut arrays (..., rows), one a shard, into arrays (..., n_m), one a mixture."""
        pieces: list[list[np.ndarray]] = [[] for _ in self.members]
        for shard, array in zip(shards, values, strict=True):
            for m, piece in enumerate(pieces):
                piece.append(array[..., shard.starts[m] : shard.starts[m + 1]])
        return [np.concatenate(piece, axis=-1) for piece in pieces]


def plan(
    sizes: Sequence[int], components: Sequence[int], dim: int, dtype: DTypeLike, options: Options
) -> list[Group]:
    """Groups of mixtures: on a CPU each that is small by itself, the others as `plan_groups` packs them."""
    cpu = options.device_list()[0].platform == "cpu" and not options.covariance_prior
    kind = options.covariance_type
    alone = [cpu and is_small(n, k, dim, kind) for n, k in zip(sizes, components, strict=True)]
    groups = [
        Group([i], _bare_layout(sizes[i], components[i], dim), np.dtype(dtype), sizes[i], small=True)
        for i in np.flatnonzero(alone).tolist()
    ]
    others = np.flatnonzero(~np.array(alone, bool)).tolist()
    if others:
        packed = plan_groups([sizes[i] for i in others], [components[i] for i in others], dim, dtype, options)
        groups += [replace(group, members=[others[i] for i in group.members]) for group in packed]
    return groups


def _bare_layout(size: int, number: int, dim: int) -> Layout:
    """Of a single mixture, without padding."""
    return Layout(np.array([size]), np.array([number]), dim, dim, number, number, size)


def plan_groups(
    sizes: Sequence[int], components: Sequence[int], dim: int, dtype: DTypeLike, options: Options
) -> list[Group]:
    """Pack mixtures into groups, the largest first.

    On an accelerator all mixtures form one group as long as their moments fit; on a CPU groups are
    kept small, so that a fit needs little memory beside its input. Groups share their padded sizes,
    so that they share their programs.
    """
    cpu = options.device_list()[0].platform == "cpu"
    most_rows = CPU_GROUP_ROWS if cpu else 1 << 62
    most_components = CPU_GROUP_COMPONENTS if cpu else 1024
    bins: list[tuple[list[int], int, int]] = []
    for i in sorted(range(len(sizes)), key=lambda i: -sizes[i]):
        for b, (members, rows, slots) in enumerate(bins):
            if rows + sizes[i] <= most_rows and slots + components[i] <= most_components:
                bins[b] = ([*members, i], rows + sizes[i], slots + components[i])
                break
        else:
            bins.append(([i], sizes[i], components[i]))
    columns = max(components)
    slots = max(bucket(used, 16) for _, _, used in bins)
    common = bucket(min(max(rows for _, rows, _ in bins), most_rows), 1024)
    return [
        Group(
            members,
            make_layout([sizes[i] for i in members], [components[i] for i in members], dim, columns, slots),
            np.dtype(dtype),
            common if rows <= common else bucket(rows, 256),
        )
        for members, rows, _ in bins
    ]


def make_engine(
    group: Group,
    features: Sequence[Samples],
    centres: np.ndarray,
    options: Options,
    *,
    every_pair: bool = False,
    weights: Sequence[np.ndarray] | None = None,
) -> Engine:
    """The engine of a group's mixtures, with the samples laid out.

    Args:
        group: from `plan_groups`.
        features: (n_m, D), one a member.
        centres: (M, D) float64 subtracted from the samples.
        options: shared by all.
        every_pair: compute even the pairs that cannot matter.
        weights: of the samples (n_m,), one a member and all positive; None counts each as one.
    """
    if group.small:
        return _small_engine(group, features, centres, options, weights)
    shards = make_shards(
        features,
        group.layout,
        centres,
        group.dtype,
        devices=options.device_list(),
        capacity=group.capacity,
        resident_bytes=options.resident_limit(),
    )
    if options.covariance_type == "full":
        cutoff = np.inf if every_pair else None
        on_device = options.device_list()[0].platform in LISTS_ON_DEVICE
        engine = DeviceListsEngine if on_device else FullEngine
        return engine(
            shards,
            group.layout,
            reg_covar=options.reg_covar,
            covariance_prior=options.covariance_prior,
            cutoff=cutoff,
            weights=weights,
        )
    return SharedEngine(
        shards,
        group.layout,
        covariance_type=options.covariance_type,
        reg_covar=options.reg_covar,
        weights=weights,
    )


def _small_engine(
    group: Group,
    features: Sequence[Samples],
    centres: np.ndarray,
    options: Options,
    weights: Sequence[np.ndarray] | None,
) -> SmallEngine:
    """Its samples are a shard that no device gets, and that every process has for itself."""
    size, dim, device = int(group.layout.sizes[0]), group.layout.dim, jax.local_devices()[0]
    shard = Shard(
        list(features),
        centres,
        starts=np.array([0, size]),
        capacity=size,
        padded_dim=dim,
        dtype=group.dtype,
        device=device,
        devices=[device],
        resident=True,
        small=True,
    )
    return SmallEngine(
        [shard],
        group.layout,
        covariance_type=options.covariance_type,
        reg_covar=options.reg_covar,
        weights=weights,
    )
