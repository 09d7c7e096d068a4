"""How charts are drawn: matplotlib in the page's own colours, as SVG within HTML."""

import html
import io
import re
from typing import Any

import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure

# Stand-ins that become the page's CSS variables, so that a chart follows light and dark.
INK, SOFT, LINE, ACCENT, CARD = "#010203", "#040506", "#070809", "#0a0b0c", "#0d0e0f"
_VARIABLES = {INK: "ink", SOFT: "soft", LINE: "line", ACCENT: "accent", CARD: "card"}

STYLE: dict[Any, object] = {  # of matplotlib's own keys
    "font.family": "DejaVu Sans",
    "font.size": 9.5,
    "text.color": INK,
    "text.parse_math": False,
    "axes.labelcolor": SOFT,
    "axes.edgecolor": LINE,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "grid.color": LINE,
    "xtick.color": LINE,
    "ytick.color": LINE,
    "xtick.labelcolor": SOFT,
    "ytick.labelcolor": SOFT,
    "svg.fonttype": "none",
    "svg.hashsalt": "adeada_jax",
}
_NO_METADATA = {"Date": None, "Creator": None, "Format": None, "Type": None}


def new_axes(width: float, height: float) -> tuple[Figure, Axes]:
    """A figure of this many inches and its axes, without a background of their own."""
    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.add_subplot()
    figure.patch.set_visible(False)
    axes.patch.set_visible(False)
    return figure, axes


def legend(figure: Figure, axes: Axes, *, columns: int = 6, handle: float = 1) -> None:
    """Names the lines above the axes, where there is more than one.

    Args:
      figure: of the axes.
      axes: with labelled lines.
      columns: of names, at most.
      handle: length of the piece of line before a name, in heights of the type; dashes need more than 1.
    """
    if len(axes.get_legend_handles_labels()[0]) > 1:
        figure.legend(
            loc="outside upper center",
            frameon=False,
            ncols=columns,
            fontsize=8,
            handlelength=handle,
            columnspacing=0.9,
            handletextpad=0.4,
            labelcolor=SOFT,
        )


def hex_color(color: np.ndarray) -> str:
    """`#rrggbb` of `(3,)` uint8."""
    return "#{:02x}{:02x}{:02x}".format(*(int(value) for value in color))


def svg(figure: Figure, name: str, alt: str) -> Markup:
    """SVG for use within HTML: with a text for those who cannot see it, ids of its own, page colours."""
    text = io.StringIO()
    figure.savefig(text, format="svg", metadata=_NO_METADATA)
    content = text.getvalue()
    content = content[content.index("<svg") :]
    content = re.sub(r'( id="|url\(#|href="#)', rf"\g<1>{name}-", content)
    content = re.sub(
        "#0[0-9a-f]{5}",
        lambda match: f"var(--{_VARIABLES[match[0]]})" if match[0] in _VARIABLES else match[0],
        content,
    )
    label = html.escape(alt, quote=True)
    return Markup(content.replace("<svg ", f'<svg role="img" aria-label="{label}" ', 1))
