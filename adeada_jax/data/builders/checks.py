"""Checking a data set's folder before hours are spent on it: everything wrong is found, not the first."""

import dataclasses
import functools
import io
import struct
import zlib
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from adeada_jax.data.builders.examples import ordered_map
from adeada_jax.data.builders.layout import Content, Item, LabelReader
from adeada_jax.data.builders.source_files import SourceFile, read_source, relative
from adeada_jax.errors import InputError
from adeada_jax.types import IGNORE_LABEL

# Shows a bar of so many steps; what it gives is called after each.
Bar = Callable[[str, int], AbstractContextManager[Callable[[], None]]]

_SHOWN = 100  # lines printed of each kind
_PNG = b"\x89PNG\r\n\x1a\n"


@dataclass(frozen=True)
class Inspection:
    """What was found about one image and its label.

    Attributes:
      pixels: of the image.
      problems: one line each.
      mismatch: a line with both sizes, where image and label differ in it.
      counts: `(256,)` the label's pixels by class.
    """

    pixels: int
    problems: tuple[str, ...]
    mismatch: str
    counts: np.ndarray
    files: tuple[tuple[Path, SourceFile], ...]


def check(content: Content, *, jobs: int | None, bar: Bar) -> Content:
    """Reads every file of a data set and prints what is remarkable and what is wrong.

    PNGs are checked by their checksums, JPEGs and labels decoded.

    Args:
      content: what was found in the folder.
      jobs: processes.
      bar: shows progress.

    Returns:
      The content without what is to be left out, its pixels counted, its files known by their checksums.

    Raises:
      InputError: anything is wrong, or a split is empty.
    """
    inspect_item = functools.partial(inspect, read_label=content.read_label)
    problems, mismatched, files = list(content.problems), {}, {}
    counts, pixels = np.zeros(256, np.int64), 0
    with bar(f"checking {content.title}", len(content.items)) as advance:
        found = ordered_map(inspect_item, content.items, processes=jobs)
        for item, inspection in zip(content.items, found, strict=True):
            problems += inspection.problems
            counts += inspection.counts
            pixels += inspection.pixels
            files.update(inspection.files)
            if inspection.mismatch:
                mismatched[item.image] = inspection.mismatch
            advance()
    _print_lines(_sizes(content) + list(content.notes))
    _print_lines(_class_shares(content, counts))
    if mismatched and content.drop_mismatched:
        print(f"left out, since image and label differ in size: {len(mismatched)}")
        _print_lines(list(mismatched.values()), indent="  ")
    elif mismatched:
        problems += mismatched.values()
    kept = {
        split: tuple(_with_digests(item, files) for item in items if item.image not in mismatched)
        for split, items in content.splits.items()
    }
    problems += [f"split '{split}' of {content.title} is empty" for split in kept if not kept[split]]
    if counts.any() and not counts[: len(content.class_names)].any():
        problems.append("no pixel of any label belongs to a class; is the map from ids to classes right?")
    if problems:
        refuse(content, problems)
    files.update((path, read_source(path)[1]) for path in content.others)
    known = {name: files[path] for name, path in relative(files, content.source_dir).items()}
    return dataclasses.replace(content, splits=kept, pixels=pixels, files=known)


def _with_digests(item: Item, files: dict[Path, SourceFile]) -> Item:
    digests = [files[path].digest if path in files else "" for path in (item.image, item.label)]
    return dataclasses.replace(item, image_digest=digests[0], label_digest=digests[1])


def refuse(content: Content, problems: Sequence[str]) -> None:
    """Prints what is wrong with a folder, and ends with an InputError that names the first."""
    if len(problems) == 1:
        raise InputError(f"source_dir '{content.source_dir}': {problems[0]}")
    print(f"{len(problems)} problems in '{content.source_dir}':")
    _print_lines(problems, indent="  ")
    raise InputError(
        f"source_dir '{content.source_dir}': {len(problems)} problems, listed above; the first: {problems[0]}"
    )


def _print_lines(lines: list[str], indent: str = "") -> None:
    for line in lines[:_SHOWN]:
        print(f"{indent}{line}")
    if len(lines) > _SHOWN:
        print(f"{indent}and {len(lines) - _SHOWN} more")


def _sizes(content: Content) -> list[str]:
    """How many images each split has, and how many it should."""
    lines = []
    for split, items in content.splits.items():
        expected = content.expected.get(split, len(items))
        comparison = "" if len(items) == expected else f"; as published it has {expected}"
        labels = "" if any(item.label for item in items) or not items else ", without labels"
        lines.append(f"{content.title}, split {split}: {len(items)} images{labels}{comparison}")
    return lines


def _class_shares(content: Content, counts: np.ndarray) -> list[str]:
    """How much of the labels is ignored and which classes never occur: where a wrong map shows."""
    if not counts.any():
        return []
    absent = [name for name, count in zip(content.class_names, counts, strict=False) if not count]
    lines = [f"{counts[IGNORE_LABEL] / counts.sum():.1%} of the labels' pixels are ignored"]
    return lines + ([f"classes without a pixel: {', '.join(absent)}"] if absent else [])


def inspect(item: Item, *, read_label: LabelReader | None) -> Inspection:
    """Reads an image and its label; runs in worker processes."""
    problems: list[str] = []
    height = width = 0
    files = []
    try:
        encoded, file = read_source(item.image)
        files.append((item.image, file))
        height, width = image_file_size(encoded, f"image '{item.image}'")
    except InputError as error:
        problems.append(str(error))
    mismatch, counts = "", np.zeros(256, np.int64)
    if item.label:
        what = f"label '{item.label}'"
        try:
            encoded, file = read_source(item.label)
            files.append((item.label, file))
            image_file_size(encoded, what)
            label = read_label(encoded, what)
        except InputError as error:
            problems.append(str(error))
        else:
            counts = np.bincount(label.ravel(), minlength=256)
            if height and label.shape != (height, width):
                sizes = f"{height}x{width} but its label {label.shape[0]}x{label.shape[1]}"
                mismatch = f"image '{item.name}' is {sizes} ('{item.label}')"
    return Inspection(height * width, tuple(problems), mismatch, counts, tuple(files))


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
    except (UnidentifiedImageError, OSError, SyntaxError, Image.DecompressionBombError) as error:
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
