"""The record of what was bought: the rows of selection.csv and its text."""

import csv
import io
from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import TypedDict


@dataclass(frozen=True)
class Purchase:
    """One row of selection.csv: a region, its price and why it was bought."""

    round: int
    image: str
    region: int
    pixels: int
    class_name: str
    method: str
    score: float


# A row of selection.csv by column.
SelectionRow = TypedDict(
    "SelectionRow",
    {
        "round": int,
        "image": str,
        "region": int,
        "pixels": int,
        "class": str,
        "method": str,
        "score": float,
    },
)

# The CSV's column names are the contract's; `class` is no Python identifier.
_COLUMNS = ("round", "image", "region", "pixels", "class", "method", "score")


def purchases_to_csv(purchases: Iterable[Purchase]) -> str:
    """The text of a selection.csv, rows in the order bought; scores to 9 significant digits."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_COLUMNS)
    for row in purchases:
        values = [getattr(row, field.name) for field in fields(row)]
        writer.writerow([*values[:-1], f"{row.score:.9g}"])
    return text.getvalue()


def purchases_from_csv(text: str) -> list[Purchase]:
    """Reads what `purchases_to_csv` wrote."""
    return [
        Purchase(
            int(row["round"]),
            row["image"],
            int(row["region"]),
            int(row["pixels"]),
            row["class"],
            row["method"],
            float(row["score"]),
        )
        for row in csv.DictReader(io.StringIO(text))
    ]
