"""The report's charts, as inline SVG in the page's own colours, and its overlays."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import matplotlib
import numpy as np
from markupsafe import Markup
from skimage.segmentation import find_boundaries

from adeada_jax.evaluation.summaries import Round, Summary
from adeada_jax.evaluation.tables import round_name
from adeada_jax.method.selection_csv import SelectionRow
from adeada_jax.report.drawing import ACCENT, CARD, INK, LINE, SOFT, STYLE, hex_color, legend, new_axes, svg
from adeada_jax.report.profile import PARTS, time_by_part

# A round's colour: even steps of hue and lightness, without the ends that vanish on white or black.
_RAMP = matplotlib.colormaps["plasma"]

# The parts of a run's time: hues that people with any colour vision tell apart, on white and on black.
PART_COLORS = dict(
    zip(
        PARTS,
        (
            "#e69f00",
            "#d55e00",
            "#2a7fc4",
            "#56b4e9",
            "#009e73",
            "#c9b52e",
            "#9c6b3f",
            "#cc79a7",
            "#8a6fc0",
            "#8b94a3",
        ),
        strict=True,
    )
)
_TIME_UNITS = ((3600, "hours"), (60, "minutes"), (1, "seconds"))


def round_palette(rounds: int) -> np.ndarray:
    """The colours of rounds 1 to `rounds`: `(rounds, 3)` uint8 RGB, early ones dark, late ones light."""
    return (255 * _RAMP(np.linspace(0.28, 0.88, rounds))[:, :3]).round().astype(np.uint8)


def bought_overlay(
    image: np.ndarray, regions: np.ndarray, rounds_bought: Mapping[int, int], *, rounds: int | None = None
) -> np.ndarray:
    """Tints the regions that were bought in their round's colour and outlines them; the rest turns grey.

    Args:
      image: `(H, W, 3)` uint8.
      regions: `(H, W)` region ids.
      rounds_bought: round, from 1 on, by region id.
      rounds: number of rounds of the run, which sets the colours; the last in `rounds_bought` if None.

    Returns:
      `(H, W, 3)` uint8.
    """
    ids = np.fromiter(rounds_bought, np.int64, len(rounds_bought))
    numbers = np.zeros(max(regions.max(), ids.max(initial=0)) + 1, np.int64)
    numbers[ids] = list(rounds_bought.values())
    number = numbers[regions]
    bought = number > 0
    colors = round_palette(rounds or max(numbers.max(), 1))[np.maximum(number, 1) - 1]
    grey = 40 + 0.6 * image.mean(axis=-1, keepdims=True)
    painted = np.where(bought[..., None], 0.5 * image + 0.5 * colors, grey)
    edges = bought & find_boundaries(np.where(bought, regions + 1, 0), mode="inner")
    painted[edges] = 0.35 * colors[edges] + 0.65 * 255
    return painted.round().astype(np.uint8)


def label_curve(summary: Summary) -> Markup | None:
    """MIoU over the share of labelled target pixels (the paper's Fig. 3); None with fewer than two points."""
    return _miou_curve(
        summary,
        lambda entry: 100 * entry["labelled_fraction"],
        name="curve",
        axis="labelled target pixels (%)",
        over="labelled pixels",
        unit="%",
    )


def effort_curve(summary: Summary) -> Markup | None:
    """MIoU over the time that people took; None with fewer than two points, or where it was not measured."""
    most = max((entry.get("seconds") or 0.0) for entry in summary["rounds"])
    if not most:
        return None
    scale, unit = next((s, name) for s, name in _TIME_UNITS if most >= 2 * s or s == 1)
    return _miou_curve(
        summary,
        lambda entry: (entry.get("seconds") or 0.0) / scale,
        name="effort",
        axis=f"people's time for labels to train on ({unit})",
        over="people's time",
        unit=f" {unit}",
    )


def _miou_curve(
    summary: Summary,
    position: Callable[[Round], float],
    *,
    name: str,
    axis: str,
    over: str,
    unit: str,
) -> Markup | None:
    """mIoU, with its 95% intervals where they are known, over something that grows with the rounds."""
    entries: list[Any] = [entry for entry in summary["rounds"] if entry["miou"] is not None]
    if len(entries) < 2:
        return None
    places = [position(entry) for entry in entries]
    mious = [entry["miou"] for entry in entries]
    sure = [
        (x, *entry["miou_interval"])
        for x, entry in zip(places, entries, strict=True)
        if entry.get("miou_interval")
    ]
    with matplotlib.rc_context(STYLE):
        figure, axes = new_axes(4.6, 3.1)
        if sure:
            axes.vlines(*zip(*sure, strict=True), color=LINE, linewidth=5)
        axes.plot(places, mious, marker="o", markersize=5, color=ACCENT, linewidth=2)
        for k, (x, y) in enumerate(zip(places, mious, strict=True)):
            offset, side = _beside(mious, k)
            axes.annotate(f"{y:.1f}", (x, y), xytext=offset, textcoords="offset points", ha=side)
        axes.set(xlabel=axis, ylabel="mIoU (%), with 95% intervals" if sure else "mIoU (%)")
        axes.margins(x=0.08, y=0.18)
        axes.grid(axis="y")
        alt = f"mIoU over {over}: " + ", ".join(
            f"{y:.1f}% at {x:.2f}{unit}" for x, y in zip(places, mious, strict=True)
        )
        return svg(figure, name, alt)


def iou_chart(summary: Summary) -> Markup | None:
    """Every class's way from the warm-up's IoU to the last round's; None with fewer than two such rounds."""
    entries = summary["rounds"]
    classes = list(entries[0]["iou"])
    if len(entries) < 2 or not classes:
        return None
    values = np.array(
        [
            [np.nan if entry["iou"].get(name) is None else entry["iou"][name] for name in classes]
            for entry in entries
        ],
        float,
    )
    if np.isnan(values).all():
        return None
    with matplotlib.rc_context(STYLE):
        figure, axes = new_axes(4.6, 0.9 + 0.235 * len(classes))
        rows = np.arange(len(classes))
        axes.hlines(rows, *_span(values), color=LINE, linewidth=2)
        colors = [SOFT, *map(hex_color, round_palette(entries[-1]["round"])[-len(entries) + 1 :])]
        for k, (entry, row, color) in enumerate(zip(entries, values, colors, strict=True)):
            size, face = (5.5, color) if k == len(entries) - 1 else (4, CARD if k == 0 else color)
            axes.plot(
                row,
                rows,
                linestyle="",
                marker="o",
                markersize=size,
                color=color,
                markerfacecolor=face,
                label=_legend_name(entry),
            )
        axes.set_yticks(rows, classes)
        axes.set(xlabel="IoU (%)", xlim=(-2, 102), ylim=(len(classes) - 0.4, -0.6))
        axes.tick_params(axis="y", length=0, labelcolor=INK)
        axes.grid(axis="x")
        legend(figure, axes)
        alt = "IoU by class, first and last round: " + ", ".join(
            f"{name} {_change(column)}" for name, column in zip(classes, values.T, strict=True)
        )
        return svg(figure, "classes", alt)


def purchase_chart(selections: Sequence[SelectionRow], class_names: Sequence[str]) -> Markup | None:
    """Bought pixels by class, stacked by round; None where nothing was bought.

    Args:
      selections: rows of selection.csv; `round` from 1 on.
      class_names: the order of the bars; classes that occur only in `selections` follow.
    """
    classes = [*class_names, *sorted({row["class"] for row in selections} - set(class_names))]
    last = max((int(row["round"]) for row in selections), default=0)
    if not last:
        return None
    pixels = np.zeros((last, len(classes)))
    for row in selections:
        pixels[int(row["round"]) - 1, classes.index(row["class"])] += int(row["pixels"])
    shares = 100 * pixels / pixels.sum()
    with matplotlib.rc_context(STYLE):
        figure, axes = new_axes(4.6, 0.9 + 0.235 * len(classes))
        rows, left = np.arange(len(classes)), np.zeros(len(classes))
        for k, (color, share) in enumerate(zip(round_palette(last), shares, strict=True), 1):
            axes.barh(rows, share, left=left, height=0.68, color=hex_color(color), label=f"round {k}")
            left += share
        axes.set_yticks(rows, classes)
        axes.set(xlabel="share of the bought pixels (%)", ylim=(len(classes) - 0.4, -0.6))
        axes.tick_params(axis="y", length=0, labelcolor=INK)
        axes.grid(axis="x")
        legend(figure, axes)
        alt = "Share of the bought pixels by class: " + ", ".join(
            f"{name} {share:.1f}%" for name, share in zip(classes, shares.sum(0), strict=True) if share
        )
        return svg(figure, "purchases", alt)


def loss_curve(events: Sequence[Mapping[str, Any]]) -> Markup | None:
    """The segmentation loss over the steps of all trainings in turn; None where none was written.

    Of a training with a teacher also that of mixed images, dotted.
    """
    curves, mixed = _values(events, "loss"), _values(events, "mixed_loss")
    if not curves:
        return None
    alt = f"Training loss; at the end of each training: {_ends(curves)}"
    if mixed:
        alt += f"; of mixed images: {_ends(mixed)}"
    return _training_chart(
        "losses", "cross entropy" + (", mixed images dotted" if mixed else ""), alt, curves, mixed
    )


def sure_curve(events: Sequence[Mapping[str, Any]]) -> Markup | None:
    """The share of pseudo-labels that are sure, over steps; None where there are none."""
    curves = _values(events, "sure_pixels", scale=100.0)
    alt = f"Percent of the pseudo-labels that are sure; at the end of each training: {_ends(curves)}"
    return _training_chart("sure", "sure pseudo-labels (%)", alt, curves, {}) if curves else None


_Curves = dict[tuple[int, str], list[tuple[int, float]]]  # (step, value) by round and stage


def _training_chart(name: str, axis: str, alt: str, curves: _Curves, dotted: _Curves) -> Markup:
    """A line a training, one after another; `dotted` has further ones of some of them."""
    last = max(number for number, _ in curves)
    colors = [SOFT, *map(hex_color, round_palette(last))]
    with matplotlib.rc_context(STYLE):
        figure, axes = new_axes(4.6, 3.1)
        start = 0
        for (number, stage), points in curves.items():
            steps, values = zip(*points, strict=True)
            label = "warm-up" if stage == "warmup" else f"round {number}" if number else stage
            axes.plot(
                np.add(steps, start),
                values,
                color=colors[number],
                linewidth=1.6,
                label=label,
                marker="o" if len(points) == 1 else "",
                markersize=3,
            )
            if others := dotted.get((number, stage)):
                steps, values = zip(*others, strict=True)
                axes.plot(np.add(steps, start), values, color=colors[number], linewidth=1.4, linestyle=":")
            start += steps[-1]
        axes.set(xlabel="training steps", ylabel=axis)
        axes.margins(x=0.02)
        axes.grid(axis="y")
        legend(figure, axes)
        return svg(figure, name, alt)


def time_chart(summary: Summary, events: Sequence[Mapping[str, Any]]) -> Markup | None:
    """Every round's time, stacked by part; None where metrics.jsonl does not tell it."""
    rounds = time_by_part(events)
    seconds = np.array([[parts[part] for part in PARTS] for parts in rounds.values()]).reshape(-1, len(PARTS))
    longest = seconds.sum(1).max(initial=0.0)
    if not longest:
        return None
    scale, unit = next((s, name) for s, name in _TIME_UNITS if longest >= 2 * s or s == 1)
    entries = {entry["round"]: entry for entry in summary["rounds"]}
    with matplotlib.rc_context(STYLE):
        figure, axes = new_axes(4.6, 1.2 + 0.3 * len(rounds))
        rows, left = np.arange(len(rounds)), np.zeros(len(rounds))
        for part, values in zip(PARTS, seconds.T / scale, strict=True):
            if values.any():
                axes.barh(rows, values, left=left, height=0.68, color=PART_COLORS[part], label=part)
                left += values
        axes.set_yticks(rows, [_legend_name(entries[k]) if k in entries else f"round {k}" for k in rounds])
        axes.set(xlabel=unit, ylim=(len(rounds) - 0.4, -0.6))
        axes.tick_params(axis="y", length=0, labelcolor=INK)
        axes.grid(axis="x")
        legend(figure, axes)
        whole = seconds.sum(0) / seconds.sum()
        alt = "Share of the run's time by part: " + ", ".join(
            f"{part} {100 * share:.1f}%" for part, share in zip(PARTS, whole, strict=True) if share
        )
        return svg(figure, "time", alt)


def _beside(values: Sequence[float], k: int) -> tuple[tuple[int, int], str]:
    """Where a point's number keeps clear of the line through its neighbours: offset in points, alignment."""
    rises = k + 1 < len(values) and values[k + 1] > values[k]
    if k == 0:
        return ((8, -5), "left") if rises else ((0, 7), "left")
    if values[k] >= values[k - 1]:
        return (-3, 6), "right"
    return ((0, -14), "center") if rises else ((3, 6), "left")


def _values(events: Sequence[Mapping[str, Any]], key: str, scale: float = 1.0) -> _Curves:
    """What trainings wrote of a key, in the order written."""
    curves: _Curves = {}
    for event in events:
        if event.get(key) is not None:
            curves.setdefault((event["round"], event["stage"]), []).append(
                (event["step"], scale * event[key])
            )
    return curves


def _ends(curves: _Curves) -> str:
    return ", ".join(f"{points[-1][1]:.3g}" for points in curves.values())


def _span(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Lowest and highest value a column, NaN for a column without any."""
    low = np.where(np.isnan(values), np.inf, values).min(0)
    high = np.where(np.isnan(values), -np.inf, values).max(0)
    return np.where(np.isinf(low), np.nan, low), np.where(np.isinf(high), np.nan, high)


def _change(column: np.ndarray) -> str:
    first, last = ("none" if np.isnan(value) else f"{value:.0f}%" for value in (column[0], column[-1]))
    return f"{first} to {last}"


def _legend_name(entry: Round) -> str:
    return f"round {entry['round']}" if entry["round"] else round_name(entry)
