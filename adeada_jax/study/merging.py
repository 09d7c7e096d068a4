"""Analyses of several runs as one, and what tables read of it."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from adeada_jax.study.spread import summary
from adeada_jax.types import Json

# In place of a summary of what no run has.
NONE: Mapping[str, float | None] = {"mean": None}

# From a part of an analysis to a part of that.
Reading = Callable[[Mapping[str, Any]], Mapping[str, Any]]


def merged(contents: Sequence[Mapping[str, Any]]) -> dict[str, Json]:
    """Analyses of one setting's runs as one: by round, with a `spread.summary` in place of each number.

    Args:
      contents: of `run_analysis.analyse_run`, a run each.
    """
    numbers = sorted({entry["round"] for content in contents for entry in content["rounds"]})
    kept = ("all", "bought", "rankings", "domains", "densities")
    rounds = {
        str(number): _merged(
            [
                {
                    **{key: entry[key] for key in kept},
                    "by_class": {key: entry["by_class"][key] for key in ("all", "bought")},
                }
                for content in contents
                for entry in content["rounds"]
                if entry["round"] == number
            ]
        )
        for number in numbers
    }
    return {key: contents[0][key] for key in ("class_names", "rare", "new")} | {"rounds": rounds}


def _merged(parts: Sequence[Any]) -> Any:
    dictionaries = [part for part in parts if isinstance(part, Mapping)]
    if dictionaries:
        keys = dict.fromkeys(key for part in dictionaries for key in part)
        return {key: _merged([part[key] for part in dictionaries if key in part]) for key in keys}
    return summary(parts)


def classes_in(content: Mapping[str, Any], classes: Reading) -> list[str]:
    """The classes of which any round says something, in the run's order."""
    found = {name for entry in content["rounds"].values() for name in classes(entry)}
    return [name for name in content["class_names"] if name in found]


def columns(content: Mapping[str, Any]) -> tuple[str, ...]:
    """A heading a round."""
    return tuple(f"round {number}" for number in content["rounds"])
