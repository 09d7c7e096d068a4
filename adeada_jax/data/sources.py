"""Random access to the images of prepared data sets, with or without labels."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeVar

import numpy as np

from adeada_jax.data import fingerprint as fingerprints
from adeada_jax.data.data_sets import remedy
from adeada_jax.data.images import decode_image, decode_map
from adeada_jax.data.prepared import open_split
from adeada_jax.errors import InputError
from adeada_jax.types import IGNORE_LABEL, Example

if TYPE_CHECKING:
    import tensorflow_datasets as tfds

    from adeada_jax.data import records

S = TypeVar("S", bound="ImageSource")


class Images(Protocol):
    """What is read of a split's images: an `ImageSource`, which says what each is, or some of one."""

    @property
    def names(self) -> tuple[str, ...]: ...
    @property
    def positions(self) -> tuple[int, ...]: ...
    @property
    def sizes(self) -> tuple[tuple[int, int], ...]: ...
    @property
    def marks(self) -> tuple[str, ...]: ...
    @property
    def label_marks(self) -> tuple[str, ...]: ...
    @property
    def class_names(self) -> tuple[str, ...]: ...
    @property
    def palette(self) -> np.ndarray: ...
    @property
    def labelled(self) -> bool: ...
    @property
    def dataset(self) -> str: ...
    @property
    def data_dir(self) -> str: ...
    @property
    def split(self) -> str: ...
    @property
    def directory(self) -> Path: ...
    @property
    def digest(self) -> str: ...

    def __len__(self) -> int: ...
    def __getitem__(self, index: int) -> Example: ...


class LabelledImages(Images, Protocol):
    """The same with labels; see `LabelledSource`."""

    def label(self, index: int) -> np.ndarray: ...


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
    """Images, by index in the order of their names.

    Reading is safe from several threads; a pickled source is opened anew.

    Attributes:
      names: of the images.
      positions: of these images in the split: all of it; of a part see `held_back.SplitPart`.
      class_names: of the classes, by id.
      palette: `(C, 3)` uint8 RGB, a colour a class.
      labelled: whether the split has labels.
      partly_labelled: whether it has, but not of all images.
      sizes: height and width of each image in pixels.
      marks: checksum of each image's encoded bytes.
      label_marks: the same of its label; '' where it has none.
      dataset: its name.
      data_dir: where it was prepared.
      split: its name.
      directory: where its records lie.
      digest: checksum of what the data set holds.
    """

    # Only these are taken from a record; others in it are never parsed.
    _FIELDS: tuple[str, ...] = ("name", "image")

    def __init__(self, dataset: str, data_dir: str | Path, split: str):
        self.dataset, self.data_dir, self.split = dataset, str(data_dir), split
        info = open_split(dataset, data_dir, split)
        self.names: tuple[str, ...] = tuple(info.metadata["names"][split])
        self.positions: tuple[int, ...] = tuple(range(len(self.names)))
        self.class_names: tuple[str, ...] = tuple(info.metadata["class_names"])
        self.palette = np.asarray(info.metadata["palette"], np.uint8)
        self.labelled: bool = split not in info.metadata.get("unlabelled", ())
        self.directory = Path(info.data_dir)
        marks = info.metadata["marks"][split]
        self.label_marks: tuple[str, ...] = tuple(marks["label"])
        self.partly_labelled: bool = self.labelled and "" in self.label_marks
        self.marks: tuple[str, ...] = tuple(marks["image"])
        sizes = marks["size"]
        self.sizes = tuple((int(height), int(width)) for height, width in (s.split("x") for s in sizes))
        self.digest = fingerprints.digest((Path(info.data_dir) / "metadata.json").read_bytes())
        self._records = _open_records(info, dataset, data_dir, split, self._FIELDS)
        check_unchanged(self)

    def __reduce__(self) -> tuple[object, ...]:
        return open_again, (type(self), self.dataset, self.data_dir, self.split, self.digest)

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> Example:
        """Reads an example.

        Args:
          index: of the image, 0 <= index < len(self).

        Returns:
          `name` str, `image` `(H, W, 3)` uint8 RGB.

        Raises:
          InputError: the image cannot be decoded; names it.
          IndexError: index out of range.
        """
        return self._decode(self._parse(index), self.names[index])

    def _parse(self, index: int) -> dict[str, bytes]:
        if not 0 <= index < len(self):
            raise IndexError(f"index {index} of {len(self)} images")
        try:
            fields = self._records[index]
        except ValueError as error:  # DamagedRecordError
            raise InputError(
                f"record of image '{self.names[index]}' of data set '{self.dataset}' in '{self.data_dir}' is "
                f"damaged; delete '{self.directory}', then {remedy(self.dataset, self.data_dir)}"
            ) from error
        if fields["name"].decode() != self.names[index]:  # a file that was opened only now
            raise _replaced(self)
        return fields

    def _decode(self, fields: dict[str, bytes], name: str) -> Example:
        return {"name": name, "image": decode_image(fields["image"], name)}


class LabelledSource(ImageSource):
    """An ImageSource whose examples also have `label`, `(H, W)` uint8 trainIds, 255 = ignore.

    An image without a label, in a split where others have one, has 255 throughout.

    Reading an example raises InputError, too, if the label cannot be decoded, is of another size than the
    image or has ids that are no class.
    """

    _FIELDS = ("name", "image", "label")

    def __init__(self, dataset: str, data_dir: str | Path, split: str):
        super().__init__(dataset, data_dir, split)
        if not self.labelled:
            raise InputError(
                f"split '{split}' of data set '{dataset}' in '{data_dir}' was prepared without labels"
            )

    def label(self, index: int) -> np.ndarray:
        """An example's `label` without its image, which takes longest to decode.

        Raises:
          InputError: it cannot be decoded, or is of another size than the image; names the image.
          IndexError: index out of range.
        """
        return self._decode_label(self._parse(index), self.names[index], self.sizes[index])

    def _decode(self, fields: dict[str, bytes], name: str) -> Example:
        example = super()._decode(fields, name)
        example["label"] = self._decode_label(fields, name, example["image"].shape[:2])
        return example

    def _decode_label(self, fields: dict[str, bytes], name: str, size: tuple[int, ...]) -> np.ndarray:
        if not fields["label"]:
            return np.full(size, IGNORE_LABEL, np.uint8)
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


def open_again(kind: type[S], dataset: str, data_dir: str, split: str, digest: str) -> S:
    """Opens a source another time; of the same data."""
    source = kind(dataset, data_dir, split)
    check_same(source, digest)
    return source


def check_same(source: Images, digest: str) -> None:
    """Checks that a source is of the data that had this checksum when they were opened first.

    Raises:
      InputError: the data set was prepared anew meanwhile.
    """
    if source.digest != digest:
        raise _replaced(source)


def check_unchanged(source: Images) -> None:
    """Checks that the data set was not prepared anew since a source was opened.

    Raises:
      InputError: it was.
    """
    path = source.directory / "metadata.json"
    if not path.is_file() or fingerprints.digest(path.read_bytes()) != source.digest:
        raise _replaced(source)


def _replaced(source: Images) -> InputError:
    return InputError(
        f"data set '{source.dataset}' in '{source.data_dir}' was prepared anew while it was read; start again"
    )


def _open_records(
    info: "tfds.core.DatasetInfo", dataset: str, data_dir: str | Path, split: str, fields: Sequence[str]
) -> "records.Records":
    """Random access to the encoded records of a split."""
    from adeada_jax.data import records

    try:
        opened = records.Records(info, split, fields)
    except records.DamagedRecordError as error:
        raise InputError(
            f"records of split '{split}' of data set '{dataset}' in '{data_dir}' are damaged; "
            f"delete '{info.data_dir}', then {remedy(dataset, data_dir)}"
        ) from error
    if len(opened) != len(info.metadata["names"][split]):
        raise InputError(
            f"split '{split}' of data set '{dataset}' in '{data_dir}' has {len(opened)} records for "
            f"{len(info.metadata['names'][split])} names; "
            f"delete '{info.data_dir}', then {remedy(dataset, data_dir)}"
        )
    return opened


def _size(array: np.ndarray) -> str:
    return f"{array.shape[0]}x{array.shape[1]}"
