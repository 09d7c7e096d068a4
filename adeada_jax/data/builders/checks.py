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
from PIL import Image, UnidentifiedImageError

from adeada_jax.data.builders.label_files import FolderLabels, read_stored
from adeada_jax.data.builders.layout import Content, Item, LabelReader
from adeada_jax.data.builders.source_files import SourceFile, read_source, relative
from adeada_jax.data.builders.tallies import Tally, lines, rgb, tally_of
from adeada_jax.data.images import check_pixels
from adeada_jax.data.orientation import PNG, orientation, png_chunks
from adeada_jax.data.workers import ordered_map
from adeada_jax.errors import InputError
from adeada_jax.types import IGNORE_LABEL

# Shows a bar of so many steps; what it gives is called after each.
Bar = Callable[[str, int], AbstractContextManager[Callable[[], None]]]

_SHOWN = 100  # lines printed of each kind


@dataclass(frozen=True)
class Inspection:
    """What was found about one image and its label.

    Attributes:
      size: height and width of the image, upright; zeros where it cannot be read.
      problems: one line each.
      mismatch: a line with both sizes, where image and label differ in it.
      counts: `(256,)` the label's pixels by class.
      files: what was read.
      tally: the label's pixels by stored value, where its reader tells them.
    """

    size: tuple[int, int]
    problems: tuple[str, ...]
    mismatch: str
    counts: np.ndarray
    files: tuple[tuple[Path, SourceFile], ...]
    tally: Tally


def check(content: Content, *, jobs: int | None, bar: Bar) -> Content:
    """Reads every file of a data set and prints what is remarkable and what is wrong.

    PNGs are checked by their checksums, JPEGs and labels decoded.

    Args:
      content: what was found in the folder.
      jobs: processes.
      bar: shows progress.

    Returns:
      The content without what is to be left out, sizes known, and files by their checksums.

    Raises:
      InputError: anything is wrong, or a split is empty.
    """
    inspect_item = functools.partial(inspect, read_label=content.read_label)
    problems = list(content.problems)
    mismatched: dict[Path, str] = {}
    files: dict[Path, SourceFile] = {}
    sizes: dict[Path, tuple[int, int]] = {}
    tally = Tally()
    counts = {split: np.zeros(256, np.int64) for split in content.splits}
    splits = [split for split, items in content.splits.items() for _ in items]
    with bar(f"checking {content.title}", len(content.items)) as advance:
        found = ordered_map(inspect_item, content.items, processes=jobs)
        for split, item, inspection in zip(splits, content.items, found, strict=True):
            problems += inspection.problems
            counts[split] += inspection.counts
            tally.add(inspection.tally)
            sizes[item.image] = inspection.size
            files.update(inspection.files)
            if inspection.mismatch:
                mismatched[item.image] = inspection.mismatch
            advance()
    _print_lines(_sizes(content) + list(content.notes))
    _print_lines(lines(tally, functools.partial(_meaning, content)))
    _print_lines(_class_shares(content, np.sum(list(counts.values()), axis=0)))
    if mismatched and content.drop_mismatched:
        print(f"left out, since image and label differ in size: {len(mismatched)}")
        _print_lines(list(mismatched.values()), indent="  ")
    elif mismatched:
        problems += mismatched.values()
    kept = {
        split: tuple(
            _checked(item, files, sizes[item.image]) for item in items if item.image not in mismatched
        )
        for split, items in content.splits.items()
    }
    left = kept if content.drop_mismatched else content.splits
    problems += [f"split '{split}' of {content.title} is empty" for split in left if not left[split]]
    problems += _without_a_class(content, counts)
    if problems:
        refuse(content, problems)
    files.update((path, read_source(path)[1]) for path in content.others)
    known = {name: files[path] for name, path in relative(files, content.source_dir).items()}
    return dataclasses.replace(content, splits=kept, files=known)


def _checked(item: Item, files: dict[Path, SourceFile], size: tuple[int, int]) -> Item:
    digests = [files[path].digest if path in files else "" for path in (item.image, item.label)]
    return dataclasses.replace(item, image_digest=digests[0], label_digest=digests[1], size=size)


def refuse(content: Content, problems: Sequence[str]) -> None:
    """Prints what is wrong with a folder, and ends with an InputError that names the first."""
    if len(problems) == 1:
        raise InputError(f"source_dir '{content.source_dir}': {problems[0]}")
    print(f"{len(problems)} problems in '{content.source_dir}':")
    _print_lines(problems, indent="  ")
    raise InputError(
        f"source_dir '{content.source_dir}': {len(problems)} problems, listed above; the first: {problems[0]}"
    )


def _print_lines(lines: Sequence[str], indent: str = "") -> None:
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


def _meaning(content: Content, painted: bool, value: int) -> str:
    """What a stored value of a label means, in a word or two; nothing where there is no file of classes."""
    reader, names = content.read_label, content.class_names
    if not names or not isinstance(reader, FolderLabels):
        return ""
    if painted:
        return names[reader.colors.index(rgb(value))] if rgb(value) in reader.colors else "ignored"
    if value in (of_classes := dict(reader.classes.classes)):
        return names[of_classes[value]]
    known = reader.classes.ignored is None or value in reader.classes.ignored
    return "ignored" if known else "not in the file of classes"


def _class_shares(content: Content, counts: np.ndarray) -> list[str]:
    """How much of the labels is ignored and which classes never occur: where a wrong map shows."""
    if not counts.any() or not content.class_names:
        return []
    absent = [name for name, count in zip(content.class_names, counts, strict=False) if not count]
    lines = [f"{counts[IGNORE_LABEL] / counts.sum():.1%} of the labels' pixels are ignored"]
    return lines + ([f"classes without a pixel: {', '.join(absent)}"] if absent else [])


def _without_a_class(content: Content, counts: dict[str, np.ndarray]) -> list[str]:
    """Splits whose labels say nothing, and masks of 0 and 255 whose 255 is taken for ignored."""
    number = len(content.class_names)
    if not number:
        return []
    problems = [
        f"split '{split}': no pixel of any label belongs to a class; is the map from ids to classes right? "
        "If nothing is known of these images, leave their labels out"
        for split, count in counts.items()
        if count.any() and not count[:number].any()
    ]
    total = np.sum(list(counts.values()), axis=0)
    if number == 2 and total[0] and not total[1] and total[IGNORE_LABEL] and not content.ids_given:
        first, second = content.class_names
        problems.append(
            f"no pixel is of class 1 ({second}), and {total[IGNORE_LABEL] / total.sum():.1%} are ignored: "
            "an id of 255 is ignored; if it is class 1, say so in the class file, "
            f"ids: [0] with {first} and ids: [255] with {second}; painted labels need the exact colours"
        )
    return problems


def inspect(item: Item, *, read_label: LabelReader | None) -> Inspection:
    """Reads an image and its label; runs in worker processes."""
    problems: list[str] = []
    image, height, width = b"", 0, 0
    files = []
    try:
        image, file = read_source(item.image)
        files.append((item.image, file))
        height, width = image_file_size(image, f"image '{item.image}'")
    except InputError as error:
        problems.append(str(error))
    mismatch, counts, tally = "", np.zeros(256, np.int64), Tally()
    if item.label:
        what = f"label '{item.label}'"
        try:
            encoded, file = read_source(item.label)
            files.append((item.label, file))
            image_file_size(encoded, what)
            if isinstance(read_label, FolderLabels):
                stored = read_stored(encoded, what)
                tally = tally_of(stored)
                label = read_label.classes_of(stored, what)
            elif read_label:
                label = read_label(encoded, what)
            else:
                raise InputError(f"{what} cannot be read: the data set's Content has no read_label")
        except InputError as error:
            problems.append(str(error))
        else:
            counts = np.bincount(label.ravel(), minlength=256)
            turn = orientation(image) if orientation(encoded) == 1 else 1
            if height and label.shape != (height, width):
                sizes = f"{height}x{width} but its label {label.shape[0]}x{label.shape[1]}"
                mismatch = f"image '{item.name}' is {sizes} ('{item.label}')"
                mismatch += _not_turned(turn) if label.shape == (width, height) else ""
            elif height and image.startswith(PNG) and (1 < turn < 5 or (turn > 1 and height == width)):
                problems.append(_which_way_up(item, turn))
    return Inspection((height, width), tuple(problems), mismatch, counts, tuple(files), tally)


def _not_turned(turn: int) -> str:
    """What is added to a mismatch where a label has the size that its image has before it is turned."""
    if turn < 5:
        return ""
    return (
        f", which is the image's size before its EXIF orientation ({turn}) turns it; turn the label as well "
        "or take the orientation out of the image (exiftool -Orientation= FILE)"
    )


def _which_way_up(item: Item, turn: int) -> str:
    """Says that a label may be of the PNG as it is turned or as it is stored; not all programs turn it."""
    return (
        f"image '{item.image}' has EXIF orientation {turn} and its label none; not all programs turn a PNG, "
        "so it is not known which way up the label is: if it fits the turned image, store that turned "
        "(mogrify -auto-orient FILE), else take the orientation out of it (exiftool -Orientation= FILE)"
    )


def image_file_size(encoded: bytes, what: str) -> tuple[int, int]:
    """Height and width, upright, of a PNG or JPEG that is whole.

    Raises:
      InputError: it is truncated, damaged or neither, or too large to be read.
    """
    if encoded.startswith(PNG):
        check_png(encoded, what)
        width, height = struct.unpack(">II", encoded[16:24])
    else:
        width, height = _check_jpeg(encoded, what)
    check_pixels(height, width, what)
    return (height, width) if orientation(encoded) < 5 else (width, height)


def _check_jpeg(encoded: bytes, what: str) -> tuple[int, int]:
    """Decodes a JPEG to its end, which alone tells whether it is whole; gives width and height as stored."""
    try:
        image = Image.open(io.BytesIO(encoded), formats=["JPEG"])
        check_pixels(image.height, image.width, what)
        image.load()
    except (UnidentifiedImageError, OSError, SyntaxError) as error:
        reason = "is empty" if not encoded else "is no PNG or JPEG, or truncated"
        raise InputError(f"{what} {reason} ({len(encoded)} bytes); replace the file") from error
    return image.size


def check_png(encoded: bytes, what: str) -> None:
    """Follows a PNG's chunks to the end and compares their checksums, which takes no decoding.

    Raises:
      InputError: the file ends too early, or a checksum is wrong.
    """
    view = memoryview(encoded)
    for kind, start, end in png_chunks(encoded):
        if end + 4 > len(view):
            break
        if zlib.crc32(view[start - 4 : end]) != struct.unpack_from(">I", view, end)[0]:
            raise InputError(f"{what} is damaged (wrong checksum at byte {start - 8}); replace the file")
        if kind == b"IEND":
            return
    raise InputError(f"{what} is truncated (at {len(view)} bytes); replace the file")
