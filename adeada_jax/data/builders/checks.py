"""Checking a data set's folder before hours are spent on it: everything wrong is found, not the first."""

import dataclasses
import functools
import io
import struct
import zlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from adeada_jax.data.builders.examples import ordered_map
from adeada_jax.data.builders.layout import Content, Item, LabelReader
from adeada_jax.errors import InputError
from adeada_jax.types import IGNORE_LABEL

# Shows a bar of so many steps; what it gives is called after each.
Bar = Callable[[str, int], AbstractContextManager[Callable[[], None]]]

_SHOWN = 50  # lines printed of each kind
_PNG = b"\x89PNG\r\n\x1a\n"


@dataclass(frozen=True)
class Inspection:
    """What was found about one image and its label.

    Attributes:
      pixels: of the image.
      problems: one line each.
      mismatch: both sizes, where image and label differ in it.
      counts: `(256,)` the label's pixels by class.
    """

    pixels: int
    problems: tuple[str, ...]
    mismatch: str = ""
    counts: np.ndarray | None = None


def check(content: Content, *, jobs: int | None, bar: Bar) -> Content:
    """Reads every file of a data set and prints what is remarkable and what is wrong.

    PNGs are checked by their checksums, JPEGs and labels decoded.

    Args:
      content: what was found in the folder.
      jobs: processes.
      bar: shows progress.

    Returns:
      The content without what is to be left out.

    Raises:
      InputError: anything is wrong, or a split is empty.
    """
    items = content.items
    inspect_ = functools.partial(inspect, read_label=content.read_label)
    with bar(f"checking {content.title}", len(items)) as advance:
        found = list(_advancing(ordered_map(inspect_, items, processes=jobs), advance))
    problems = [*content.problems, *(line for inspection in found for line in inspection.problems)]
    mismatched = {
        item.image: f"'{item.name}' {inspection.mismatch}"
        for item, inspection in zip(items, found, strict=True)
        if inspection.mismatch
    }
    notes = [*_counts(content), *content.notes]
    if content.drop_mismatched and mismatched:
        print(f"left out, since image and label differ in size: {len(mismatched)}")
        _print(mismatched.values(), len(mismatched))
    else:
        problems += [f"image {line}" for line in mismatched.values()]
    notes += _class_notes(content, [i.counts for i in found if i.counts is not None], problems)
    for note in notes:
        print(note)
    kept = {
        split: tuple(item for item in items if item.image not in mismatched)
        for split, items in content.splits.items()
    }
    problems += [
        f"split '{split}' of {content.title} is empty: no image left" for split in kept if not kept[split]
    ]
    _refuse(content, problems)
    return dataclasses.replace(content, splits=kept, pixels=sum(i.pixels for i in found))


def _advancing(results: Iterator[Inspection], advance: Callable[[], None]) -> Iterator[Inspection]:
    for result in results:
        yield result
        advance()


def _refuse(content: Content, problems: list[str]) -> None:
    if not problems:
        return
    print(f"problems in '{content.source_dir}': {len(problems)}")
    _print(problems, _SHOWN)
    count = f"{len(problems)} problems, listed above; the first: " if len(problems) > 1 else ""
    raise InputError(f"source_dir '{content.source_dir}': {count}{problems[0]}")


def _print(lines, most: int) -> None:
    lines = list(lines)
    for line in lines[:most]:
        print(f"  {line}")
    if len(lines) > most:
        print(f"  and {len(lines) - most} more")


def _counts(content: Content) -> list[str]:
    notes = []
    for split, items in content.splits.items():
        expected = content.expected.get(split)
        published = f" of {expected} as published" if expected else ""
        notes.append(f"{content.title} {split}: {len(items)} images{published}")
        if expected and len(items) != expected:
            notes[-1] += "  <- not all of them" if len(items) < expected else "  <- more than there are"
    return notes


def _class_notes(content: Content, counts: list[np.ndarray], problems: list[str]) -> list[str]:
    """Shares of the classes in all labels; not one labelled pixel is a problem."""
    if not counts:
        return []
    total = np.sum(counts, axis=0)
    if not total[: len(content.class_names)].any():
        problems.append("no pixel of any label belongs to a class; is the map from ids to classes right?")
        return []
    notes = [f"{total[IGNORE_LABEL] / total.sum():.1%} of the labels' pixels are ignored"]
    absent = [name for name, count in zip(content.class_names, total, strict=False) if not count]
    return notes + ([f"classes without a pixel: {', '.join(absent)}"] if absent else [])


def inspect(item: Item, *, read_label: LabelReader | None) -> Inspection:
    """Reads an image and its label; runs in worker processes."""
    problems: list[str] = []
    height = width = 0
    label, mismatch, counts = None, "", None
    try:
        height, width = image_file_size(read_file(item.image), f"image '{item.image}'")
    except InputError as error:
        problems.append(str(error))
    if item.label:
        what = f"label '{item.label}'"
        try:
            encoded = read_file(item.label)
            image_file_size(encoded, what)
            label = read_label(encoded, what)
        except InputError as error:
            problems.append(str(error))
    if label is not None:
        counts = np.bincount(label.ravel(), minlength=256)
        if height and label.shape != (height, width):
            mismatch = f"is {height}x{width} but its label {label.shape[0]}x{label.shape[1]}"
    return Inspection(height * width, tuple(problems), mismatch, counts)


def read_file(path) -> bytes:
    """A file's bytes.

    Raises:
      InputError: it cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"'{path}' cannot be read: {error.strerror}") from error


def image_file_size(encoded: bytes, what: str) -> tuple[int, int]:
    """Height and width of a PNG or JPEG that is whole.

    Raises:
      InputError: it is truncated, damaged or neither.
    """
    if encoded.startswith(_PNG):
        check_png(encoded, what)
        width, height = struct.unpack(">II", encoded[16:24])
        return height, width
    try:
        image = ImageOps.exif_transpose(Image.open(io.BytesIO(encoded), formats=["JPEG"]))
        image.load()
    except (UnidentifiedImageError, OSError, SyntaxError) as error:
        reason = "is empty" if not encoded else "is no PNG or JPEG, or truncated"
        raise InputError(f"{what} {reason} ({len(encoded)} bytes); replace the file") from error
    return image.height, image.width


def check_png(encoded: bytes, what: str) -> None:
    """Follows a PNG's chunks to the end and compares their checksums, which takes no decoding.

    Raises:
      InputError: the file ends too early, or a checksum is wrong.
    """
    view, position, kind = memoryview(encoded), len(_PNG), b""
    while kind != b"IEND":
        if position + 12 > len(view):
            raise InputError(f"{what} is truncated (at {len(view)} bytes); replace the file")
        length, kind = struct.unpack(">I4s", view[position : position + 8])
        end = position + 8 + length
        if end + 4 > len(view):
            raise InputError(f"{what} is truncated (at {len(view)} bytes); replace the file")
        if zlib.crc32(view[position + 4 : end]) != struct.unpack(">I", view[end : end + 4])[0]:
            raise InputError(f"{what} is damaged (wrong checksum at byte {position}); replace the file")
        position = end + 4
