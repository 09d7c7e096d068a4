"""report.html: one file with everything in it, to be read in a browser or printed."""

import base64
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
import numpy as np

from adeada_jax.data.images import encode_png
from adeada_jax.evaluation import tables
from adeada_jax.files import write_text_atomic
from adeada_jax.report import figures


@dataclass(frozen=True)
class Strip:
    """Pictures of one image side by side: `(caption, (H, W, 3) uint8)` each."""

    title: str
    panels: tuple[tuple[str, np.ndarray], ...]


@dataclass(frozen=True)
class Gallery:
    """Strips under a heading, with a sentence on what they show."""

    title: str
    text: str
    strips: tuple[Strip, ...]


def write_report(
    path: str | Path,
    *,
    config: Mapping[str, Any],
    summary: Mapping[str, Any],
    selections: Sequence[Mapping[str, Any]],
    densities: Mapping[int, Mapping[str, Any]],
    class_names: Sequence[str],
    palette: np.ndarray,
    galleries: Sequence[Gallery] = (),
    events: Sequence[Mapping[str, Any]] = (),
) -> None:
    """Writes the report of a run; sections for which there is nothing are left out.

    Args:
      path: of the HTML file.
      config: content of config.json.
      summary: content of summary.json.
      selections: rows of all selection.csv files, in the order bought.
      densities: content of density.json by round.
      class_names: C names.
      palette: `(C, 3)` uint8 RGB.
      galleries: pictures.
      events: lines of metrics.jsonl.
    """
    rounds = [entry["round"] for entry in summary["rounds"]]
    page = _environment().get_template("page.html").render(
        headlines=headlines(summary, selections),
        curve=figures.label_curve(summary),
        losses=figures.loss_curves(events),
        iou=_iou_table(summary),
        budgets=_budget_figure(densities, class_names),
        divergences=_divergence_figure(densities, class_names),
        purchases=_purchase_figure(selections, class_names),
        methods=_methods(selections),
        galleries=[_embedded(gallery) for gallery in galleries],
        legend=[(name, "#{:02x}{:02x}{:02x}".format(*color)) for name, color in
                zip(class_names, palette.tolist(), strict=True)],
        round_legend=[(k, "#{:02x}{:02x}{:02x}".format(*color)) for k, color in
                      enumerate(figures.round_palette(rounds[-1]).tolist(), 1)] if rounds[-1] else [],
        config=_flat(config),
    )  # fmt: skip
    write_text_atomic(path, page)


def headlines(summary: Mapping[str, Any], selections: Sequence[Mapping[str, Any]]) -> list[tuple[str, str]]:
    """The numbers at the top: (number, what it is)."""
    first, last = summary["rounds"][0], summary["rounds"][-1]
    lines = [(_percent(last["miou"]), "mIoU at the end")]
    if last["round"]:
        if None not in (first["miou"], last["miou"]):
            lines.append((f"{last['miou'] - first['miou']:+.1f}", "points over the warm-up"))
        lines.append((f"{100 * last['labelled_fraction']:.2f}%", "of the target's pixels labelled"))
        lines.append((f"{len(selections):,}", "regions bought"))
    return lines


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}%"


def _iou_table(summary: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Classes in rows, rounds in columns, as cells of (text, shade from 0 to 1)."""
    columns, rows = tables.iou_rows(summary)
    lines = []
    for c, name in enumerate(columns[1:], 1):
        cells = [(row[c], 0.0 if row[c] == "-" else float(row[c]) / 100) for row in rows]
        lines.append({"name": name, "cells": cells})
    return [{"name": "% labelled", "cells": [(row[0], None) for row in rows]}, *lines]


def _matrix(densities: Mapping[int, Mapping[str, Any]], class_names: Sequence[str], key: str) -> np.ndarray:
    def value(number: int, name: str) -> float:
        entry = densities[number].get(name, {}).get(key)
        return np.nan if entry is None else float(entry)

    return np.array([[value(number, name) for number in sorted(densities)] for name in class_names])


def _round_names(densities: Mapping[int, Any]) -> list[str]:
    return [f"round {number}" for number in sorted(densities)]


def _budget_figure(densities: Mapping[int, Mapping[str, Any]], class_names: Sequence[str]) -> str | None:
    if not densities:
        return None
    budgets = _matrix(densities, class_names, "budget")
    return figures.heat_map(class_names, _round_names(densities), budgets, label="pixels", form="{:,.0f}")


def _divergence_figure(densities: Mapping[int, Mapping[str, Any]], class_names: Sequence[str]) -> str | None:
    if not densities:
        return None
    magnitudes = np.log10(np.maximum(np.abs(_matrix(densities, class_names, "kl")), 1e-3))
    return figures.heat_map(class_names, _round_names(densities), magnitudes, label="log10 |KL|", form="{:.1f}")


def _purchase_figure(selections: Sequence[Mapping[str, Any]], class_names: Sequence[str]) -> str | None:
    if not selections:
        return None
    rounds = sorted({row["round"] for row in selections})
    counts = Counter((row["class"], row["round"]) for row in selections)
    values = np.array([[counts[name, number] for number in rounds] for name in class_names], float)
    columns = [f"round {number}" for number in rounds]
    return figures.heat_map(class_names, columns, values, label="regions bought")


def _methods(selections: Sequence[Mapping[str, Any]]) -> list[tuple[int, str, int, int]]:
    """(round, method, regions, pixels), in order."""
    regions, pixels = Counter(), Counter()
    for row in selections:
        key = row["round"], row["method"]
        regions[key] += 1
        pixels[key] += int(row["pixels"])
    return [(*key, regions[key], pixels[key]) for key in sorted(regions)]


def _embedded(gallery: Gallery) -> dict[str, Any]:
    strips = [
        {"title": strip.title, "panels": [(caption, _data_uri(image)) for caption, image in strip.panels]}
        for strip in gallery.strips
    ]
    return {"title": gallery.title, "text": gallery.text, "strips": strips}


def _data_uri(image: np.ndarray) -> str:
    return "data:image/png;base64," + base64.b64encode(encode_png(image)).decode()


def _flat(config: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    rows: list[tuple[str, str]] = []
    for key, value in config.items():
        if isinstance(value, Mapping):
            rows += _flat(value, f"{prefix}{key}.")
        else:
            rows.append((f"{prefix}{key}", str(value)))
    return sorted(rows)


def _environment() -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=jinja2.StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
