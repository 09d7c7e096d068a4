"""Fig. 3: mIoU over labels for all strategies, with the spread over seeds."""

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
import numpy as np
from markupsafe import Markup
from matplotlib.ticker import MaxNLocator

from adeada_jax.report.drawing import ACCENT, SOFT, STYLE, legend, new_axes, svg
from adeada_jax.study.collect import Result
from adeada_jax.study.spread import deviation, mean
from adeada_jax.study.study_tables import OURS

# Of strategies other than ADeADA: Okabe and Ito's colours, which colour-blind people tell apart. Black and
# yellow are left out, as pages are dark or light, and so are the blues, as the accent is one.
_COLORS = ("#8f8f8f", "#e69f00", "#d55e00", "#009e73", "#cc79a7")
# Where colours repeat, dashes and markers differ.
_LINES = ("-", (0, (4, 1.5)), (0, (1, 1.2)), (0, (5, 1.2, 1, 1.2)))
_MARKERS = "svD^<>pPX"
_DASHES = {"target only": "--", "source only": ":", "adaptation only": "-."}


def miou_chart(
    results: Sequence[Result], strategies: Sequence[str], references: Sequence[str]
) -> Markup | None:
    """A line a strategy with a band of one standard deviation; references as level lines.

    Args:
      results: of `collect`.
      strategies: to draw, where they have results.
      references: to draw, where they have results.

    Returns:
      SVG; None without strategies' results.
    """
    curves = {name: curve([r for r in results if r.setting == name]) for name in strategies}
    curves = {name: points for name, points in curves.items() if points}
    levels = {
        name.replace("_", " "): mean(r.rounds[0]["miou"] for r in results if r.setting == name)
        for name in references
    }
    return chart(curves, {name: level for name, level in levels.items() if level is not None}, "miou")


def published_chart(paper: Mapping[str, Any], full: float, name: str) -> Markup | None:
    """The same of the paper's Table 6 or 7, with full supervision's mIoU."""
    curves = {
        strategy: [(share, value, 0.0) for share, value in zip(paper["percent"], values, strict=True)]
        for strategy, values in paper["miou"].items()
    }
    return chart(curves, {"target only": full}, name)


def line_style(number: int) -> dict[str, Any]:
    """Colour, dashes and marker of a strategy by number; no two of 20 look alike, not even in grey."""
    return {
        "color": _COLORS[number % len(_COLORS)],
        "linestyle": _LINES[number // len(_COLORS) % len(_LINES)],
        "marker": _MARKERS[number % len(_MARKERS)],
        "linewidth": 1.4,
    }


def curve(results: Sequence[Result]) -> list[tuple[float, float, float]]:
    """Percent of labels, mean mIoU and its standard deviation (0 of one seed), a round each."""
    rounds = min((len(result.rounds) for result in results), default=0)
    points = []
    for k in range(rounds):
        entries = [result.rounds[k] for result in results]
        mious = [entry["miou"] for entry in entries]
        share = 100 * float(np.mean([entry["labelled_fraction"] for entry in entries]))
        miou = mean(mious)
        points.append((share, np.nan if miou is None else miou, deviation(mious) or 0.0))
    return points


def chart(
    curves: Mapping[str, Sequence[tuple[float, float, float]]], levels: Mapping[str, float], name: str
) -> Markup | None:
    """Draws curves of (percent, mean, deviation) and level lines.

    Args:
      curves: by strategy; ADeADA's in the page's accent, on top.
      levels: mIoU by reference.
      name: the figure's, unique in its page.

    Returns:
      SVG; None without curves.
    """
    if not curves:
        return None
    with matplotlib.rc_context(STYLE):
        figure, axes = new_axes(7.2, 4.4)
        others = [strategy for strategy in curves if strategy != OURS]
        for strategy, points in curves.items():
            shares, means, widths = np.array(points, float).T
            style: dict[str, Any] = {"color": ACCENT, "marker": "o", "linewidth": 2.4, "zorder": 3}
            if strategy != OURS:
                style = line_style(others.index(strategy))
            axes.plot(shares, means, markersize=4.5, label=strategy, **style)
            if widths.any():
                axes.fill_between(
                    shares, means - widths, means + widths, color=style["color"], alpha=0.13, lw=0
                )
        for reference, level in levels.items():
            axes.axhline(level, color=SOFT, linestyle=_DASHES[reference], linewidth=1.2, label=reference)
        axes.set(xlabel="labelled target pixels (%)", ylabel="mIoU (%)")
        axes.xaxis.set_major_locator(MaxNLocator(nbins=6, steps=[1, 2, 5, 10]))
        axes.margins(x=0.03, y=0.08)
        axes.grid(axis="y")
        legend(figure, axes, columns=5, handle=2.6)
        ends = ", ".join(f"{strategy} {points[-1][1]:.1f}%" for strategy, points in curves.items())
        return svg(figure, name, f"mIoU over labelled pixels, with all labels bought: {ends}")
