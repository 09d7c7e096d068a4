"""What a run's densities rank by and how far its domains lie apart, as tables."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from adeada_jax.report.sections import Cell, Matrix
from adeada_jax.study.merging import NONE, Reading, classes_in, columns
from adeada_jax.study.sheets import Sheet, cell, heated

# What pi is held against, by key of JSON: a column's heading.
COMPANY = {
    "wrong": "wrong prediction",
    "pixels": "region's size",
    "feature_norm": "norm of z",
    "outside_source": "outside the source's span",
    "source_mean": "distance to the source's mean",
}


def density_sheets(content: Mapping[str, Any]) -> list[Sheet]:
    """All of a setting's tables; none where its rounds have no tables of the source.

    Args:
      content: of `merged`.
    """
    rounds = content["rounds"].values()
    domains = any(entry["domains"] for entry in rounds)
    sheets: list[Sheet | None] = [separability_sheet(content), dead_sheet(content)] if domains else []
    for kind in dict.fromkeys(kind for entry in rounds for kind in entry["densities"]):
        sheets.append(company_sheet(content, kind))
        sheets += [correlation_sheet(content, kind, key) for key in ("wrong", "outside_source")]
        sheets += [spread_sheet(content, kind), inversion_sheet(content, kind)]
    return [sheet for sheet in sheets if sheet is not None]


def separability_sheet(content: Mapping[str, Any]) -> Sheet:
    """How well source and target are told apart, by class and round."""
    text = (
        "Area under the ROC curve of a cross-validated logistic regression that tells source from target by "
        "z: 0.5 where they are alike, 1 where every region gives its domain away."
    )
    return _by_class(
        content,
        "Source and target told apart",
        text,
        lambda entry: entry["domains"],
        lambda one: one["separability"],
        low=0.5,
    )


def dead_sheet(content: Mapping[str, Any]) -> Sheet:
    """Channels that say nothing, by class and round."""
    text = (
        "Channels of z with a variance below 1e-6 among the regions of a class. There a density with "
        "reg_covar 1e-6 sees nothing but the regularisation."
    )
    sides = ("source", "target")
    names = classes_in(content, lambda entry: entry["domains"])

    def shown(entry: Mapping[str, Any], name: str) -> Cell:
        if name not in entry["domains"]:
            return Cell("-")
        dead = entry["domains"][name]["dead_channels"]
        return Cell(" / ".join(cell(dead[side], "{:.0f}").text for side in sides))

    rows = tuple((name, tuple(shown(entry, name) for entry in content["rounds"].values())) for name in names)
    return Sheet("Dead channels, source / target", text, "class", Matrix(columns(content), rows))


def company_sheet(content: Mapping[str, Any], kind: str) -> Sheet:
    """Medians over classes of all rank correlations, rounds in columns; of one density."""
    rounds = [list(entry["densities"].get(kind, {}).values()) for entry in content["rounds"].values()]
    readings: dict[str, Callable[[Mapping[str, Any]], Mapping[str, Any]]] = {
        f"pi, {heading}": partial(_with, key) for key, heading in COMPANY.items()
    }
    readings["log p_T, size of its component"] = _inversion
    rows = tuple(
        (name, tuple(Cell(_signed(_median([read(one)["mean"] for one in classes]))) for classes in rounds))
        for name, read in readings.items()
    )
    text = (
        f"Density '{kind}': Spearman's rank correlations of pi (Eq. 2) within a class, the median over "
        "classes; and that of log p_T with the number of regions in the region's own component, where the "
        "density is a mixture. A density that finds what the source lacks goes along with wrong predictions; "
        "one whose p_T falls as a component grows is upside down."
    )
    return Sheet(f"What pi ranks by: {kind}", text, "rank correlation of", Matrix(columns(content), rows))


def correlation_sheet(content: Mapping[str, Any], kind: str, key: str) -> Sheet:
    """One rank correlation of pi by class and round."""
    text = f"Density '{kind}': Spearman's rank correlation within the class, over its target regions."
    return _by_class(
        content,
        f"pi with {COMPANY[key]}: {kind}",
        text,
        lambda entry: entry["densities"].get(kind, {}),
        partial(_with, key),
        form="{:+.2f}",
    )


def spread_sheet(content: Mapping[str, Any], kind: str) -> Sheet:
    """How far log p_T spreads, and how much of that lies between components, by class and round."""
    text = (
        f"Density '{kind}': standard deviation of log p_T over a class's target regions, nats. In brackets, "
        "of mixtures of several components: percent of its variance that lies between components."
    )
    names = classes_in(content, lambda entry: entry["densities"].get(kind, {}))

    def shown(entry: Mapping[str, Any], name: str) -> Cell:
        one = entry["densities"].get(kind, {}).get(name)
        if one is None:
            return Cell("-")
        between = one["log_target_between_components"]["mean"]
        share = "" if between is None else f" ({100 * between:.0f})"
        return Cell(cell(one["log_target_spread"], "{:.0f}").text + share)

    rows = tuple((name, tuple(shown(entry, name) for entry in content["rounds"].values())) for name in names)
    return Sheet(f"Spread of log p_T: {kind}", text, "class", Matrix(columns(content), rows))


def inversion_sheet(content: Mapping[str, Any], kind: str) -> Sheet | None:
    """Log p_T against the size of the own component, by class and round; None of other than mixtures."""
    text = f"Density '{kind}': Spearman's rank correlation within the class; below 0 it is upside down."
    sheet = _by_class(
        content,
        f"log p_T with the size of the own component: {kind}",
        text,
        lambda entry: entry["densities"].get(kind, {}),
        _inversion,
        form="{:+.2f}",
    )
    known = any(cell.text != "-" for _, cells in sheet.matrix.rows for cell in cells)
    return sheet if known else None


def _by_class(
    content: Mapping[str, Any],
    title: str,
    text: str,
    classes: Reading,
    reading: Reading,
    *,
    form: str = "{:.2f}",
    low: float = 0.0,
) -> Sheet:
    """One number a class and round, shaded from `low` to 1."""
    rounds = content["rounds"].values()
    names = classes_in(content, classes)

    def row(name: str) -> tuple[Cell, ...]:
        found = [classes(entry).get(name) for entry in rounds]
        return heated([NONE if one is None else reading(one) for one in found], form, low=low, high=1.0)

    rows = tuple((name, row(name)) for name in names)
    return Sheet(title, text, "class", Matrix(columns(content), rows))


def _with(key: str, one: Mapping[str, Any]) -> Mapping[str, Any]:
    return one["pi_with"][key]


def _inversion(one: Mapping[str, Any]) -> Mapping[str, Any]:
    return one["log_target_with_component_size"]


def _median(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.median(known)) if known else None


def _signed(value: float | None) -> str:
    return "-" if value is None else f"{value:+.2f}"
