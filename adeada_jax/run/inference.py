"""Model and region maps to the table of regions: a forward pass an image, its outputs averaged by region."""

from collections.abc import Iterator, Sequence
from functools import cache, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from adeada_jax import timers
from adeada_jax.data.batches import Examples, images_of, whole_image_batches
from adeada_jax.method.ingredients.ingredient import OfModel, Outputs
from adeada_jax.method.ingredients.providers import ALWAYS
from adeada_jax.method.pooling import region_feature_sums, region_sums
from adeada_jax.method.regions import Regions
from adeada_jax.models import Discriminator, Segmenter, normalize, upsample
from adeada_jax.telemetry import track
from adeada_jax.training import parallel
from adeada_jax.types import Array, PyTree

# Region numbers are padded to a multiple of this, so that a few compilations serve all batches.
REGION_BUCKET = 16


def infer_regions(
    segmenter: Segmenter,
    params: PyTree,
    batch_stats: PyTree,
    source: Examples,
    *,
    height: int,
    width: int,
    batch_size: int = 1,
    description: str = "inference",
    ingredients: Sequence[OfModel] = ALWAYS,
    discriminator: tuple[Discriminator, PyTree] | None = None,
) -> Regions:
    """One forward pass an image, pooled to regions.

    Args:
      segmenter: the network.
      params: its parameters.
      batch_stats: its batch-norm statistics.
      source: random access to images with region maps, which may have any size.
      height: of the network's input, in pixels.
      width: in pixels.
      batch_size: images a forward pass.
      description: the progress bar's words.
      ingredients: the columns.
      discriminator: one with its parameters, for ingredients that look at it.

    Returns:
      The table of all regions.
    """
    network, discriminator_params = discriminator or (None, None)
    batch_size = parallel.whole_batch(batch_size)
    measure = make_measure(segmenter, tuple(ingredients), network)
    rows: list[Any] = [None] * len(source)  # each becomes a dict of columns
    batches = whole_image_batches(source, "regions", batch_size=batch_size, height=height, width=width)

    def measured() -> Iterator[tuple[np.ndarray, dict[str, jax.Array]]]:
        waited = timers.waited(batches)
        for batch in track(waited, total=len(source), description=description, size=images_of):
            regions: Array = batch["regions"]
            bucket = -(-(int(regions.max()) + 1) // REGION_BUCKET) * REGION_BUCKET
            images, regions = parallel.spread(batch["image"]), parallel.spread(regions)
            sums = measure(params, batch_stats, discriminator_params, images, regions, num_regions=bucket)
            yield batch["index"], sums

    for index, sums in parallel.fetched(measured()):
        for position, i in enumerate(index):
            rows[i] = _rows({name: array[position] for name, array in sums.items()})
    return _table(source.names, rows)


@cache
def make_measure(
    segmenter: Segmenter, ingredients: Sequence[OfModel] = ALWAYS, discriminator: Discriminator | None = None
) -> jax.stages.Wrapped:
    """A jitted function from a batch of images and region maps to sums by name, `(B, R, ...)`."""

    @partial(jax.jit, static_argnames="num_regions")
    def measure(
        params: PyTree,
        batch_stats: PyTree,
        discriminator_params: PyTree,
        images: jax.Array,
        regions: jax.Array,
        *,
        num_regions: int,
    ) -> dict[str, jax.Array]:
        segmentation, _ = segmenter.apply(params, batch_stats, normalize(images), train=False)
        size = regions.shape[1:]
        outputs = Outputs(
            segmentation.features,
            segmentation.logits,
            jax.nn.log_softmax(upsample(segmentation.logits, *size)),
            _target_probability(discriminator, discriminator_params, segmentation.logits, images),
        )
        maps = {ingredient.name: ingredient.maps(outputs) for ingredient in ingredients}
        return _sums(maps, regions, num_regions)

    return measure


def _target_probability(
    discriminator: Discriminator | None, params: PyTree, logits: jax.Array, images: jax.Array
) -> jax.Array:
    """The discriminator sees what it saw in training: softmax maps of the network's input size."""
    if discriminator is None:
        return jnp.zeros(logits.shape[:3], jnp.float32)
    maps = jax.nn.softmax(upsample(logits, *images.shape[1:3]))
    return jax.nn.sigmoid(discriminator.apply(params, maps))[..., 0]


def _sums(maps: dict[str, jax.Array], regions: jax.Array, num_regions: int) -> dict[str, jax.Array]:
    """Sums over regions of maps, and the regions' `pixels`; all maps at the images' size in one go."""
    size = regions.shape[1:]
    deep = {name: values.reshape(*values.shape[:3], -1) for name, values in maps.items()}
    own = {name: values for name, values in deep.items() if values.shape[1:3] == size}
    own["pixels"] = jnp.ones((*regions.shape, 1), jnp.float32)
    stacked = jnp.concatenate(list(own.values()), axis=-1)
    together = jax.vmap(partial(region_sums, num_regions=num_regions))(stacked, regions)
    bounds = np.cumsum([values.shape[-1] for values in own.values()])[:-1]
    sums = dict(zip(own, jnp.split(together, bounds, axis=-1), strict=True))
    for name in deep.keys() - own.keys():
        sums[name] = jax.vmap(partial(region_feature_sums, num_regions=num_regions))(deep[name], regions)
    shapes = {name: values.shape[3:] for name, values in maps.items()} | {"pixels": ()}
    return {name: values.reshape(*values.shape[:2], *shapes[name]) for name, values in sums.items()}


def _rows(sums: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """An image's rows of the table, by column, from sums over region ids, of which some have no pixels."""
    present = np.flatnonzero(sums["pixels"])
    pixels = sums["pixels"][present]
    means = {
        name: values[present] / pixels.reshape(-1, *[1] * (values.ndim - 1))
        for name, values in sums.items()
        if name != "pixels"
    }
    return {"region": present.astype(np.int32), "pixels": pixels.astype(np.int64), **means}


def _table(names: Sequence[str], rows: list[dict[str, np.ndarray]]) -> Regions:
    """A column at a time, whose pieces are let go: beside the rows, memory holds one column."""
    image = np.repeat(np.arange(len(rows), dtype=np.int32), [len(row["region"]) for row in rows])
    columns = {name: np.concatenate([row.pop(name) for row in rows]) for name in list(rows[0])}
    return Regions.unbought(names, image, **columns)
