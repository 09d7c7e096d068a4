"""report.html: one file with everything in it, to be read in a browser or printed."""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import jinja2
import numpy as np

from adeada_jax.data.images import encode_png
from adeada_jax.evaluation.summaries import Summary
from adeada_jax.evaluation.tables import unknown_label_warnings
from adeada_jax.files import write_text_atomic
from adeada_jax.method.selection_csv import SelectionRow
from adeada_jax.report import figures, outcomes, sections
from adeada_jax.report.drawing import hex_color
from adeada_jax.report.next_steps import next_steps

# Wider pictures are made smaller: those of Cityscapes' size would make a page of 100 MB.
_PANEL_WIDTH = 640  # pixels
# A picture of so few colours is a painted label map, and its colours must not mix.
_LABEL_COLORS = 64


@dataclass(frozen=True)
class Strip:
    """Pictures of one image side by side.

    Attributes:
      title: usually the image's name.
      panels: (caption, `(H, W, 3)` uint8 RGB) each.
    """

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
    summary: Summary,
    selections: Sequence[SelectionRow],
    densities: Mapping[int, Mapping[str, Any]],
    class_names: Sequence[str],
    palette: np.ndarray,
    galleries: Sequence[Gallery] = (),
    events: Sequence[Mapping[str, Any]] = (),
    answered: Sequence[outcomes.AnsweredRound] = (),
    kappas: Sequence[float | None] = (),
) -> None:
    """Writes the report of a run; sections for which there is nothing are left out.

    Args:
      path: of the HTML file, in the run's directory; it asks nothing of the network and holds no script.
      config: content of config.json.
      summary: content of summary.json, at least one round.
      selections: rows of all selection.csv files (keys are the column names), in the order bought.
      densities: content of density.json by round.
      class_names: C names.
      palette: `(C, 3)` uint8 RGB.
      galleries: pictures; those wider than 640 pixels are embedded at that width.
      events: lines of metrics.jsonl.
      answered: what people were asked, and answered.
      kappas: of each class, how far two people agree; empty where nothing was labelled by two.
    """
    colors = dict(zip(class_names, map(hex_color, palette), strict=True))
    last = summary["rounds"][-1]["round"]
    page = (
        environment()
        .get_template("page.html")
        .render(
            title=sections.title(config),
            subtitle=sections.subtitle(config),
            headlines=sections.headlines(summary, selections),
            warnings=unknown_label_warnings(summary),
            steps=next_steps(config, summary, Path(path).parent, answered),
            curve=figures.label_curve(summary),
            effort=figures.effort_curve(summary),
            losses=figures.loss_curve(events),
            sure=figures.sure_curve(events),
            iou=sections.iou_section(summary),
            classes=figures.iou_chart(summary),
            people=outcomes.people_matrix(answered),
            given=outcomes.class_matrix(answered, class_names, kappas),
            purchases=figures.purchase_chart(selections, class_names),
            methods=sections.method_rows(selections),
            budgets=sections.budget_matrix(densities, class_names),
            divergences=sections.divergence_matrix(densities, class_names),
            fits=sections.fit_rows(densities, class_names),
            time=sections.time_section(summary, events),
            times=figures.time_chart(summary, events),
            part_colors=figures.PART_COLORS,
            galleries=[embedded(gallery) for gallery in galleries],
            colors=colors,
            round_colors=[hex_color(color) for color in figures.round_palette(last)],
            config=sections.flat(config),
        )
    )
    write_text_atomic(path, page)


def embedded(gallery: Gallery) -> dict[str, object]:
    """A gallery as the templates take it: its pictures as data URIs, shrunk to at most 640 pixels' width."""
    strips = [
        {"title": strip.title, "panels": [_panel(caption, image) for caption, image in strip.panels]}
        for strip in gallery.strips
    ]
    return {"title": gallery.title, "text": gallery.text, "strips": strips}


def _panel(caption: str, image: np.ndarray) -> dict[str, object]:
    image = _shrunk(np.ascontiguousarray(image, np.uint8))
    uri = "data:image/png;base64," + base64.b64encode(encode_png(image)).decode()
    return {"caption": caption, "uri": uri, "height": image.shape[0], "width": image.shape[1]}


def _shrunk(image: np.ndarray) -> np.ndarray:
    height, width = image.shape[:2]
    if width <= _PANEL_WIDTH:
        return image
    packed = image.astype(np.uint32) @ np.array([65536, 256, 1], np.uint32)
    painted = len(np.unique(packed[::2, ::2])) <= _LABEL_COLORS
    size = _PANEL_WIDTH, max(1, round(height * _PANEL_WIDTH / width))
    return cv2.resize(image, size, interpolation=cv2.INTER_NEAREST if painted else cv2.INTER_AREA)


def environment(*directories: Path) -> jinja2.Environment:
    """What renders pages: templates of these directories, then this one's style and parts."""
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader([*directories, Path(__file__).parent]),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
