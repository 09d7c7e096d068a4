"""Data sets by name: preparing them, and opening their splits with or without labels."""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np

from adeada_jax.data import fingerprint as fingerprints
from adeada_jax.data.builders import writing
from adeada_jax.data.images import decode_image, decode_map
from adeada_jax.errors import InputError
from adeada_jax.types import IGNORE_LABEL


@dataclass(frozen=True)
class Dataset:
    """How a data set is made and where it lies.

    Attributes:
      builder: module under `adeada_jax.data.builders`. Of an embedded data set it has a function
        `create(data_dir, config, regions, **options)` that returns a TFDS builder; of others the class
        BUILDER and a function `find(source_dir)` that says what lies there.
      config: the builder's config, of an embedded data set.
      directory: below the data directory, where TFDS puts it.
      flag: value of `--dataset` of scripts/prepare_data.py.
      embedded: made from nothing, thus on first use.
    """

    builder: str
    config: str
    directory: str
    flag: str
    embedded: bool = False


DATASETS = {
    "toy/rendered": Dataset("toy", "rendered", "toy_streets/rendered/1.2.0", "toy", embedded=True),
    "toy/filmed": Dataset("toy", "filmed", "toy_streets/filmed/1.2.0", "toy", embedded=True),
    "gta5": Dataset("gta5", "", "gta5/1.1.0", "gta5"),
    "synthia": Dataset("synthia", "", "synthia/1.1.0", "synthia"),
    "cityscapes": Dataset("cityscapes", "", "cityscapes/1.1.0", "cityscapes"),
    "folder": Dataset("folder", "", "folder/1.1.0", "folder"),
}


def find_dataset(name: str) -> Dataset:
    """Looks a data set up.

    Raises:
      InputError: unknown; lists the known.
    """
    if name not in DATASETS:
        raise InputError(f"unknown data set '{name}'; known: {', '.join(sorted(DATASETS))}")
    return DATASETS[name]


def prepare(
    dataset: str, data_dir: str | Path, *, num_segments: int = 40, compactness: float = 10.0,
    progress: bool = True, update: bool = False, **options: Any,
) -> None:  # fmt: skip
    """Makes a data set below `data_dir`, SLIC regions included, unless it is there.

    One that is there is compared with the files that it was prepared from. What a killed preparation finished
    is used, the rest made again; a second process waits for the first.

    Args:
      dataset: a name of DATASETS.
      data_dir: directory for prepared data sets.
      num_segments: of SLIC.
      compactness: of SLIC.
      progress: shows a progress bar.
      update: prepares anew what changed in those files since; else a change is an error.
      **options: of the data set's builder; of one that lies on disk `source_dir`, `jobs` and
        `beam_options` (see `builders.writing.write_from_files`).

    Raises:
      InputError: unknown name; the directory cannot be written or is too small; something is wrong with the
        files that the data set is made from; the data set is there with other SLIC settings or from another
        folder; its files changed since, which are listed in print, and `update` is not set.
    """
    spec = find_dataset(dataset)
    directory = Path(data_dir) / spec.directory
    regions = {"num_segments": num_segments, "compactness": compactness}
    if _is_complete(directory) and not update and not writing.leftovers(directory):
        # What is complete is only read, wherever it lies.
        check_regions(dataset, data_dir, **regions)
        if spec.embedded or not _outdated(dataset, data_dir, update=False, options=options):
            return
    with writing.locked(Path(data_dir)):
        writing.tidy(directory)
        if _is_complete(directory):
            check_regions(dataset, data_dir, **regions)
            if spec.embedded or not _outdated(dataset, data_dir, update=update, options=options):
                shutil.rmtree(writing.parts_directory(directory), ignore_errors=True)
                return
        elif directory.exists():
            if not spec.embedded:  # nothing goes before it is known that there is something to make it of
                writing.look(spec.builder, options.get("source_dir", ""))
            shutil.rmtree(directory)
        _write(spec, dataset, directory, Path(data_dir), regions, progress, options)


def _write(
    spec: Dataset, name: str, directory: Path, data_dir: Path, regions: dict[str, Any], progress: bool,
    options: dict[str, Any],
) -> None:  # fmt: skip
    if spec.embedded:
        writing.write_embedded(spec.builder, name, spec.config, data_dir, regions, progress, **options)
    else:
        writing.write_from_files(spec.builder, directory, data_dir, regions, progress, **options)


def make_if_embedded(dataset: str, data_dir: str | Path, *, num_segments: int, compactness: float) -> None:
    """Makes the toy streets on first use; of other data sets checks that they are prepared.

    Raises:
      InputError: as `prepare`, or the data set is not prepared.
    """
    if find_dataset(dataset).embedded:
        prepare(dataset, data_dir, num_segments=num_segments, compactness=compactness)
    else:
        check_regions(dataset, data_dir, num_segments=num_segments, compactness=compactness)


def check_regions(dataset: str, data_dir: str | Path, *, num_segments: int, compactness: float) -> None:
    """Checks that a data set was prepared with these SLIC settings.

    Raises:
      InputError: it was not; names both settings and the remedy.
    """
    stored = _open_builder(dataset, data_dir).info.metadata["regions"]
    asked = {"num_segments": num_segments, "compactness": compactness}
    if stored != asked:
        raise InputError(
            f"data set '{dataset}' in '{data_dir}' was prepared with SLIC {_settings(stored)}, "
            f"but {_settings(asked)} is asked for; ask for the former or prepare it in another data_dir"
        )


def fingerprint(dataset: str, data_dir: str | Path, splits: Sequence[str]) -> dict[str, Any]:
    """What some splits of a prepared data set hold, to be kept and compared; see `data.fingerprint`.

    Raises:
      InputError: unknown data set; not or half prepared; missing or empty split.
    """
    for split in splits:
        info = _open_split(dataset, data_dir, split)
    return fingerprints.fingerprint(info.metadata, splits)


def split_sizes(dataset: str, data_dir: str | Path) -> dict[str, int]:
    """Images by split of a prepared data set.

    Raises:
      InputError: unknown data set; not or half prepared.
    """
    splits = _open_builder(dataset, data_dir).info.splits
    return {name: split.num_examples for name, split in splits.items()}


def open_images(dataset: str, data_dir: str | Path, split: str) -> "ImageSource":
    """Opens a split without its labels: what is returned has no way to give them.

    Raises:
      InputError: unknown data set; not or half prepared; missing or empty split.
    """
    return ImageSource(dataset, data_dir, split)


def open_labelled(dataset: str, data_dir: str | Path, split: str) -> "LabelledSource":
    """Opens a split with its labels.

    Raises:
      InputError: unknown data set; not or half prepared; missing or empty split; a split without labels.
    """
    return LabelledSource(dataset, data_dir, split)


class ImageSource:
    """Images with their regions, by index in the order of their names.

    Reading is safe from several threads; a pickled source is opened anew.

    Attributes:
      names: of the images.
      class_names: of the classes, by id.
      palette: `(C, 3)` uint8 RGB, a colour a class.
      regions: settings of SLIC, `num_segments` and `compactness`.
      labelled: whether the split has labels.
      sizes: height and width of each image in pixels.
      digest: checksum of what the data set holds.
    """

    # Only these are taken from a record; others in it are never parsed.
    _FIELDS: tuple[str, ...] = ("name", "image", "regions")

    def __init__(self, dataset: str, data_dir: str | Path, split: str, with_regions: bool = True):
        self._arguments = (dataset, str(data_dir), split, with_regions)
        info = _open_split(dataset, data_dir, split)
        self.names: tuple[str, ...] = tuple(info.metadata["names"][split])
        self.class_names: tuple[str, ...] = tuple(info.metadata["class_names"])
        self.palette = np.asarray(info.metadata["palette"], np.uint8)
        self.regions: dict[str, Any] = dict(info.metadata["regions"])
        self.labelled: bool = split not in info.metadata.get("unlabelled", ())
        sizes = info.metadata["marks"][split]["size"]
        self.sizes = tuple((int(height), int(width)) for height, width in (s.split("x") for s in sizes))
        self.digest = fingerprints.digest((Path(info.data_dir) / "metadata.json").read_bytes())
        fields = [name for name in self._FIELDS if with_regions or name != "regions"]
        self._records = _open_records(info, dataset, data_dir, split, fields)
        check_unchanged(self)

    def __reduce__(self) -> tuple:
        return _open_again, (type(self), self._arguments, self.digest)

    def without_regions(self) -> Self:
        """The same without the examples' `regions`, where only images and labels are needed: read faster."""
        return _open_again(type(self), (*self._arguments[:3], False), self.digest)

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> dict[str, Any]:
        """Reads an example.

        Args:
          index: of the image, 0 <= index < len(self).

        Returns:
          `name` str, `image` `(H, W, 3)` uint8 RGB, `regions` `(H, W)` int32.

        Raises:
          InputError: image or regions cannot be decoded; names the image.
          IndexError: index out of range.
        """
        return self._decode(self._parse(index), self.names[index])

    def _parse(self, index: int) -> dict[str, bytes]:
        if not 0 <= index < len(self):
            raise IndexError(f"index {index} of {len(self)} images")
        try:
            fields = self._records[index]
        except ValueError as error:  # DamagedRecordError
            dataset, data_dir, *_ = self._arguments
            raise InputError(
                f"record of image '{self.names[index]}' of data set '{dataset}' in '{data_dir}' is damaged; "
                f"delete '{Path(data_dir) / find_dataset(dataset).directory}', "
                f"then {_remedy(dataset, data_dir)}"
            ) from error
        if fields["name"].decode() != self.names[index]:  # a file that was opened only now
            raise _replaced(self)
        return fields

    def _decode(self, fields: dict[str, bytes], name: str) -> dict[str, Any]:
        example = {"name": name, "image": decode_image(fields["image"], name)}
        if "regions" in fields:
            example["regions"] = _decode_regions(fields, name)
            if example["regions"].shape != example["image"].shape[:2]:
                raise InputError(
                    f"image '{name}' is {_size(example['image'])} but its region map "
                    f"{_size(example['regions'])}; prepare the data again"
                )
        return example


class LabelledSource(ImageSource):
    """An ImageSource whose examples also have `label`, `(H, W)` uint8 trainIds, 255 = ignore.

    Reading an example raises InputError, too, if the label cannot be decoded, is of another size than the
    image or has ids that are no class.
    """

    _FIELDS = ("name", "image", "regions", "label")

    def __init__(self, dataset: str, data_dir: str | Path, split: str, with_regions: bool = True):
        super().__init__(dataset, data_dir, split, with_regions)
        if not self.labelled:
            raise InputError(
                f"split '{split}' of data set '{dataset}' in '{data_dir}' was prepared without labels"
            )

    def maps(self, index: int) -> dict[str, np.ndarray]:
        """An example's `regions` and `label` without its image, which takes longest to decode.

        Raises:
          InputError: one cannot be decoded, or they are of different sizes; names the image.
          IndexError: index out of range.
        """
        name, fields = self.names[index], self._parse(index)
        regions = _decode_regions(fields, name)
        return {"regions": regions, "label": self._decode_label(fields, name, regions.shape)}

    def _decode(self, fields: dict[str, bytes], name: str) -> dict[str, Any]:
        example = super()._decode(fields, name)
        example["label"] = self._decode_label(fields, name, example["image"].shape[:2])
        return example

    def _decode_label(self, fields: dict[str, bytes], name: str, size: tuple[int, ...]) -> np.ndarray:
        label = decode_map(fields["label"], f"label of '{name}'")
        if label.shape != size:
            raise InputError(
                f"image '{name}' is {size[0]}x{size[1]} but its label {_size(label)}; "
                "leave the image out or replace its label, then prepare the data again"
            )
        unknown = (label >= len(self.class_names)) & (label != IGNORE_LABEL)
        if unknown.any():
            ids = ", ".join(str(i) for i in np.unique(label[unknown])[:10])
            raise InputError(
                f"label of '{name}' has ids that are no class: {ids}; known: "
                f"0 to {len(self.class_names) - 1} and {IGNORE_LABEL} (ignore)"
            )
        return label.astype(np.uint8)


def _decode_regions(fields: dict[str, bytes], name: str) -> np.ndarray:
    return decode_map(fields["regions"], f"region map of '{name}'").astype(np.int32)


def _open_split(dataset: str, data_dir: str | Path, split: str) -> Any:
    """The DatasetInfo of a data set that has this split, with examples in it."""
    info = _open_builder(dataset, data_dir).info
    if split not in info.splits:
        raise InputError(
            f"data set '{dataset}' in '{data_dir}' has no split '{split}'; it has: {', '.join(info.splits)}"
        )
    if not info.splits[split].num_examples:
        raise InputError(f"split '{split}' of data set '{dataset}' in '{data_dir}' is empty")
    return info


def _open_again(kind: type, arguments: tuple, digest: str) -> Any:
    """Opens a source another time; of the same data."""
    source = kind(*arguments)
    check_same(source, digest)
    return source


def check_same(source: "ImageSource", digest: str) -> None:
    """Checks that a source is of the data that had this checksum when they were opened first.

    Raises:
      InputError: the data set was prepared anew meanwhile.
    """
    if source.digest != digest:
        raise _replaced(source)


def check_unchanged(source: "ImageSource") -> None:
    """Checks that the data set was not prepared anew since a source was opened.

    Raises:
      InputError: it was.
    """
    dataset, data_dir, *_ = source._arguments
    path = Path(data_dir) / find_dataset(dataset).directory / "metadata.json"
    if not path.is_file() or fingerprints.digest(path.read_bytes()) != source.digest:
        raise _replaced(source)


def _replaced(source: "ImageSource") -> InputError:
    dataset, data_dir, *_ = source._arguments
    return InputError(
        f"data set '{dataset}' in '{data_dir}' was prepared anew while it was read; start again"
    )


def _open_records(info: Any, dataset: str, data_dir: str | Path, split: str, fields: Sequence[str]) -> Any:
    """Random access to the encoded records of a split."""
    from adeada_jax.data import records

    try:
        opened = records.Records(info, split, fields)
    except records.DamagedRecordError as error:
        raise InputError(
            f"records of split '{split}' of data set '{dataset}' in '{data_dir}' are damaged; "
            f"delete '{info.data_dir}', then {_remedy(dataset, data_dir)}"
        ) from error
    if len(opened) != len(info.metadata["names"][split]):
        raise InputError(
            f"split '{split}' of data set '{dataset}' in '{data_dir}' has {len(opened)} records for "
            f"{len(info.metadata['names'][split])} names; "
            f"delete '{info.data_dir}', then {_remedy(dataset, data_dir)}"
        )
    return opened


def _open_builder(dataset: str, data_dir: str | Path) -> Any:
    """A TFDS builder that reads what was prepared."""
    import tensorflow_datasets as tfds

    directory = Path(data_dir) / find_dataset(dataset).directory
    if not Path(data_dir).is_dir():
        raise InputError(f"data_dir '{data_dir}' does not exist; {_remedy(dataset, data_dir)}")
    if not _is_complete(directory):
        state = _state(directory)
        raise InputError(f"data set '{dataset}' is {state} in '{data_dir}'; {_remedy(dataset, data_dir)}")
    return tfds.builder_from_directory(directory)


def _state(directory: Path) -> str:
    """What there is of a data set that is not complete."""
    if any(path.exists() for path in (directory, writing.parts_directory(directory))) or any(
        directory.parent.glob(f"incomplete.*_{directory.name}")
    ):
        return "only half prepared"
    earlier = [path.parent.name for path in directory.parent.glob("[0-9]*/metadata.json")]
    earlier.sort(key=lambda version: [int(part) for part in version.split(".") if part.isdigit()])
    if earlier:
        return f"prepared by an earlier version of adeada_jax ({earlier[-1]}, now {directory.name})"
    return "not prepared"


def _is_complete(directory: Path) -> bool:
    """Whether a prepared data set's directory holds every file that it should."""
    import tensorflow_datasets as tfds

    if not all(
        (directory / name).is_file() for name in ("dataset_info.json", "features.json", "metadata.json")
    ):
        return False
    try:
        info = tfds.builder_from_directory(directory).info
    except (ValueError, KeyError, RuntimeError, FileNotFoundError):  # a file that was cut off
        return False
    files = [Path(path) for split in info.splits.values() for path in split.filepaths]
    return bool(files) and all(path.is_file() and path.stat().st_size for path in files)


def _outdated(dataset: str, data_dir: str | Path, *, update: bool, options: dict[str, Any]) -> bool:
    """Whether a data set is to be prepared anew, as its files changed; refuses that without `update`.

    Another folder with the same content will do; one with other content is another data set's, unless the
    former is gone. Where no folder is given the former is looked at, if it is still there.
    """
    spec = find_dataset(dataset)
    directory = Path(data_dir) / spec.directory
    stored = _open_builder(dataset, data_dir).info.metadata["source_dir"]
    source_dir = options.get("source_dir") or stored
    if not options.get("source_dir") and not Path(stored).exists():
        return False
    options["source_dir"] = source_dir
    changes = writing.source_changes(spec.builder, directory, source_dir, jobs=options.get("jobs"))
    if not changes:
        return False
    if Path(stored) != Path(source_dir).resolve() and Path(stored).exists():
        raise InputError(
            f"data_dir '{data_dir}' holds '{dataset}' prepared from '{stored}', not from '{source_dir}'; "
            f"give another --data_dir, or delete '{directory}'"
        )
    print(f"'{source_dir}' changed since '{dataset}' was prepared in '{data_dir}':")
    changes.show()
    if not update:
        raise InputError(
            f"source_dir '{source_dir}' changed since '{dataset}' was prepared in '{data_dir}': {changes}; "
            "give --update to prepare what changed anew, or another --data_dir"
        )
    return True


def _remedy(dataset: str, data_dir: str | Path) -> str:
    spec = find_dataset(dataset)
    origin = "" if spec.embedded else " --source_dir=DIR"
    return f"run: python scripts/prepare_data.py --dataset={spec.flag}{origin} --data_dir={data_dir}"


def _settings(regions: dict[str, Any]) -> str:
    return f"num_segments={regions['num_segments']}, compactness={float(regions['compactness'])}"


def _size(array: np.ndarray) -> str:
    return f"{array.shape[0]}x{array.shape[1]}"
