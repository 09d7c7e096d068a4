"""Batches of whole images for inference and evaluation: decoded ahead, grouped by size, padded."""

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Literal, Protocol, TypeVar

import numpy as np

from adeada_jax.data import transforms
from adeada_jax.types import Example

_WORKERS = 2
T = TypeVar("T", covariant=True)
MapKey = Literal["label", "regions"]  # what an example has beside its image


class Indexed(Protocol[T]):
    """Random access."""

    def __len__(self) -> int: ...
    def __getitem__(self, index: int, /) -> T: ...


class Examples(Indexed[Example], Protocol):
    """Examples with the names of their images."""

    @property
    def names(self) -> Sequence[str]: ...


def read_ahead(source: Indexed[T], *, ahead: int = 16) -> Iterator[T]:
    """The examples of a random-access source in order, the next ones decoded by threads meanwhile."""
    with ThreadPoolExecutor(_WORKERS) as threads:
        waiting: deque[Future[T]] = deque()
        for i in range(len(source)):
            waiting.append(threads.submit(source.__getitem__, i))
            if len(waiting) > ahead:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def whole_image_batches(
    source: Indexed[Example], map_key: MapKey, *, batch_size: int, height: int, width: int
) -> Iterator[dict[str, np.ndarray]]:
    """Batches whose images have the network's size and whose maps keep their own.

    Args:
      source: random access to `{"image": (H, W, 3) uint8, map_key: (H, W), ...}`, sizes may differ.
      map_key: 'regions' or 'label'.
      batch_size: images a batch; a batch that would be smaller repeats its first image.
      height: of the network's input, in pixels.
      width: in pixels.

    Yields:
      `{"index": (n,) positions in the source, "image": (batch_size, height, width, 3) uint8,
      map_key: (batch_size, H, W)}`; the first n of a batch count, all maps of a batch have one size.
    """
    groups: dict[tuple[int, ...], list[tuple[int, Example]]] = {}
    for index, example in enumerate(read_ahead(source)):
        group = groups.setdefault(example[map_key].shape, [])
        group.append((index, example))
        if len(group) == batch_size:
            yield _stack(group, map_key, batch_size, height, width)
            group.clear()
    for group in groups.values():
        if group:
            yield _stack(group, map_key, batch_size, height, width)


def images_of(batch: dict[str, np.ndarray]) -> int:
    """How many images of a batch count."""
    return len(batch["index"])


def _stack(
    group: Sequence[tuple[int, Example]], map_key: MapKey, batch_size: int, height: int, width: int
) -> dict[str, np.ndarray]:
    padded = list(group) + [group[0]] * (batch_size - len(group))
    images = [
        transforms.resize({"image": e["image"]}, height=height, width=width)["image"] for _, e in padded
    ]
    return {
        "index": np.array([index for index, _ in group]),
        "image": np.stack(images),
        map_key: np.stack([example[map_key] for _, example in padded]),
    }
