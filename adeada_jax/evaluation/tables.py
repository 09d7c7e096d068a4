"""Results as tables: on the terminal and as Markdown."""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from rich import box
from rich.table import Table
from rich.text import Text

from adeada_jax.evaluation.summaries import Mean, Round, Summary

# The means that a round of summary.json may have, as the paper names them.
MEANS: dict[Mean, str] = {"miou": "mIoU", "miou_13": "mIoU*"}

# A round's labels of which less is known are worth a warning.
_LEAST_KNOWN = 0.5

# How the paper's Table 8 heads its columns; other names stand as they are.
HEADINGS = {
    "road": "Road",
    "sidewalk": "SW",
    "building": "Build",
    "wall": "Wall",
    "fence": "Fence",
    "pole": "Pole",
    "traffic light": "TL",
    "traffic sign": "TS",
    "vegetation": "Veg.",
    "terrain": "Terrain",
    "sky": "Sky",
    "person": "PR",
    "rider": "Rider",
    "car": "Car",
    "truck": "Truck",
    "bus": "Bus",
    "train": "Train",
    "motorcycle": "Motor",
    "bicycle": "Bike",
}


def round_name(entry: Round) -> str:
    """What people call an entry of summary.json: 'warm-up', 'all labels' (the reference) or its number."""
    if entry["round"] == 0:
        return "all labels" if entry["labelled_fraction"] else "warm-up"
    return str(entry["round"])


def unknown_labels(number: int, bought: int, known: int) -> str:
    """A sentence on a round's labels where less than half of the bought pixels have a class; else nothing.

    Args:
      number: of the round.
      bought: pixels.
      known: pixels of these whose label is a class.
    """
    if known >= _LEAST_KNOWN * bought:
        return ""
    return (
        f"round {number}: of {bought:,} bought pixels {known:,} have a label ({100 * known / bought:.1f}%); "
        "the others are 255 (unknown) and teach nothing"
    )


def unknown_label_warnings(summary: Summary) -> list[str]:
    """`unknown_labels` of all rounds; of summaries that do not say what is known, none."""
    entries: list[Mapping[str, Any]] = [{"labelled_pixels": 0, "known_pixels": 0}, *summary["rounds"]]
    warnings = []
    for before, entry in itertools.pairwise(entries):
        if "known_pixels" in entry and "known_pixels" in before:
            gained = [entry[key] - before[key] for key in ("labelled_pixels", "known_pixels")]
            warnings.append(unknown_labels(entry["round"], *gained))
    return [warning for warning in warnings if warning]


def means(summary: Summary) -> dict[Mean, str]:
    """The means this summary has, by key: mIoU, and for SYNTHIA's classes mIoU* (Table 1 b)."""
    return {key: name for key, name in MEANS.items() if key in summary["rounds"][0]}


def round_columns(summary: Summary) -> tuple[str, ...]:
    """The headings of `round_rows`."""
    interval = ("95% interval",) if has_intervals(summary) else ()
    return (
        "round",
        "% labelled",
        *(f"{name} %" for name in means(summary).values()),
        *interval,
        "change",
        "over warm-up",
    )


def has_intervals(summary: Summary) -> bool:
    """Whether it is known how sure the mIoU is."""
    return any(entry.get("miou_interval") for entry in summary["rounds"])


def round_rows(summary: Summary) -> list[tuple[str, ...]]:
    """A row a round: its name, percent of target pixels labelled, means in percent, and points gained.

    The gains are of mIoU, against the round before and against the warm-up; empty where there is none of
    these, or no mIoU.
    """
    entries = summary["rounds"]
    befores = [None, *(entry["miou"] for entry in entries)]
    rows = []
    for entry, before in zip(entries, befores, strict=False):
        first = entries[0]["miou"] if entry is not entries[0] else None
        miou = entry["miou"]
        rows.append(
            (
                round_name(entry),
                f"{100 * entry['labelled_fraction']:.2f}",
                *(number(entry[key]) for key in means(summary)),
                *_interval(summary, entry),
                gain(miou, before),
                gain(miou, first),
            )
        )
    return rows


def _interval(summary: Summary, entry: Round) -> tuple[str, ...]:
    if not has_intervals(summary):
        return ()
    bounds = entry.get("miou_interval")
    return (f"{bounds[0]:.1f} to {bounds[1]:.1f}" if bounds else "",)


def evaluated_on(summary: Summary) -> str:
    """What the mIoU is of, in words."""
    basis = summary.get("evaluation", {"kind": "labels"})
    if basis["kind"] == "sample":
        return (
            f"mIoU on a sample of {basis['regions']} regions of images held back (small samples lack rare "
            "classes and tend to be low)"
        )
    return "no evaluation" if basis["kind"] == "none" else "mIoU on the target's evaluation split"


def round_table(summary: Summary) -> Table:
    """What is printed after every round; see `round_rows`."""
    title = Text(evaluated_on(summary))
    return table(title, round_columns(summary), round_rows(summary))


def score_table(scores: Mapping[str, Any]) -> Table:
    """A model's scores (`confusion.scores`, with `dataset` and `split`), a row a class and a mean."""
    rows = [(name, number(value)) for name, value in scores["iou"].items()]
    rows += [(name, number(scores[key])) for key, name in MEANS.items() if key in scores]
    return table(Text(f"{scores['dataset']}/{scores['split']}"), ("class", "IoU %"), rows)


def markdown(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table, for READMEs and documents; all columns but the first are flushed right."""
    lines = [columns, ["---"] + ["---:"] * (len(columns) - 1), *rows]
    return "".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |\n" for line in lines)


def number(value: float | None) -> str:
    """Two decimals, or a dash where there is no number."""
    return "-" if value is None else f"{value:.2f}"


def gain(value: float | None, before: float | None) -> str:
    """The signed difference, or nothing where one of both is missing."""
    return "" if value is None or before is None else f"{value - before:+.2f}"


def table(title: Text, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    """A table for a terminal; all columns but the first are flushed right."""
    table = Table(title=title, box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    for i, column in enumerate(columns):
        table.add_column(Text(column), justify="right" if i else "left", no_wrap=True)
    for row in rows:
        table.add_row(*map(Text, row))  # as text: names may hold what rich takes for markup
    return table
