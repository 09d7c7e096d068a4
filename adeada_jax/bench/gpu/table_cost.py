"""From images to region tables without decoding, means over regions, and SLIC on the host."""

import os
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context

import cv2
import jax
import numpy as np

from adeada_jax.bench.gpu.ledger import Ledger, median_seconds, timed
from adeada_jax.method.pooling import region_feature_sums, region_sums
from adeada_jax.models import Segmenter, upsample
from adeada_jax.partitions.slic import slic_regions
from adeada_jax.run import inference
from adeada_jax.types import Example, Json

REGIONS, CHANNELS, CLASSES = 40, 256, 19
CASES = (
    ("deeplabv3plus", "bfloat16", 1),
    ("deeplabv2", "bfloat16", 1),
    ("deeplabv3plus", "bfloat16", 4),
    ("deeplabv3plus", "float32", 1),
)


@dataclass(frozen=True)
class InMemory:
    """Images with region maps that need no decoding.

    Attributes:
        images: (n, H, W, 3) uint8. regions: (H, W) int32. number: of images, which repeat.
    """

    images: np.ndarray
    regions: np.ndarray
    number: int

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(f"{i:05d}" for i in range(self.number))

    def __len__(self) -> int:
        return self.number

    def __getitem__(self, i: int) -> Example:
        return {"image": self.images[i % len(self.images)], "regions": self.regions}


def measure(ledger: Ledger) -> None:
    """Means over regions first, then the host's regions, then inference, which compiles longer."""
    height, width = (64, 128) if ledger.small else (1024, 2048)
    backbone, number = ("resnet18", 4) if ledger.small else ("resnet101", 24)
    regions = voronoi(height, width)
    images = np.stack([smooth_image(height, width, seed) for seed in range(4)])
    source = InMemory(images, regions, number)
    for stride in (4, 16):
        for name in WAYS:
            ledger.row(
                "means over regions",
                f"{name}, grid 1/{stride}",
                partial(pooling, name, regions, stride),
                needs=3,
            )
    ledger.row("SLIC on the host", "one image", lambda: {"seconds": timed(lambda: _slic(images[0]))[0]})
    ledger.row("SLIC on the host", "an image a core", lambda: slic_on_cores(images), needs=8)
    for model, dtype, batch in CASES:
        ledger.row(
            "images to region tables",
            f"{model} {dtype}, batch {batch}",
            partial(tables, source, model, backbone, dtype, batch),
            needs=5 if ledger.small else 20,
        )


def smooth_image(height: int, width: int, seed: int) -> np.ndarray:
    """(H, W, 3) uint8: patches of colour with a little noise."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (height // 32, width // 32, 3)).astype(np.float32)
    image = cv2.resize(coarse, (width, height)) + rng.normal(0, 4, (height, width, 3))
    return np.clip(image, 0, 255).astype(np.uint8)


def voronoi(height: int, width: int) -> np.ndarray:
    """(H, W) int32: cells around random centres."""
    centres = np.random.default_rng(0).random((REGIONS, 2)) * (height, width)
    rows, columns = np.arange(height)[:, None], np.arange(width)
    nearest, regions = np.full((height, width), np.inf), np.zeros((height, width), np.int32)
    for i, (y, x) in enumerate(centres):
        away = (rows - y) ** 2 + (columns - x) ** 2
        regions[away < nearest] = i
        nearest = np.minimum(nearest, away)
    return regions


def tables(source: InMemory, model: str, backbone: str, dtype: str, batch: int) -> dict[str, Json]:
    """Images a second of the whole way, and of the compiled program alone."""
    segmenter = Segmenter(model, backbone=backbone, num_classes=CLASSES, dtype=dtype)
    weights = jax.device_put(segmenter.init(0), jax.local_devices()[0])
    height, width = source.regions.shape
    params, batch_stats = weights
    infer = partial(
        inference.infer_regions, segmenter, params, batch_stats, height=height, width=width, batch_size=batch
    )
    first, _ = timed(lambda: infer(InMemory(source.images, source.regions, batch)).pixels)
    seconds, found = timed(lambda: [infer(source)])
    measure_batch = inference.make_measure(segmenter)
    images = jax.device_put(np.repeat(source.images[:1], batch, axis=0))
    maps = jax.device_put(np.repeat(source.regions[None], batch, axis=0))
    bucket = -(-REGIONS // inference.REGION_BUCKET) * inference.REGION_BUCKET
    program = median_seconds(lambda: measure_batch(*weights, None, images, maps, num_regions=bucket))
    return {
        "images_a_second": len(source) / seconds,
        "program_images_a_second": batch / program,
        "first_seconds": first,
        "regions": len(found[0]),
        "finite": bool(np.isfinite(found[0]["features"]).all()),
    }


def _upsampled(features: jax.Array, regions: jax.Array) -> jax.Array:
    return region_sums(upsample(features[None], *regions.shape)[0], regions, REGIONS)


WAYS: dict[str, Callable[..., jax.Array]] = {
    "masks to the grid": partial(region_feature_sums, num_regions=REGIONS),
    "upsample, segment_sum": _upsampled,
}


def pooling(way: str, regions: np.ndarray, stride: int) -> dict[str, Json]:
    """Seconds, bytes beyond the input, and the largest relative error of the means against float64."""
    rng = np.random.default_rng(0)
    height, width = regions.shape
    features = rng.gamma(0.7, 1.0, (height // stride, width // stride, CHANNELS)).astype(np.float32)
    arguments = jax.device_put((features, regions))
    program = jax.jit(WAYS[way]).lower(*arguments).compile()
    seconds = median_seconds(lambda: program(*arguments))
    exact = np.array([_exact_sums(features[..., c], regions) for c in range(4)]).T
    error = np.abs(np.asarray(program(*arguments))[:, :4] / exact - 1).max()
    reserved = program.memory_analysis()
    size = None if reserved is None else reserved.temp_size_in_bytes + reserved.output_size_in_bytes
    return {"seconds": seconds, "memory": size, "error": float(error), "bytes": features.nbytes}


def _exact_sums(channel: np.ndarray, regions: np.ndarray) -> np.ndarray:
    # OpenCV's bilinear resizing has the same geometry.
    image = cv2.resize(channel.astype(np.float64), regions.shape[::-1])
    return np.bincount(regions.ravel(), image.ravel(), REGIONS)


def _slic(image: np.ndarray) -> int:
    cv2.setNumThreads(1)
    return int(slic_regions(image).max()) + 1


def slic_on_cores(images: np.ndarray) -> dict[str, Json]:
    """Images a second of a process a core."""
    cores = len(os.sched_getaffinity(0))
    with ProcessPoolExecutor(cores, mp_context=get_context("forkserver")) as pool:
        list(pool.map(_slic, [images[0]] * cores))
        begin = time.perf_counter()
        number = 2 * cores
        list(pool.map(_slic, [images[i % len(images)] for i in range(number)]))
        seconds = time.perf_counter() - begin
    return {"cores": cores, "images_a_second": number / seconds}
