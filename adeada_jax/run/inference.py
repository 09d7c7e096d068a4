"""Model and region maps to a table of regions: features, class probabilities, uncertainties, prices."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields
from functools import cache, partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from adeada_jax import timers
from adeada_jax.arrays import create_arrays, map_arrays, save_arrays
from adeada_jax.data.batches import whole_image_batches
from adeada_jax.method.pooling import region_feature_sums, region_sums
from adeada_jax.models import Discriminator, Segmenter, normalize, upsample
from adeada_jax.telemetry import track
from adeada_jax.training import parallel

# Region numbers are padded to a multiple of this, so that a few compilations serve all batches.
_REGION_BUCKET = 16
# Rows of a table that are copied at once.
_ROWS = 1 << 16


@dataclass(frozen=True)
class RegionTable:
    """What the model says of every region of a domain, by image, then region id.

    Attributes:
      names: image names; `image` indexes them.
      image: `(N,)` int32.
      region: `(N,)` int32, the id in the image's region map.
      pixels: `(N,)` int64.
      features: `(N, D)` float32, z: the mean 256-d feature over the region's pixels (Sec. 3.2.1).
      probabilities: `(N, C)` float32, the mean softmax over the region's pixels.
      entropy: `(N,)` float32, mean pixel entropy in nats (Eq. 10).
      margin: `(N,)` float32, mean difference of the two largest probabilities (Eq. 8).
      confidence: `(N,)` float32, mean largest probability (Eq. 9).
      target_probability: `(N,)` float32, the discriminator's mean probability that the region is of the
        target, where one was asked; else None.
    """

    names: tuple[str, ...]
    image: np.ndarray
    region: np.ndarray
    pixels: np.ndarray
    features: np.ndarray
    probabilities: np.ndarray
    entropy: np.ndarray
    margin: np.ndarray
    confidence: np.ndarray
    target_probability: np.ndarray | None = None

    @property
    def predicted(self) -> np.ndarray:
        """`(N,)` int32: c, the class with the largest mean probability."""
        return self.probabilities.argmax(axis=1).astype(np.int32)

    @property
    def arrays(self) -> dict[str, np.ndarray]:
        """All but the names, without what was not asked for."""
        arrays = {field.name: getattr(self, field.name) for field in fields(self) if field.name != "names"}
        return {name: array for name, array in arrays.items() if array is not None}

    def save(self, path: Path) -> None:
        """Writes one safetensors file, whole or not at all."""
        save_arrays(path, self.arrays, {"names": self.names})

    @classmethod
    def load(cls, path: Path) -> "RegionTable":
        """What `save` or `join_tables` wrote; rows are read from the disk as they are asked for."""
        arrays, metadata = map_arrays(path)
        return cls(names=tuple(metadata["names"]), **arrays)


def infer_regions(
    segmenter: Segmenter,
    params: Any,
    batch_stats: Any,
    source: Any,
    *,
    height: int,
    width: int,
    batch_size: int = 1,
    description: str = "inference",
    discriminator: tuple[Discriminator, Any] | None = None,
) -> RegionTable:
    """One forward pass an image, pooled to regions.

    Args:
      segmenter: the network.
      params: its parameters.
      batch_stats: its batch-norm statistics.
      source: random access to images with region maps, which may have any size.
      height: of the network's input, in pixels.
      width: likewise.
      batch_size: images a forward pass.
      description: the progress bar's words.
      discriminator: one with its parameters, to be asked for `target_probability`.

    Returns:
      The table of all regions.
    """
    network, discriminator_params = discriminator or (None, None)
    batch_size = parallel.whole_batch(batch_size)
    measure = make_measure(segmenter, network)
    rows: list[Any] = [None] * len(source)
    batches = whole_image_batches(source, "regions", batch_size=batch_size, height=height, width=width)

    def measured() -> Iterator[tuple[np.ndarray, Any]]:
        for index, batch in _images_tracked(timers.waited(batches), len(source), description):
            regions = batch["regions"]
            bucket = -(-(int(regions.max()) + 1) // _REGION_BUCKET) * _REGION_BUCKET
            images, regions = parallel.spread(batch["image"]), parallel.spread(regions)
            yield (
                index,
                measure(params, batch_stats, discriminator_params, images, regions, num_regions=bucket),
            )

    for index, sums in parallel.fetched(measured()):
        for position, i in enumerate(index):
            rows[i] = _rows({name: array[position] for name, array in sums.items()})
    return _table(source.names, rows)


def _images_tracked(batches: Any, total: int, description: str) -> Any:
    """The batches with their indices, under a progress bar that counts images."""

    def images():
        for batch in batches:
            for position in range(len(batch["index"])):
                yield batch if position == 0 else None

    for batch in track(images(), total=total, description=description):
        if batch is not None:
            yield batch["index"], batch


def join_tables(tables: Sequence[RegionTable], names: Sequence[str], path: Path) -> None:
    """Writes one table of parts of a domain's images, in the order of `names`, a column at a time.

    Args:
      tables: of disjoint images; each region's row is copied from there, so parts on the disk stay there.
      names: of all images.
      path: of the table, which is written whole or not at all.
    """
    position = {name: i for i, name in enumerate(names)}
    image = np.concatenate([np.array([position[n] for n in t.names], np.int32)[t.image] for t in tables])
    order = np.lexsort((np.concatenate([table.region for table in tables]), image))
    place = np.empty(len(order), np.int64)
    place[order] = np.arange(len(order))
    columns = tables[0].arrays
    shapes = {name: ((len(order), *array.shape[1:]), array.dtype) for name, array in columns.items()}
    bounds = np.cumsum([0, *(len(table.image) for table in tables)])
    with create_arrays(path, shapes, {"names": list(names)}) as joined:
        joined["image"][:] = image[order]
        for name in columns.keys() - {"image"}:
            for table, low in zip(tables, bounds, strict=False):
                for start in range(0, len(table.image), _ROWS):
                    rows = getattr(table, name)[start : start + _ROWS]
                    joined[name][place[low + start : low + start + len(rows)]] = rows


@cache
def make_measure(
    segmenter: Segmenter, discriminator: Discriminator | None = None
) -> Callable[..., dict[str, jax.Array]]:
    """A jitted function from a batch of images and region maps to sums over regions."""

    @partial(jax.jit, static_argnames="num_regions")
    def measure(params: Any, batch_stats: Any, discriminator_params: Any, images: jax.Array,
                regions: jax.Array, *, num_regions: int):  # fmt: skip
        segmentation, _ = segmenter.apply(params, batch_stats, normalize(images), train=False)
        logits = upsample(segmentation.logits, *regions.shape[1:])
        values = jax.vmap(partial(region_sums, num_regions=num_regions))(pixel_values(logits), regions)
        feature_sums = partial(region_feature_sums, num_regions=num_regions)
        sums = {"values": values, "features": jax.vmap(feature_sums)(segmentation.features, regions)}
        if discriminator is not None:
            # The discriminator sees what it saw in training: softmax maps of the network's input size.
            maps = jax.nn.softmax(upsample(segmentation.logits, *images.shape[1:3]))
            probability = jax.nn.sigmoid(discriminator.apply(discriminator_params, maps))
            sums["target_probability"] = jax.vmap(feature_sums)(probability, regions)
        return sums

    return measure


def pixel_values(logits: jax.Array) -> jax.Array:
    """`(B, H, W, C)` logits to `(B, H, W, C + 4)`: probabilities, entropy, margin, confidence, 1."""
    log_p = jax.nn.log_softmax(logits)
    p = jnp.exp(log_p)
    entropy = -(p * log_p).sum(axis=-1)
    confidence = p.max(axis=-1)
    # The second largest: the largest once the (first) largest is left out.
    first = p.argmax(axis=-1)[..., None] == jnp.arange(p.shape[-1])
    margin = confidence - jnp.where(first, -1.0, p).max(axis=-1)
    measures = jnp.stack([entropy, margin, confidence, jnp.ones_like(entropy)], axis=-1)
    return jnp.concatenate([p, measures], axis=-1)


def _rows(sums: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """An image's rows of the table, by column, from sums over region ids, of which some have no pixels."""
    present = np.flatnonzero(sums["values"][:, -1])
    values = sums["values"][present]
    pixels = values[:, -1:]
    means = values[:, :-1] / pixels
    rows = {
        "region": present.astype(np.int32),
        "pixels": pixels[:, 0].astype(np.int64),
        "features": sums["features"][present] / pixels,
        "probabilities": means[:, :-3],
        "entropy": means[:, -3],
        "margin": means[:, -2],
        "confidence": means[:, -1],
    }
    if "target_probability" in sums:
        rows["target_probability"] = sums["target_probability"][present, 0] / pixels[:, 0]
    return rows


def _table(names: tuple[str, ...], rows: list[dict[str, np.ndarray]]) -> RegionTable:
    """A column at a time, whose pieces are let go: beside the rows, memory holds one column."""
    image = np.repeat(np.arange(len(rows), dtype=np.int32), [len(row["region"]) for row in rows])
    columns = {name: np.concatenate([row.pop(name) for row in rows]) for name in list(rows[0])}
    return RegionTable(names=tuple(names), image=image, **columns)
