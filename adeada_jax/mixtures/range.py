"""Whether samples are finite, which precision holds their squares, and about which centre."""

from collections.abc import Sequence

import jax
import numpy as np

from adeada_jax.mixtures.packing import Samples, chunks, total
from adeada_jax.mixtures.peers import all_reduce, own_rows

# Sizes between which float32 holds squared distances with their differences; beyond, float64 is worked in.
_LEAST, _MOST = 1e-12, 1e12
# Values beyond this size may draw the mean away from the others; then this many rows give the centre.
_LARGE, _ROWS = 1e4, 1000
# Beyond this size sums of squares could overflow float64, too.
_LIMIT = 1e140


def check_finite(arrays: Sequence[Samples], devices: Sequence[jax.Device]) -> None:
    """Each process looks at its part of the samples, and all learn of what one finds.

    Raises:
        ValueError: samples that are not finite; names the sample set.
    """
    parts = [own_rows(array, devices) for array in arrays]
    bad = [not all(np.isfinite(chunk).all() for _, chunk in chunks(part)) for part in parts]
    for i in np.flatnonzero(all_reduce(devices, np.array(bad, np.int32))):
        raise ValueError(f"features[{i}] contains NaN or infinity; remove those samples")


def working_types(arrays: Sequence[Samples], devices: Sequence[jax.Device]) -> list[np.dtype]:
    """For each sample set (N, D) the precision to work in: its own, or float64 where float32 is too narrow.

    Args:
        arrays: finite; each process looks at its part of the rows.
        devices: all that the samples are spread over.

    Raises:
        ValueError: values too large for float64; names the sample set.
    """
    sizes = [_size(own_rows(array, devices)) for array in arrays]
    small, large, huge = (
        all_reduce(devices, np.array([test(size) for size in sizes], np.int32))
        for test in (lambda size: size >= _LEAST, lambda size: size > _MOST, lambda size: size > _LIMIT)
    )
    for i in np.flatnonzero(huge):
        raise ValueError(
            f"features[{i}] has values beyond {_LIMIT:g}: sums of squares could overflow float64; "
            "scale the samples"
        )
    return [
        np.dtype(np.float64) if wide or not ordinary else np.dtype(array.dtype)
        for array, ordinary, wide in zip(arrays, small, large, strict=True)
    ]


def _size(samples: Samples) -> float:
    """The largest absolute value; 1 where there is none but zeros, which need no care."""
    size = max((float(np.abs(part).max()) for _, part in chunks(samples)), default=0.0)
    return size if size > 0 else 1.0


def centres_of(arrays: Sequence[Samples], devices: Sequence[jax.Device]) -> np.ndarray:
    """(M, D) float64: what is subtracted from the samples before they are rounded to the working precision.

    That is their mean; or, where values are large, the median of some of them, since a mean that one huge
    value draws away would leave nothing of the others' differences.
    """
    sums = all_reduce(devices, np.stack([total(own_rows(array, devices)) for array in arrays]))
    centres = sums / np.array([[len(array)] for array in arrays])
    sizes = [_size(own_rows(array, devices)) > _LARGE for array in arrays]
    for i in np.flatnonzero(all_reduce(devices, np.array(sizes, np.int32))).tolist():
        rows = np.unique(np.linspace(0, len(arrays[i]) - 1, _ROWS).astype(int))
        some = np.stack([np.asarray(arrays[i][int(row) : int(row) + 1])[0] for row in rows])
        centres[i] = np.median(some.astype(np.float64), axis=0)
    return centres
