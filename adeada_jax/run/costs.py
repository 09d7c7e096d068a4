"""What a stage costs, as far as is known before anything runs."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Survey:
    """What the data and the network are like.

    Attributes:
      target_images: of the pool.
      target_regions: of the pool, at least about.
      target_pixels: of the pool.
      source_regions: of the source, at least about.
      weights_bytes: of a segmenter's checkpoint.
      statistics_bytes: of its batch-norm statistics.
      discriminator_bytes: of the discriminator's.
      row_bytes: of a region in a table.
    """

    target_images: int
    target_regions: int
    target_pixels: int
    source_regions: int
    weights_bytes: int
    statistics_bytes: int
    discriminator_bytes: int
    row_bytes: int


@dataclass(frozen=True)
class Cost:
    """The work of a stage.

    Attributes:
      title: of a training, as people read it.
      steps: of a training.
      kind: of a training's steps: 'supervised', 'adversarial' (they train a discriminator, too) or 'teacher'.
      images: that go through the network without being trained on.
      work: of each, in passes of a whole image.
      divided: images whose region maps are made, beside the data.
      files: bytes that it leaves, by path, for data and a network like those of the survey.
    """

    title: str = ""
    steps: int = 0
    kind: str = ""
    images: int = 0
    work: float = 1.0
    divided: int = 0
    files: Callable[[Survey], Mapping[Path, int]] = lambda survey: {}
