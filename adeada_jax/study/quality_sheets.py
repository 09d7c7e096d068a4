"""The quality of purchases as tables: of one run, or of a setting's runs with mean and spread over seeds."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from adeada_jax.report.sections import Cell, Matrix
from adeada_jax.study.quality import MEASURES
from adeada_jax.study.sheets import Sheet, cell, heated
from adeada_jax.study.spread import summary

# What pi is held against, by key of JSON: a column's heading.
COMPANY = {
    "wrong": "wrong prediction",
    "pixels": "region's size",
    "feature_norm": "norm of z",
    "outside_source": "beyond the source's directions",
    "source_mean": "distance to the source's mean",
}
_ALL = "all that could be bought"
_BASE = "in brackets what it is of all regions that could have been bought"
_NONE = {"mean": None}

# From a part of an analysis to a part of that.
Reading = Callable[[Mapping[str, Any]], Mapping[str, Any]]


def merged(contents: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Analyses of one setting's runs as one: by round, with a `spread.summary` in place of each number.

    Args:
      contents: of `run_analysis.analyse_run`, a run each.
    """
    numbers = sorted({entry["round"] for content in contents for entry in content["rounds"]})
    kept = ("all", "bought", "rankings", "domains", "densities")
    rounds = {
        str(number): _merged([
            {**{key: entry[key] for key in kept},
             "by_class": {key: entry["by_class"][key] for key in ("all", "bought")}}
            for content in contents for entry in content["rounds"] if entry["round"] == number
        ])
        for number in numbers
    }  # fmt: skip
    return {key: contents[0][key] for key in ("rare", "new")} | {"rounds": rounds}


def _merged(parts: Sequence[Any]) -> Any:
    dictionaries = [part for part in parts if isinstance(part, Mapping)]
    if dictionaries:
        keys = dict.fromkeys(key for part in dictionaries for key in part)
        return {key: _merged([part[key] for part in dictionaries if key in part]) for key in keys}
    return summary(parts)


def run_sheets(content: Mapping[str, Any], strategy: str) -> list[Sheet]:
    """All tables of one setting: what was bought, what others would have bought, its densities.

    Args:
      content: of `merged`.
      strategy: what bought.
    """
    rounds = content["rounds"]
    sheets = [rounds_sheet(content, strategy)]
    if any(entry["rankings"] for entry in rounds.values()):
        sheets += [rankings_sheet(content, strategy, key) for key in ("wrong_regions", "new_pixels")]
    sheets.append(class_sheet(content, strategy))
    if any(entry["domains"] for entry in rounds.values()):
        sheets += [separability_sheet(content), dead_sheet(content)]
    for kind in dict.fromkeys(kind for entry in rounds.values() for kind in entry["densities"]):
        sheets.append(company_sheet(content, kind))
        sheets += [correlation_sheet(content, kind, key) for key in ("wrong", "outside_source")]
        sheets.append(inversion_sheet(content, kind))
    return [sheet for sheet in sheets if sheet is not None]


def rounds_sheet(content: Mapping[str, Any], strategy: str) -> Sheet:
    """Measures in rows, rounds in columns, with what they are of all that could have been bought."""
    rounds = content["rounds"].values()
    rows = [("regions", tuple(cell(entry["bought"]["regions"], "{:.0f}") for entry in rounds))]
    for key in _measured(content):
        cells = tuple(_pair(entry["bought"][key], entry["all"][key], key) for entry in rounds)
        rows.append((" ".join(MEASURES[key]), cells))
    text = f"What {strategy} bought, before its labels were known; {_BASE}. {definitions(content)}"
    return Sheet(
        "Quality of purchases", text, f"bought by {strategy}", Matrix(_columns(content), tuple(rows))
    )


def study_sheets(contents: Mapping[str, Mapping[str, Any]], ours: str) -> list[Sheet]:
    """All tables of a study: a measure of every setting each, then rankings and densities of one setting.

    Args:
      contents: of `merged`, by setting.
      ours: the setting whose runs were asked what other rankings would have bought, if it is among them.
    """
    if not contents:
        return []
    keys = [key for key in MEASURES if any(key in _measured(content) for content in contents.values())]
    sheets = [settings_sheet(contents, key) for key in keys]
    sheets[0] = replace(sheets[0], text=f"{sheets[0].text} {definitions(next(iter(contents.values())))}")
    if ours in contents:
        sheets += run_sheets(contents[ours], ours)[1:]
    return sheets


def settings_sheet(contents: Mapping[str, Mapping[str, Any]], key: str) -> Sheet:
    """One measure, settings in rows and rounds in columns; for the arguments see `study_sheets`."""
    numbers = dict.fromkeys(number for content in contents.values() for number in content["rounds"])
    rows = tuple(
        (name, tuple(
            _pair(*(content["rounds"][n][part][key] for part in ("bought", "all")), key)
            if n in content["rounds"] else Cell("-") for n in numbers
        ))
        for name, content in contents.items()
    )  # fmt: skip
    text = f"Of what each bought in a round, before its labels were known; {_BASE}. Means over seeds."
    heading, unit = MEASURES[key]
    title = f"Quality of purchases: {heading}, {unit}"
    return Sheet(title, text, "strategy", Matrix(tuple(f"round {n}" for n in numbers), rows))


def rankings_sheet(content: Mapping[str, Any], strategy: str, key: str) -> Sheet | None:
    """One measure of what other rankings would have bought, rounds in columns; None if it is not known."""
    rounds = content["rounds"].values()
    if key not in _measured(content):
        return None
    names = dict.fromkeys(name for entry in rounds for name in entry["rankings"])
    lines: dict[str, list[Mapping[str, Any]]] = {
        _ALL: [entry["all"][key] for entry in rounds],
        f"bought: {strategy}": [entry["bought"][key] for entry in rounds],
        **{name: [entry["rankings"].get(name, {}).get(key, _NONE) for entry in rounds] for name in names},
    }
    high = max((one["mean"] or 0.0 for line in lines.values() for one in line), default=0.0)
    rows = tuple((name, heated(line, _form(key), low=0.0, high=high or 1.0)) for name, line in lines.items())
    heading, unit = MEASURES[key]
    text = (
        f"What each ranking would have bought from the tables of {strategy}'s rounds with the same budget, "
        "trained by nobody. 'density' is ADeADA's density part with the whole budget."
    )
    return Sheet(f"Other rankings: {heading}, {unit}", text, "ranking", Matrix(_columns(content), rows))


def class_sheet(content: Mapping[str, Any], strategy: str) -> Sheet:
    """Wrong regions by predicted class and round."""
    rounds = content["rounds"].values()
    names = dict.fromkeys(name for entry in rounds for name in entry["by_class"]["all"])

    def row(name: str) -> tuple[Cell, ...]:
        return tuple(
            _pair(*(entry["by_class"][part].get(name, {}).get("wrong_regions", _NONE)
                    for part in ("bought", "all")), "wrong_regions")
            for entry in rounds
        )  # fmt: skip

    text = f"Percent of the regions predicted as a class that {strategy} bought; {_BASE} of the class."
    rows = tuple((name, row(name)) for name in names)
    return Sheet("Wrong regions by predicted class, %", text, "class", Matrix(_columns(content), rows))


def separability_sheet(content: Mapping[str, Any]) -> Sheet:
    """How well source and target are told apart, by class and round."""
    text = (
        "Area under the ROC curve of a cross-validated logistic regression that tells source from target by "
        "z: 0.5 where they are alike, 1 where every region gives its domain away."
    )
    return _by_class(content, "Source and target told apart", text, lambda entry: entry["domains"],
                     lambda one: one["separability"], low=0.5)  # fmt: skip


def dead_sheet(content: Mapping[str, Any]) -> Sheet:
    """Channels that say nothing, by class and round."""
    text = (
        "Channels of z with a variance below 1e-6 among the regions of a class. There a density with "
        "reg_covar 1e-6 sees nothing but the regularisation."
    )
    sides = ("source", "target")
    names = dict.fromkeys(name for entry in content["rounds"].values() for name in entry["domains"])

    def shown(entry: Mapping[str, Any], name: str) -> Cell:
        if name not in entry["domains"]:
            return Cell("-")
        dead = entry["domains"][name]["dead_channels"]
        return Cell(" / ".join(cell(dead[side], "{:.0f}").text for side in sides))

    rows = tuple((name, tuple(shown(entry, name) for entry in content["rounds"].values())) for name in names)
    return Sheet("Dead channels, source / target", text, "class", Matrix(_columns(content), rows))


def company_sheet(content: Mapping[str, Any], kind: str) -> Sheet:
    """Medians over classes of all rank correlations, rounds in columns; of one density."""
    rounds = [list(entry["densities"].get(kind, {}).values()) for entry in content["rounds"].values()]
    readings = {f"pi, {heading}": partial(_with, key) for key, heading in COMPANY.items()}
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
    return Sheet(f"What pi ranks by: {kind}", text, "rank correlation of", Matrix(_columns(content), rows))


def correlation_sheet(content: Mapping[str, Any], kind: str, key: str) -> Sheet:
    """One rank correlation of pi by class and round."""
    text = f"Density '{kind}': Spearman's rank correlation within the class, over its target regions."
    return _by_class(
        content, f"pi with {COMPANY[key]}: {kind}", text, lambda entry: entry["densities"].get(kind, {}),
        partial(_with, key), form="{:+.2f}",
    )  # fmt: skip


def inversion_sheet(content: Mapping[str, Any], kind: str) -> Sheet | None:
    """log p_T against the size of the own component, by class and round; None of other than mixtures."""
    text = f"Density '{kind}': Spearman's rank correlation within the class; below 0 it is upside down."
    sheet = _by_class(
        content, f"log p_T with the size of the own component: {kind}", text,
        lambda entry: entry["densities"].get(kind, {}), _inversion, form="{:+.2f}",
    )  # fmt: skip
    known = any(cell.text != "-" for _, cells in sheet.matrix.rows for cell in cells)
    return sheet if known else None


def definitions(content: Mapping[str, Any]) -> str:
    """What the measures are, in short."""
    rare, new = content["rare"], content["new"]
    things = {
        "kinds": "New: things of kinds that the source has none of.",
        "classes": f"New: classes that the source has none of ({', '.join(new['classes'])}).",
        None: "",
    }
    return " ".join([
        "Wrong regions: most of their pixels are of another class than the one predicted for them.",
        "Wrong pixels: of another class than the one predicted for their region.",
        f"Rare: classes below {rare['below_percent']:g}% of the target's pixels"
        f" ({', '.join(rare['classes']) or 'none'}).",
        *filter(None, [things[new["things"]]]),
        "Entropy and impurity: means over regions.",
    ])  # fmt: skip


def _by_class(
    content: Mapping[str, Any], title: str, text: str, classes: Reading, reading: Reading, *,
    form: str = "{:.2f}", low: float = 0.0,
) -> Sheet:  # fmt: skip
    """One number a class and round, shaded from `low` to 1."""
    rounds = content["rounds"].values()
    names = dict.fromkeys(name for entry in rounds for name in classes(entry))

    def row(name: str) -> tuple[Cell, ...]:
        found = [classes(entry).get(name) for entry in rounds]
        return heated([_NONE if one is None else reading(one) for one in found], form, low=low, high=1.0)

    rows = tuple((name, row(name)) for name in names)
    return Sheet(title, text, "class", Matrix(_columns(content), rows))


def _columns(content: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(f"round {number}" for number in content["rounds"])


def _with(key: str, one: Mapping[str, Any]) -> Mapping[str, Any]:
    return one["pi_with"][key]


def _inversion(one: Mapping[str, Any]) -> Mapping[str, Any]:
    return one["log_target_with_component_size"]


def _measured(content: Mapping[str, Any]) -> list[str]:
    """The measures of which something is known."""
    rounds = content["rounds"].values()
    return [key for key in MEASURES if any(entry["all"][key]["mean"] is not None for entry in rounds)]


def _form(key: str) -> str:
    return "{:.1f}" if MEASURES[key][1] == "%" else "{:.2f}"


def _pair(bought: Mapping[str, Any], base: Mapping[str, Any], key: str) -> Cell:
    """`bought (base)`."""
    if base["mean"] is None:
        return Cell("-")
    share = (bought["mean"] or 0.0) / 100 if MEASURES[key][1] == "%" else 0.0
    text = cell(bought, _form(key)).text
    return Cell(f"{text} ({_form(key).format(base['mean'])})", round(float(np.clip(share, 0.0, 1.0)), 3))


def _median(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.median(known)) if known else None


def _signed(value: float | None) -> str:
    return "-" if value is None else f"{value:+.2f}"
