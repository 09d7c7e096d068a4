"""Results as tables: on the terminal and as Markdown."""

from collections.abc import Sequence
from typing import Any

from rich.table import Table


def round_rows(summary: dict[str, Any]) -> list[tuple[str, str, str, str]]:
    """A row a round: round, percent of target pixels labelled, mIoU, change against the round before."""
    rows, before = [], None
    for entry in summary["rounds"]:
        miou = entry["miou"]
        change = "" if before is None or miou is None else f"{miou - before:+.2f}"
        rows.append((_name(entry), f"{100 * entry['labelled_fraction']:.2f}", _number(miou), change))
        before = miou
    return rows


def round_table(summary: dict[str, Any]) -> Table:
    """What is printed after every round."""
    table = Table(title="mIoU on the target's evaluation split")
    table.add_column("round")
    for column in ("% labelled", "mIoU %", "change"):
        table.add_column(column, justify="right")
    for row in round_rows(summary):
        table.add_row(*row)
    return table


def iou_rows(summary: dict[str, Any]) -> tuple[list[str], list[list[str]]]:
    """IoU by class and round, in the layout of the paper's Table 8.

    Returns:
      The column names, and a row a round.
    """
    classes = list(summary["rounds"][0]["iou"])
    rows = [
        [f"{100 * entry['labelled_fraction']:.2f}%", *(_number(entry["iou"][name]) for name in classes),
         _number(entry["miou"])]
        for entry in summary["rounds"]
    ]  # fmt: skip
    return ["% labelled", *classes, "mIoU"], rows


def markdown(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table, for READMEs and documents."""
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def _name(entry: dict[str, Any]) -> str:
    return "warm-up" if entry["round"] == 0 and entry["labelled_fraction"] == 0 else str(entry["round"])


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"
