"""The pool on disk: regions and prices, not what is bought, of which the selections are the record."""

from pathlib import Path

from adeada_jax.arrays import load_arrays, save_arrays
from adeada_jax.method.pool import Pool


def save_pool(path: Path, pool: Pool) -> None:
    """Writes the regions and prices as one safetensors file, whole or not at all."""
    arrays = {"image": pool.image, "region": pool.region, "pixels": pool.pixels}
    save_arrays(path, arrays, {"names": pool.names})


def load_pool(path: Path) -> Pool:
    """Reads what `save_pool` wrote; nothing is bought yet."""
    arrays, metadata = load_arrays(path)
    return Pool.from_regions(metadata["names"], **arrays)
