"""A file of classes to begin with, made of what a folder's labels hold."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from adeada_jax.data.builders.checks import Bar
from adeada_jax.data.builders.cityscapes import CLASS_IDS
from adeada_jax.data.builders.class_colors import Color
from adeada_jax.data.builders.class_files import NAMES
from adeada_jax.data.builders.label_files import read_stored
from adeada_jax.data.builders.layout import Content
from adeada_jax.data.builders.source_files import read_file
from adeada_jax.data.builders.tallies import Tally, lines, rgb, tally_of
from adeada_jax.data.workers import ordered_map
from adeada_jax.errors import InputError
from adeada_jax.files import write_text_atomic
from adeada_jax.labels import CLASS_NAMES, PALETTE
from adeada_jax.types import IGNORE_LABEL

_MOST_CLASSES = IGNORE_LABEL - 1
_CITYSCAPES_COLORS: dict[Color, str] = dict(zip(map(tuple, PALETTE.tolist()), CLASS_NAMES, strict=True))
_CITYSCAPES_IDS = dict(zip(CLASS_IDS, zip(CLASS_NAMES, _CITYSCAPES_COLORS, strict=True), strict=True))
_LICENCE_PLATE = 34  # the largest id of Cityscapes', in GTA5
# Of Cityscapes' classes that must occur before ids or colours are taken for its own: where nothing else does,
# and where something does.
_FEW, _MANY = 4, 10
_HEADER = """\
# Written by prepare_data.py --write_classes: what the labels hold, with its share of the pixels. Name the
# classes, put ids that mean the same into one, and take out what is none: what does not stand here is
# ignored. Their order is that of the class ids.
"""


class _Entry(NamedTuple):
    """A class of the draft: its name, colour and stored ids, and its pixels."""

    name: str
    color: Color | None
    ids: tuple[int, ...]
    pixels: int


def write_draft(content: Content, *, jobs: int | None, bar: Bar) -> Path:
    """Writes classes.yaml into a folder, with a class for each id and colour in its labels.

    Args:
      content: of the folder, of which only the labels are read.
      jobs: processes.
      bar: shows progress.

    Returns:
      The file.

    Raises:
      InputError: there is a file of classes already; there are no labels; one cannot be read; they hold more
        than a file of classes may name.
    """
    folder = content.source_dir
    there = [folder / name for name in NAMES if (folder / name).exists()]
    if there:
        raise InputError(
            f"--write_classes: '{there[0]}' is there already and is not overwritten; rename or remove it to "
            "have another written"
        )
    labels = [item.label for item in content.items if item.label]
    if not labels:
        raise InputError(
            f"--write_classes: '{folder}' has no labels to find classes in; write a {NAMES[0]} that names "
            "them, such as 'classes: [road, car]'"
        )
    tally = _tally_of_all(labels, jobs=jobs, bar=bar)
    print("\n".join(lines(tally, lambda *_: "")))
    path = folder / NAMES[0]
    write_text_atomic(path, draft(tally, path))
    return path


def _tally_of_all(labels: Sequence[Path], *, jobs: int | None, bar: Bar) -> Tally:
    """What all labels hold.

    Raises:
      InputError: one cannot be read; some hold ids and some colours.
    """
    tally, examples = Tally(), dict[bool, Path]()
    with bar("looking through the labels", len(labels)) as advance:
        for path, found in zip(labels, ordered_map(_tally, labels, processes=jobs), strict=True):
            tally.add(found)
            examples.setdefault(bool(found.colors), path)
            advance()
    if len(examples) == 2:
        raise InputError(
            f"--write_classes: '{examples[False]}' holds ids and '{examples[True]}' colours; save all labels "
            "in one way"
        )
    return tally


def _tally(path: Path) -> Tally:
    return tally_of(read_stored(read_file(path), f"label '{path}'"))


def draft(tally: Tally, path: Path) -> str:
    """The text of a classes.yaml.

    An id of 255 is left out, as it is ignored, unless labels are masks of 0 and 255.

    Args:
      tally: of labels that all hold ids, or all colours.
      path: of the file, for errors.

    Raises:
      InputError: there are too many of them, or nothing but 255.
    """
    ids = sorted(tally.ids.keys() - ({IGNORE_LABEL} if tally.ids.keys() - {0, IGNORE_LABEL} else set()))
    if set(ids) == {IGNORE_LABEL}:
        ids = []
    number = len(ids) + len(tally.colors)
    if tally.others or not 1 <= number <= _MOST_CLASSES:
        more = " and more" if tally.others else ""
        many = f"{number:,}{more} ids or colours" if number else "nothing but 255"
        raise InputError(
            f"'{path}' is not written: the labels hold {many}, and a file of classes names 1 to "
            f"{_MOST_CLASSES}; photographs, and edges that a tool has smoothed, are no labels"
        )
    entries = _of_ids(tally, ids) if ids else _of_colors(tally)
    rows = [_line(entry, tally.total) for entry in entries]
    return _HEADER + "classes:\n" + "".join(rows)


def _line(entry: _Entry, total: int) -> str:
    parts = [f"name: {entry.name}"]
    parts += [f"color: {list(entry.color)}"] if entry.color else []
    parts += [f"ids: {list(entry.ids)}"] if entry.ids else []
    return f"  - {{{', '.join(parts)}}}  # {100 * entry.pixels / total:.3f}%\n"


def _of_ids(tally: Tally, ids: Sequence[int]) -> Iterator[_Entry]:
    """A class an id; of Cityscapes' ids those of its 19 classes, with their names and colours."""
    if _are_cityscapes_ids(tally, ids):
        for value in (value for value in ids if value in _CITYSCAPES_IDS):
            yield _Entry(*_CITYSCAPES_IDS[value], (value,), tally.ids[value])
        return
    colors = _palette_colors(tally, ids)
    names = _names(colors.values())
    for value in ids:
        color = colors.get(value)
        yield _Entry(names.get(color, f"class {value}"), color, (value,), tally.ids[value])


def _of_colors(tally: Tally) -> Iterator[_Entry]:
    """A class a colour, the most frequent first; of Cityscapes' in its order, without black."""
    names = _names(map(rgb, tally.colors))
    colors = [rgb(value) for value, _ in sorted(tally.colors.items(), key=lambda item: (-item[1], item[0]))]
    if names:
        order = [*_CITYSCAPES_COLORS, *(color for color in colors if color not in names)]
        colors = sorted((color for color in colors if any(color)), key=order.index)
    for number, color in enumerate(colors):
        pixels = tally.colors[color[0] << 16 | color[1] << 8 | color[2]]
        yield _Entry(names.get(color, f"class {number}"), color, (), pixels)


def _are_cityscapes_ids(tally: Tally, ids: Sequence[int]) -> bool:
    """Whether ids are surely Cityscapes' own: by their palette, or as many of its occur and some do not."""
    common = [value for value in ids if value in _CITYSCAPES_IDS]
    if tally.palette:
        return len(common) >= _FEW and all(tally.palette.get(i) == _CITYSCAPES_IDS[i][1] for i in common)
    return len(common) >= _MANY and max(ids) <= _LICENCE_PLATE and len(ids) < max(ids) - min(ids) + 1


def _palette_colors(tally: Tally, ids: Sequence[int]) -> dict[int, Color]:
    """The colours that a PNG's palette gives ids; not black, greys that are ids, nor one colour for two."""
    found = {value: tally.palette.get(value) for value in ids}
    counts = Counter(found.values())
    return {
        value: color
        for value, color in found.items()
        if color and any(color) and color != (value,) * 3 and counts[color] == 1
    }


def _names(colors: Iterable[Color]) -> dict[Color | None, str]:
    """Cityscapes' names by colour, where colours are surely its own; nothing else."""
    given = {color for color in colors if any(color)}
    common = given & _CITYSCAPES_COLORS.keys()
    sure = len(common) >= _MANY or (len(common) >= _FEW and common == given)
    return {color: _CITYSCAPES_COLORS[color] for color in common} if sure else {}
