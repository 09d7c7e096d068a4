"""The quality of purchases as tables: of one run, or of a setting's runs with mean and spread over seeds."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from adeada_jax.report.sections import Cell, Matrix
from adeada_jax.study.density_sheets import density_sheets
from adeada_jax.study.merging import NONE, classes_in, columns
from adeada_jax.study.quality import MEASURES
from adeada_jax.study.sheets import Sheet, cell, heated

_ALL = "all that could be bought"
_BASE = "in brackets what it is of all regions that could have been bought"
_SPREAD = "Mean ± standard deviation over seeds."


def run_sheets(content: Mapping[str, Any], strategy: str) -> list[Sheet]:
    """All tables of one setting: what it bought, what other rankings would have bought, its densities.

    Args:
      content: of `merged`.
      strategy: what bought.
    """
    rounds = content["rounds"]
    sheets: list[Sheet | None] = [rounds_sheet(content, strategy)]
    if any(entry["rankings"] for entry in rounds.values()):
        sheets += [rankings_sheet(content, strategy, key) for key in ("wrong_regions", "new_pixels")]
    sheets.append(class_sheet(content, strategy))
    return [sheet for sheet in [*sheets, *density_sheets(content)] if sheet is not None]


def rounds_sheet(content: Mapping[str, Any], strategy: str) -> Sheet:
    """Measures in rows, rounds in columns, with what they are of all that could have been bought."""
    rounds = content["rounds"].values()
    rows = [("regions", tuple(cell(entry["bought"]["regions"], "{:.0f}") for entry in rounds))]
    for key in _measured(content):
        cells = tuple(_pair(entry["bought"][key], entry["all"][key], key) for entry in rounds)
        heading, unit = MEASURES[key]
        rows.append((heading if unit == "%" else f"{heading} {unit}", cells))
    text = f"What {strategy} bought, before its labels were known; {_BASE}. {definitions(content)}"
    return Sheet(f"Quality of purchases: {strategy}", text, "in %", Matrix(columns(content), tuple(rows)))


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
        (
            name,
            tuple(
                _pair(content["rounds"][n]["bought"][key], content["rounds"][n]["all"][key], key)
                if n in content["rounds"]
                else Cell("-")
                for n in numbers
            ),
        )
        for name, content in contents.items()
    )
    text = f"Of what each bought in a round, before its labels were known; {_BASE}. {_SPREAD}"
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
        **{name: [entry["rankings"].get(name, {}).get(key, NONE) for entry in rounds] for name in names},
    }
    high = max((one["mean"] or 0.0 for line in lines.values() for one in line), default=0.0)
    rows = tuple(
        (
            name.rpartition(":")[2] if name in names else name,
            heated(line, _form(key), low=0.0, high=high or 1.0),
        )
        for name, line in lines.items()
    )
    heading, unit = MEASURES[key]
    text = (
        f"What each ranking would have bought from the tables of {strategy}'s rounds with the same budget, "
        "without a training. 'density' is ADeADA's density part with the whole budget, 'density_unbalanced' "
        "that with equal shares for all classes."
    )
    return Sheet(f"Other rankings: {heading}, {unit}", text, "ranking", Matrix(columns(content), rows))


def class_sheet(content: Mapping[str, Any], strategy: str) -> Sheet:
    """Wrong regions by predicted class and round."""
    rounds = content["rounds"].values()
    names = classes_in(content, lambda entry: entry["by_class"]["all"])

    def row(name: str) -> tuple[Cell, ...]:
        return tuple(
            _pair(
                entry["by_class"]["bought"].get(name, {}).get("wrong_regions", NONE),
                entry["by_class"]["all"].get(name, {}).get("wrong_regions", NONE),
                "wrong_regions",
            )
            for entry in rounds
        )

    text = f"Of the regions that {strategy} bought, by the class predicted for them; {_BASE} of the class."
    rows = tuple((name, row(name)) for name in names)
    return Sheet("Wrong regions by predicted class, %", text, "class", Matrix(columns(content), rows))


def definitions(content: Mapping[str, Any]) -> str:
    """What the measures are, in short."""
    rare, new = content["rare"], content["new"]
    things = {
        "kinds": "New: things of kinds that the source has none of.",
        "classes": f"New: classes that the source has none of ({', '.join(new['classes'])}).",
        None: "",
    }
    return " ".join(
        [
            "Wrong regions: most of their pixels are of another class than the one predicted for them.",
            "Wrong pixels: of another class than the one predicted for their region.",
            f"Rare: classes below {rare['below_percent']:g}% of the target's pixels"
            f" ({', '.join(rare['classes']) or 'none'}).",
            *filter(None, [things[new["things"]]]),
            "Entropy and impurity: means over regions.",
        ]
    )


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
