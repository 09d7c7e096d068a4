"""The report's figures: matplotlib without global state, as SVG text."""

import io
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from skimage.segmentation import find_boundaries

# A round's colour in figures and overlays: a perceptual ramp without its too dark and too pale ends.
_RAMP = matplotlib.colormaps["plasma"]
_STYLE = {
    "font.family": "sans-serif",
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#8a8f98",
    "text.color": "#7b818c",
    "axes.labelcolor": "#7b818c",
    "xtick.color": "#7b818c",
    "ytick.color": "#7b818c",
    "svg.fonttype": "none",
    "svg.hashsalt": "adeada_jax",
}
_ACCENT = "#2f7ed8"


def round_palette(rounds: int) -> np.ndarray:
    """`(rounds, 3)` uint8 RGB, one colour a round."""
    return (255 * _RAMP(np.linspace(0.1, 0.9, rounds))[:, :3]).astype(np.uint8)


def bought_overlay(
    image: np.ndarray, regions: np.ndarray, rounds_bought: Mapping[int, int], *, rounds: int
) -> np.ndarray:
    """Tints the regions that were bought in their round's colour; the rest is dimmed.

    Args:
      image: `(H, W, 3)` uint8.
      regions: `(H, W)` region ids.
      rounds_bought: round, from 1 on, by region id.
      rounds: number of rounds of the run.

    Returns:
      `(H, W, 3)` uint8.
    """
    colors = round_palette(rounds)
    painted = image.astype(np.float32) * 0.55
    for region, number in rounds_bought.items():
        inside = regions == region
        painted[inside] = 0.45 * image[inside] + 0.55 * colors[number - 1]
        painted[inside & find_boundaries(regions, mode="inner")] = colors[number - 1]
    return painted.round().astype(np.uint8)


def label_curve(summary: Mapping[str, Any]) -> str:
    """mIoU over the share of labelled target pixels (the paper's Fig. 3)."""
    entries = [entry for entry in summary["rounds"] if entry["miou"] is not None]
    labels = [100 * entry["labelled_fraction"] for entry in entries]
    with matplotlib.rc_context(_STYLE):
        figure, axes = _axes(6.4, 3.4)
        axes.plot(labels, [entry["miou"] for entry in entries], marker="o", color=_ACCENT, linewidth=2)
        for x, entry in zip(labels, entries, strict=True):
            axes.annotate(f"{entry['miou']:.1f}", (x, entry["miou"]), xytext=(0, 8),
                          textcoords="offset points", ha="center")  # fmt: skip
        axes.set(xlabel="labelled target pixels (%)", ylabel="mIoU (%)")
        axes.margins(y=0.2)
        axes.grid(axis="y", alpha=0.25)
        return _svg(figure)


def loss_curves(events: Sequence[Mapping[str, Any]]) -> str | None:
    """The training losses, one line a stage; None where none was written."""
    curves: dict[str, list[tuple[int, float]]] = {}
    for event in events:
        if event.get("loss") is not None:
            name = "warm-up" if event["stage"] == "warmup" else f"round {event['round']}"
            curves.setdefault(name, []).append((event["step"], event["loss"]))
    if not curves:
        return None
    with matplotlib.rc_context(_STYLE):
        figure, axes = _axes(6.4, 3.0)
        for color, (name, points) in zip(round_palette(len(curves)), curves.items(), strict=True):
            axes.plot(*zip(*points, strict=True), label=name, color=color / 255, linewidth=1.6)
        axes.set(xlabel="step", ylabel="cross entropy")
        axes.grid(axis="y", alpha=0.25)
        axes.legend(frameon=False, ncols=2)
        return _svg(figure)


def heat_map(
    rows: Sequence[str], columns: Sequence[str], values: np.ndarray, *, label: str, form: str = "{:.0f}"
) -> str:
    """A labelled matrix, such as budgets by class and round; NaN cells stay empty.

    Args:
      rows: names of the R rows.
      columns: names of the S columns.
      values: `(R, S)`.
      label: of the colour scale.
      form: of the numbers in the cells.
    """
    with matplotlib.rc_context(_STYLE):
        figure, axes = _axes(2.2 + 0.85 * len(columns), 0.9 + 0.27 * len(rows))
        shown = axes.imshow(np.ma.masked_invalid(values), cmap="Blues", aspect="auto")
        top = np.nanmax(values) if np.isfinite(values).any() else 1.0
        for (i, j), value in np.ndenumerate(values):
            if np.isfinite(value):
                dark = shown.norm(value) > 0.55 if top else False
                axes.text(j, i, form.format(value), ha="center", va="center", fontsize=8,
                          color="#ffffff" if dark else "#23272e")  # fmt: skip
        axes.set_xticks(range(len(columns)), columns)
        axes.set_yticks(range(len(rows)), rows)
        axes.spines[:].set_visible(False)
        axes.tick_params(length=0)
        figure.colorbar(shown, ax=axes, label=label, fraction=0.04, pad=0.02)
        return _svg(figure)


def _axes(width: float, height: float) -> tuple[Figure, Any]:
    figure = Figure(figsize=(width, height), layout="constrained")
    figure.patch.set_alpha(0)
    axes = figure.add_subplot()
    axes.patch.set_alpha(0)
    return figure, axes


def _svg(figure: Figure) -> str:
    text = io.StringIO()
    figure.savefig(text, format="svg", metadata={"Date": None})
    svg = text.getvalue()
    return svg[svg.index("<svg") :]
