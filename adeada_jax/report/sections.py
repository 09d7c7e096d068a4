"""What the report's tables say, from the files of a run."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from adeada_jax.evaluation.summaries import Round, Summary
from adeada_jax.evaluation.tables import gain, means, number, round_name
from adeada_jax.method.selection_csv import SelectionRow
from adeada_jax.report.profile import PARTS, time_by_part

# Of a class's entry in density.json: what stands in other tables or columns.
_TOLD_ELSEWHERE = ("class", "status", "kl", "budget")
_UNITS = ((1e9, "G"), (1e6, "M"), (1e3, "k"))


@dataclass(frozen=True)
class Cell:
    """A table's cell: its text and how strongly it is shaded, from 0 to 1."""

    text: str
    heat: float = 0.0


@dataclass(frozen=True)
class Matrix:
    """A table with a heading a column and a name a row."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, tuple[Cell, ...]], ...]


def title(config: Mapping[str, Any]) -> str:
    """`source → target`, as far as the configuration says."""
    names = [_get(config, "source", "dataset"), _get(config, "target", "dataset")]
    return " → ".join(str(name) for name in names if name) or "Active domain adaptation"


def subtitle(config: Mapping[str, Any]) -> list[str]:
    """What else one wants to know of a run before all else: strategy, teacher, model, image size, seed."""
    reference = config.get("experiment") == "target_only"
    strategy = "all target labels (reference)" if reference else _get(config, "acquisition", "strategy")
    model = [_get(config, "model", "name"), _get(config, "model", "backbone")]
    size = [_get(config, "data", "height"), _get(config, "data", "width")]
    taught = config.get("experiment") == "active" and _get(config, "finetune", "method") == "teacher"
    parts = [
        strategy,
        "pseudo-labels of a teacher" if taught else "",
        " with ".join(str(part) for part in model if part),
        "" if None in size else f"{size[0]} x {size[1]} pixels",
        "" if config.get("seed") is None else f"seed {config['seed']}",
    ]
    return [str(part) for part in parts if part]


def headlines(summary: Summary, selections: Sequence[SelectionRow]) -> list[tuple[str, str]]:
    """The numbers at the top: (number, what it is)."""
    first, last = summary["rounds"][0], summary["rounds"][-1]
    lines = _unscored(last) if _kind(summary) == "none" else _scored(first, last)
    if last["labelled_fraction"] or last["round"]:
        lines.append((f"{100 * last['labelled_fraction']:.2f}%", "of the target's pixels labelled"))
    if last.get("known_pixels", last.get("labelled_pixels")) != last.get("labelled_pixels"):
        lines.append((_known(last), "of the target's pixels with a known class"))
    if selections:
        images = len({row["image"] for row in selections})
        lines.append((f"{len(selections):,}", f"regions bought, in {images:,} images"))
    return lines


def _scored(first: Round, last: Round) -> list[tuple[str, str]]:
    miou = "-" if last["miou"] is None else f"{last['miou']:.1f}%"
    when = {"warm-up": "after the warm-up", "all labels": "with all labels"}
    lines = [(miou, f"mIoU {when.get(round_name(last), 'after round ' + round_name(last))}")]
    if last["round"]:
        points = gain(last["miou"], first["miou"])
        lines.append((points[:-1] if points else "-", "points over the warm-up"))
    return lines


def _unscored(last: Round) -> list[tuple[str, str]]:
    taken = last.get("suggestions_taken")
    if taken is None:
        return []
    return [(f"{100 * taken:.0f}%", f"of round {last['round']}'s regions had the class that was predicted")]


def evaluation_text(summary: Summary) -> str:
    """What the mIoU is of and how far to trust it, or what there is instead."""
    kind = _kind(summary)
    if kind == "none":
        return (
            "Nothing was evaluated, so there is no mIoU. How many of a round's regions had the class that "
            "the model predicted for them before they were labelled is no stand-in for it: it is biased, "
            "for bought are the regions that the model knows least about, and other ones in each round."
        )
    if kind == "sample":
        return (
            f"In percent, on a sample of {summary['evaluation']['regions']:,} regions of images that were "
            "held back. A small sample lacks rare classes and tends to give too low a mIoU, which its 95% "
            "interval allows for in part. A class that neither occurs there nor is predicted has no IoU and "
            "no part in the mean."
        )
    return (
        "In percent, on the target's evaluation split. A class that neither occurs there nor is predicted "
        "has no IoU and no part in the mean."
    )


def _kind(summary: Summary) -> str:
    return summary.get("evaluation", {}).get("kind", "labels")


def iou_section(summary: Summary) -> dict[str, object]:
    """IoU with classes in rows and rounds in columns, and the points between the first and the last round."""
    entries = summary["rounds"]
    changes = len(entries) > 1

    def row(name: str, values: list[float | None]) -> tuple[str, tuple[Cell, ...]]:
        cells = [Cell(number(value), _clip((value or 0.0) / 100)) for value in values]
        return name, (*cells, *([Cell(gain(values[-1], values[0]) or "-")] if changes else []))

    columns = (*map(round_name, entries), *(["change"] if changes else []))
    names = list(dict.fromkeys(name for entry in entries for name in entry["iou"]))
    rows = tuple(row(name, [entry["iou"].get(name) for entry in entries]) for name in names)
    means_rows = [row(name, [entry[key] for entry in entries]) for key, name in means(summary).items()]
    scored = _kind(summary) != "none"
    return {
        "text": evaluation_text(summary),
        "matrix": Matrix(columns, rows if scored else ()),
        "means": means_rows if scored else [],
        "labelled": [f"{100 * entry['labelled_fraction']:.2f}%" for entry in entries],
        "known": [_known(entry) for entry in entries if "known_pixels" in entry],
        "intervals": _row_of(entries, "miou_interval", lambda bounds: f"{bounds[0]:.1f} to {bounds[1]:.1f}"),
        "taken": _row_of(entries, "suggestions_taken", lambda share: f"{100 * share:.0f}%"),
        "changes": changes,
    }


def _row_of(
    entries: Sequence[Round], key: Literal["miou_interval", "suggestions_taken"], form: Callable[[Any], str]
) -> list[str]:
    """A row of what only some rounds have; nothing where none has it."""
    values = [entry.get(key) for entry in entries]
    known = any(value is not None for value in values)
    return ["-" if value is None else form(value) for value in values] if known else []


def _known(entry: Round) -> str:
    return f"{100 * entry['known_pixels'] / entry['target_pixels']:.2f}%"


def budget_matrix(densities: Mapping[int, Mapping[str, Any]], class_names: Sequence[str]) -> Matrix | None:
    """Eq. 6's budget in pixels by class and round; None without densities."""
    values = _values(densities, class_names, "budget")
    top = np.nanmax(values, initial=1.0)
    return _matrix(densities, class_names, values, values / top, lambda value: f"{value:,.0f}")


def divergence_matrix(
    densities: Mapping[int, Mapping[str, Any]], class_names: Sequence[str]
) -> Matrix | None:
    """Eq. 5's KL in nats by class and round, shaded by log10 |KL|, the weight of Eq. 6; None without any."""
    values = _values(densities, class_names, "kl")
    sizes = np.log10(np.maximum(np.abs(values), 1.0))
    top = np.nanmax(sizes, initial=1e-9)
    return _matrix(densities, class_names, values, sizes / top, short)


def method_rows(selections: Sequence[SelectionRow]) -> list[dict[str, object]]:
    """Regions and pixels by round and method, in the order bought, with the share of the round's pixels."""
    regions: Counter[tuple[int, str]] = Counter()
    pixels: Counter[tuple[int, str]] = Counter()
    totals: Counter[int] = Counter()
    for row in selections:
        key = int(row["round"]), row["method"]
        regions[key] += 1
        pixels[key] += int(row["pixels"])
        totals[key[0]] += int(row["pixels"])
    return [
        {
            "round": key[0],
            "method": key[1],
            "regions": regions[key],
            "pixels": pixels[key],
            "share": pixels[key] / max(totals[key[0]], 1),
        }
        for key in regions
    ]


def fit_rows(
    densities: Mapping[int, Mapping[str, Any]], class_names: Sequence[str]
) -> dict[str, object] | None:
    """What the densities of the last round say of themselves: a row a class; None without densities.

    Numbers and pairs of them, source and target; what is longer is left to density.json.
    """
    if not densities:
        return None
    last = max(densities)
    records = [densities[last].get(name, {}) for name in class_names]
    keys = [
        key
        for key in dict.fromkeys(key for record in records for key in record)
        if key not in _TOLD_ELSEWHERE and not any(_is_long(record.get(key)) for record in records)
    ]
    rows = [
        [name, *(_fact(record.get(key)) for key in keys), str(record.get("status", "none"))]
        for name, record in zip(class_names, records, strict=True)
    ]
    return {"round": last, "headings": [key.replace("_", " ") for key in keys], "rows": rows}


def time_section(summary: Summary, events: Sequence[Mapping[str, Any]]) -> dict[str, object] | None:
    """Seconds with parts in rows and rounds in columns, shaded by their share of the round; None if unknown.

    Behind the rounds stand the whole run and its shares in percent. Parts that took no time are left out.
    """
    rounds = time_by_part(events)
    whole = {part: sum(seconds[part] for seconds in rounds.values()) for part in PARTS}
    if not any(whole.values()):
        return None
    columns = [*rounds.values(), *([whole] if len(rounds) > 1 else [])]

    def row(name: str, parts: Sequence[str]) -> tuple[str, tuple[Cell, ...]]:
        values = [sum(column[part] for part in parts) for column in columns]
        shares = [
            value / max(sum(column.values()), 1e-9) for value, column in zip(values, columns, strict=True)
        ]
        cells = (Cell(duration(value), _clip(share)) for value, share in zip(values, shares, strict=True))
        return name, (*cells, Cell(f"{100 * shares[-1]:.1f}%"))

    names = {entry["round"]: round_name(entry) for entry in summary["rounds"]}
    headings = (*(names.get(k, str(k)) for k in rounds), *(["whole run"] if len(rounds) > 1 else []), "share")
    rows = tuple(row(part, [part]) for part in PARTS if whole[part])
    return {"matrix": Matrix(headings, rows), "total": row("total", PARTS)}


def duration(seconds: float) -> str:
    """Seconds as people read them: `0.3`, `12.0`, `1,234`, and `-` for none."""
    if not seconds:
        return "-"
    return f"{seconds:,.1f}" if seconds < 99.95 else f"{seconds:,.0f}"


def flat(config: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Dotted keys and values of a nested configuration, sorted."""
    rows: list[tuple[str, str]] = []
    for key, value in config.items():
        if isinstance(value, Mapping):
            rows += flat(value, f"{prefix}{key}.")
        else:
            rows.append((f"{prefix}{key}", str(value)))
    return sorted(rows)


def short(value: float) -> str:
    """A number in three digits or so: 127k, 2.31M, -0.4."""
    for size, unit in _UNITS:
        if abs(value) >= size:
            return f"{value / size:.3g}{unit}" if abs(value) < 999.5 * size else f"{value / size:.0f}{unit}"
    return f"{value:.3g}" if abs(value) < 999.5 else f"{value:.0f}"


def _values(densities: Mapping[int, Mapping[str, Any]], class_names: Sequence[str], key: str) -> np.ndarray:
    """`(C, rounds)`, NaN where a class has none."""
    records = [[densities[k].get(name, {}).get(key) for name in class_names] for k in sorted(densities)]
    columns = [[np.nan if value is None else float(value) for value in column] for column in records]
    return np.array(columns, float).reshape(len(densities), len(class_names)).T


def _matrix(
    densities: Mapping[int, Any],
    class_names: Sequence[str],
    values: np.ndarray,
    heat: np.ndarray,
    form: Callable[[float], str],
) -> Matrix | None:
    if not np.isfinite(values).any():
        return None
    rows = tuple(
        (
            name,
            tuple(
                Cell("-") if np.isnan(value) else Cell(form(value), _clip(share))
                for value, share in zip(row, shares, strict=True)
            ),
        )
        for name, row, shares in zip(class_names, values, heat, strict=True)
    )
    return Matrix(tuple(f"round {k}" for k in sorted(densities)), rows)


def _is_long(value: object) -> bool:
    values = value.values() if isinstance(value, Mapping) else [value]
    return any(isinstance(one, (list, Mapping)) for one in values)


def _fact(value: object) -> str:
    """A number or text, or the source's and the target's, as people read it."""
    if isinstance(value, Mapping):
        sides = [_fact(value.get(side)) for side in ("source", "target")]
        return "-" if sides == ["-", "-"] else " / ".join(sides)
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:,.4g}"
    if isinstance(value, str):
        return value
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else f"{value:,}"


def _get(config: Mapping[str, Any], section: str, key: str) -> Any:
    inner = config.get(section)
    return inner.get(key) if isinstance(inner, Mapping) else None


def _clip(share: float) -> float:
    return round(float(min(max(share, 0.0), 1.0)), 3)
