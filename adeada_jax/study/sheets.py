"""A table of a study as the page and Markdown show it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from adeada_jax.evaluation.tables import markdown
from adeada_jax.report.sections import Cell, Matrix


@dataclass(frozen=True)
class Sheet:
    """A table with what one must know to read it.

    Attributes:
      title: what it is, with the paper's table where there is one.
      text: a sentence on how it was measured.
      head: heading of the first column.
      matrix: the rest.
    """

    title: str
    text: str
    head: str
    matrix: Matrix

    def markdown(self) -> str:
        """The sheet as a part of a document."""
        rows = [(name, *(cell.text for cell in cells)) for name, cells in self.matrix.rows]
        return f"### {self.title}\n\n{self.text}\n\n{markdown((self.head, *self.matrix.columns), rows)}\n"


def cell(values: Mapping[str, float | None], form: str = "{:.2f}", heat: float = 0.0) -> Cell:
    """`mean ± standard deviation` of a `statistics.summary`."""
    if values["mean"] is None:
        return Cell("-")
    text = form.format(values["mean"])
    if values["deviation"] is not None:
        text += f" ± {form.format(values['deviation'])}"
    return Cell(text, round(float(np.clip(heat, 0.0, 1.0)), 3))


def heated(
    summaries: Sequence[Mapping[str, float | None]],
    form: str = "{:.2f}",
    *,
    low: float | None = None,
    high: float | None = None,
) -> tuple[Cell, ...]:
    """Cells shaded by their means, from `low` (the least if None) to `high` (the greatest if None)."""
    means = [values["mean"] for values in summaries if values["mean"] is not None]
    bottom = min(means, default=0.0) if low is None else low
    top = max(means, default=0.0) if high is None else high
    width = top - bottom or 1.0
    return tuple(cell(values, form, ((values["mean"] or 0.0) - bottom) / width) for values in summaries)


def plain(values: Sequence[float | None]) -> tuple[Cell, ...]:
    """Published numbers, as printed."""
    return tuple(Cell("-" if value is None else f"{value:.2f}") for value in values)
