"""TFDS builder of the toy streets: nothing to download, everything is drawn."""

import dataclasses
import functools
from collections.abc import Iterator, Mapping
from typing import Any

import tensorflow_datasets as tfds

from adeada_jax.data.builders import tfds_records as base
from adeada_jax.data.images import encode_png
from adeada_jax.data.workers import ordered_map
from adeada_jax.errors import InputError
from adeada_jax.labels import CLASS_NAMES, PALETTE
from adeada_jax.toy.streets import render


@dataclasses.dataclass(frozen=True)
class ToySettings:
    """What a set of toy streets is made with.

    Attributes:
      counts: images by split.
      height: of an image in pixels.
      width: of an image in pixels.
      seed: other seeds give other streets.
    """

    counts: Mapping[str, int]
    height: int = 128
    width: int = 256
    seed: int = 0


@dataclasses.dataclass(kw_only=True)
class ToyConfig(tfds.core.BuilderConfig):
    """A domain of the toy streets with its settings."""

    settings: ToySettings


class ToyStreets(tfds.core.GeneratorBasedBuilder):
    """Toy streets, of the domains `rendered` and `filmed`.

    Attributes:
      settings: of the builder's config, unless others were given.
      on_example: called after each example that is made.
    """

    VERSION = tfds.core.Version("2.0.0")
    BUILDER_CONFIGS = [  # noqa: RUF012
        ToyConfig(name="rendered", settings=ToySettings(counts={"train": 400})),
        ToyConfig(name="filmed", settings=ToySettings(counts={"train": 200, "val": 60})),
    ]

    def __init__(self, *, settings: ToySettings | None = None, **kwargs: Any):
        """Sets up a builder of the streets, those of a TFDS configuration unless settings are given.

        Args:
          settings: instead of the config's own.
          **kwargs: as of every TFDS builder: `config`, `data_dir`, ...
        """
        self._settings = settings
        self.on_example = lambda: None
        super().__init__(**kwargs)

    @property
    def settings(self) -> ToySettings:
        return self._settings or self.builder_config.settings

    @property
    def num_examples(self) -> int:
        return sum(self.settings.counts.values())

    def _info(self) -> tfds.core.DatasetInfo:
        return base.dataset_info(self, description=__doc__, class_names=CLASS_NAMES, palette=PALETTE)

    def _split_generators(
        self, dl_manager: tfds.download.DownloadManager
    ) -> dict[str, Iterator[tuple[int, dict[str, str | bytes]]]]:
        del dl_manager  # nothing to download
        return {split: self._generate_examples(split) for split in self.settings.counts}

    def _generate_examples(self, split: str) -> Iterator[tuple[int, dict[str, str | bytes]]]:
        make = functools.partial(make_example, self.builder_config.name, split, self.settings)
        for index, example in enumerate(ordered_map(make, range(self.settings.counts[split]))):
            base.note(self.info, split, example, (self.settings.height, self.settings.width))
            yield index, example
            self.on_example()


def make_example(domain: str, split: str, settings: ToySettings, index: int) -> dict[str, str | bytes]:
    """Renders and encodes one example; runs in worker processes."""
    image, label = render(
        domain, split, index, seed=settings.seed, height=settings.height, width=settings.width
    )
    name = f"{domain}_{split}_{index:05d}"
    return {"name": name, "image": encode_png(image), "label": encode_png(label)}


def create(data_dir: str, config: str, **options: Any) -> ToyStreets:
    """Makes the builder of a domain.

    Args:
      data_dir: where TFDS puts the data set.
      config: 'rendered' or 'filmed'.
      **options: other fields of ToySettings.

    Raises:
      InputError: a split without images, or images too small to show a street.
    """
    default = next(c.settings for c in ToyStreets.BUILDER_CONFIGS if c.name == config)
    settings = dataclasses.replace(default, **options)
    for split, count in settings.counts.items():
        if count < 1:
            raise InputError(f"toy streets: split '{split}' needs at least one image, not {count}")
    if min(settings.height, settings.width) < 32:
        raise InputError(f"toy streets: {settings.height}x{settings.width} is too small; at least 32x32")
    return ToyStreets(config=config, settings=settings, data_dir=data_dir)
