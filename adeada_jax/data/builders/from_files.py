"""Preparing a data set that lies on disk as it was downloaded: check, labels, records."""

import functools
import itertools
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

import tensorflow_datasets as tfds

from adeada_jax.data.builders import tfds_records as base
from adeada_jax.data.builders.checks import Bar, check
from adeada_jax.data.builders.former import take_over
from adeada_jax.data.builders.label_maps import LabelMaps, make_labels
from adeada_jax.data.builders.layout import Content, DataSet
from adeada_jax.data.builders.source_files import read_unchanged, write_sources
from adeada_jax.errors import InputError

# A shard's examples are in memory while it is written.
_SHARD_BYTES = 256 * 2**20
# A label of one channel is at most so much larger than the file it is made from: 1.1 to 1.3 on palette PNGs.
_LABEL_GROWTH = 1.5


class FilesBuilder(tfds.core.ShardBasedBuilder, skip_registration=True):  # type: ignore[call-arg] # untyped
    """Records of a data set that lies on disk: the images' own bytes, and their labels as class ids.

    Shards are written one after another; TFDS' other way of writing sorts all examples first, with
    TensorFlow once they outgrow 1 GB. The data sets are not registered with TFDS, which has some of the
    same names.

    Attributes:
      content: what lies on disk.
      labels: of the images, which must be made before.
      on_example: called after each example that is written.
    """

    def __init__(self, *, content: Content, labels: LabelMaps, **kwargs: Any):
        """Sets up a builder of files that were found and of labels that are made already.

        Args:
          content: what lies on disk.
          labels: of the images.
          **kwargs: as of every TFDS builder: `data_dir`, ...
        """
        self.content = content
        self.labels = labels
        self.on_example = lambda: None
        super().__init__(**kwargs)

    def _info(self) -> tfds.core.DatasetInfo:
        content = self.content
        return base.dataset_info(
            self,
            description=content.title,
            class_names=content.class_names,
            palette=content.palette,
            source_dir=str(content.source_dir.resolve()),
            unlabelled=[
                split for split, items in content.splits.items() if not any(item.label for item in items)
            ],
        )

    def _shard_iterators_per_split(
        self, dl_manager: tfds.download.DownloadManager
    ) -> Mapping[str, Sequence[Callable[[], Iterator[tuple[int, dict[str, str | bytes]]]]]]:
        del dl_manager  # nothing to download
        shards = {}
        for split, items in self.content.splits.items():
            size = sum(item.image.stat().st_size for item in items)
            count = min(len(items), 1 + size // _SHARD_BYTES)
            ends = [round(len(items) * i / count) for i in range(count + 1)]
            shards[split] = [
                functools.partial(self._examples, split, start, end)
                for start, end in itertools.pairwise(ends)
            ]
        return shards

    def _examples(self, split: str, start: int, end: int) -> Iterator[tuple[int, dict[str, str | bytes]]]:
        for index in range(start, end):
            item = self.content.splits[split][index]
            image = read_unchanged(item.image, item.image_digest)
            example: dict[str, str | bytes] = {
                "name": item.name,
                "image": image,
                "label": self.labels.read(item),
            }
            base.note(self.info, split, example, item.size)
            yield index, example
            self.on_example()


def builder_of(data_set: DataSet) -> type[FilesBuilder]:
    """The TFDS builder of a data set, under its name and version."""
    parts = {"name": data_set.name, "VERSION": tfds.core.Version(data_set.version)}
    metaclass: Any = type(FilesBuilder)
    return metaclass("Files", (FilesBuilder,), parts, skip_registration=True)


def prepare(
    data_set: DataSet,
    content: Content,
    data_dir: Path,
    *,
    staging: Path,
    parts: Path,
    former: Path,
    jobs: int | None,
    beam_options: Sequence[str] | None,
    bar: Bar,
) -> Path:
    """Checks what lies on disk, makes the labels and writes the records.

    Args:
      data_set: whose it is.
      content: what lies on disk.
      data_dir: directory for prepared data sets.
      staging: where TFDS puts this one.
      parts: directory of the labels while they are made.
      former: directory of the data set as it was prepared before, whose labels serve again; may be missing.
      jobs: processes; all cores unless given.
      beam_options: of a Beam pipeline that makes the labels, instead of processes.
      bar: shows progress.

    Returns:
      The directory of the data set.

    Raises:
      InputError: something is wrong with the files, listed in print; too little space on the disk.
    """
    try:
        content = check(content, jobs=jobs, bar=bar)
        labels = LabelMaps(parts, content.read_label, data_set.version)
        _check_space(content, data_dir, parts)
        take_over(former, labels, content.items)
        make_labels(labels, content.items, jobs=jobs, beam_options=beam_options, bar=bar)
    except BrokenProcessPool as error:
        raise InputError("a worker process was killed, perhaps for memory; try fewer --jobs") from error
    made = builder_of(data_set)(content=content, labels=labels, data_dir=str(staging))
    with bar("writing records", len(content.items)) as advance:
        base.write(made, on_example=advance)
    keys = {split: [labels.key(item) for item in items] for split, items in content.splits.items()}
    write_sources(Path(made.data_dir), content.files, keys)
    return Path(made.data_dir)


def _check_space(content: Content, data_dir: Path, parts: Path) -> None:
    """Refuses to begin what the disk cannot hold: the images once, the labels twice while they are copied."""
    images = sum(item.image.stat().st_size for item in content.items)
    labels = int(_LABEL_GROWTH * sum(item.label.stat().st_size for item in content.items if item.label))
    made = sum(path.stat().st_size for path in parts.glob("*.png"))
    needed, free = images + 2 * labels - made, shutil.disk_usage(data_dir).free
    if needed > free:
        raise InputError(
            f"data_dir '{data_dir}' has {free / 1e6:,.0f} MB free, but {content.title} needs about "
            f"{needed / 1e6:,.0f} MB there; free some or give another --data_dir"
        )
