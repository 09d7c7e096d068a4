"""The part of a TFDS builder that all data sets share: features, metadata, how they are written."""

import contextlib
import grp
import io
import pwd
import tempfile
from collections.abc import Callable, Iterator, Mapping
from unittest import mock

import numpy as np
import tensorflow_datasets as tfds

from adeada_jax.data.fingerprint import record_marks
from adeada_jax.errors import InputError
from adeada_jax.types import Json


def dataset_info(
    builder: tfds.core.DatasetBuilder,
    *,
    description: str,
    class_names: tuple[str, ...],
    palette: np.ndarray,
    **metadata: Json,
) -> tfds.core.DatasetInfo:
    """The `DatasetInfo` of a builder: records of `name`, `image` and `label`.

    The metadata holds class names, palette and what else is given, and, once generated, of each split in the
    order of the records the images' `names` and the `marks` that its fingerprint is made of (`note`).
    """
    return tfds.core.DatasetInfo(
        builder=builder,
        description=description,
        features=tfds.features.FeaturesDict(
            {
                "name": tfds.features.Text(),
                "image": tfds.features.Image(),  # PNG or JPEG, as it came
                "label": tfds.features.Image(shape=(None, None, 1), dtype=np.uint8, encoding_format="png"),
            }
        ),
        metadata=tfds.core.MetadataDict(
            {
                "class_names": list(class_names),
                "palette": np.asarray(palette).tolist(),
                "names": {},
                "marks": {},
                **metadata,
            }
        ),
        # Records lie in the order of the names, so that an index means the same image everywhere.
        disable_shuffling=True,
    )


def note(
    info: tfds.core.DatasetInfo, split: str, example: Mapping[str, str | bytes], size: tuple[int, int]
) -> None:
    """Adds a record's name and marks to the metadata, when it is written; `size` is the image's, upright."""
    info.metadata["names"].setdefault(split, []).append(example["name"])
    marks = info.metadata["marks"].setdefault(split, {})
    for key, mark in record_marks(example, size).items():
        marks.setdefault(key, []).append(mark)


@contextlib.contextmanager
def _owners_without_names() -> Iterator[None]:
    """TFDS asks for a file's size, and etils for the names of its owner and group at the same time.

    In a container these often have none (google/etils#790), which Python reports as a KeyError.
    """
    name_of_user, name_of_group = pwd.getpwuid, grp.getgrgid

    def user(number: int) -> pwd.struct_passwd:
        with contextlib.suppress(KeyError):
            return name_of_user(number)
        return pwd.struct_passwd((str(number), "x", number, number, "", "/", ""))

    def group(number: int) -> grp.struct_group:
        with contextlib.suppress(KeyError):
            return name_of_group(number)
        return grp.struct_group((str(number), "x", number, []))

    with mock.patch.object(pwd, "getpwuid", user), mock.patch.object(grp, "getgrgid", group):
        yield


def write(builder: tfds.core.DatasetBuilder, *, on_example: Callable[[], None] | None = None) -> None:
    """Generates a builder's data set as array records, without TensorFlow or the network.

    TFDS writes into a directory named `incomplete.*` and renames that when everything is written.

    Args:
      builder: calls its attribute `on_example` after each example.
      on_example: e.g. advances a progress bar.

    Raises:
      InputError: the disk is full, or fails.
    """
    if on_example is not None:
        builder.on_example = on_example
    tfds.disable_progress_bar()
    config = tfds.download.DownloadConfig(try_download_gcs=False)
    # TFDS prints, and without a directory for downloads leaves an empty one.
    quiet, owners = contextlib.redirect_stdout(io.StringIO()), _owners_without_names()
    with quiet, owners, tempfile.TemporaryDirectory() as nothing:
        try:
            builder.download_and_prepare(
                download_dir=nothing, download_config=config, file_format="array_record"
            )
        except RuntimeError as error:
            # array_record's way of passing on what the system said, such as a full disk.
            if "() failed: " not in str(error):
                raise
            raise InputError(f"records cannot be written: {str(error).split('() failed: ')[1]}") from error
