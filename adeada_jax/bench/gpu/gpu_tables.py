"""All parts' results as one page of tables."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from adeada_jax.evaluation.tables import markdown
from adeada_jax.types import Json

# What a share of the device's rates is taken of: by stage of EM the row of the products' rates.
_PRODUCTS = {
    "tails": "float32 highest",
    "heads": "float32 highest",
    "centres": "float32 highest",
    "moments": "float64",
    "factors": "float64",
}
# Stages that are sums, or whose bytes go between host and device.
_NO_FLOOR = ("all", "device to host")


def rates_of(parts: Mapping[str, Mapping[str, Any]]) -> dict[str, float]:
    """FLOP/s by kind of product, and bytes a second of a copy as "copy", where they were measured."""
    found = {}
    for row in parts.get("rates", {}).get("rows", []):
        if row["kind"] == "product" and "flops_a_second" in row:
            found[row["name"]] = row["flops_a_second"]
        elif row["kind"] == "copy" and "bytes_a_second" in row:
            found["copy"] = row["bytes_a_second"]
    return found


def with_shares(row: Mapping[str, Any], rates: Mapping[str, float]) -> dict[str, Json]:
    """A row with its share of what the device was measured to do.

    Of a step it is FLOP/s over the product's of its precision; of a stage of EM the floor, the longer of its
    FLOPs and bytes at the measured rates, over its time.
    """
    row = dict(row)
    seconds = row.get("dispatch_seconds", 0.0) + row.get("wait_seconds", 0.0)
    kind = row.get("kind_of_products", "")
    if row.get("flops_a_second") and kind in rates:
        row["share_of_product_rate"] = row["flops_a_second"] / rates[kind]
    elif (
        row.get("bytes")
        and seconds
        and row["name"] != "all"
        and row["kind"] != "transfer"
        and "copy" in rates
    ):
        product = rates.get(_PRODUCTS.get(row["name"], ""), math.inf)
        row["floor_seconds"] = max(row.get("flops", 0.0) / product, row["bytes"] / rates["copy"])
        row["share_of_floor"] = row["floor_seconds"] / seconds
    return row


def page(parts: Mapping[str, Mapping[str, Any]], ended: Iterable[Mapping[str, Any]]) -> str:
    """Markdown: how the parts ended, their facts, and a table for each kind of row."""
    rates = rates_of(parts)
    text = ["# Measured on an accelerator\n\n", _table("part", list(ended))]
    for part, content in parts.items():
        text.append(f"\n## {part}\n\n")
        facts = [f"{key}: {_cell(value)}" for key, value in content.get("facts", {}).items()]
        text.append("; ".join(facts) + "\n")
        kinds: dict[str, list[dict[str, Any]]] = {}
        for row in content.get("rows", []):
            kinds.setdefault(row["kind"], []).append(with_shares(row, rates))
            _sum_floors(kinds[row["kind"]])
        for kind, rows in kinds.items():
            text.append(f"\n{_table(kind, rows)}")
    return "".join(text)


def _sum_floors(rows: list[dict[str, Any]]) -> None:
    """Gives the sum of a phase's stages, where it is the last row, the sum of their floors."""
    if rows[-1]["name"] == "all" and any("floor_seconds" in row for row in rows):
        floor = sum(row.get("floor_seconds", 0.0) for row in rows)
        seconds = rows[-1]["dispatch_seconds"] + rows[-1]["wait_seconds"]
        rows[-1] |= {"floor_seconds": floor, "share_of_floor": floor / seconds}


def _table(kind: str, rows: Sequence[Mapping[str, Any]]) -> str:
    """A table of all columns that any of the rows has; lists stay in the JSON."""
    columns = dict.fromkeys(
        key
        for row in rows
        for key, value in row.items()
        if key not in ("kind", "name") and not isinstance(value, list | dict)
    )
    cells = [[str(row["name"]), *(_cell(row.get(column)) for column in columns)] for row in rows]
    return markdown([kind, *(column.replace("_", " ") for column in columns)], cells)


def _cell(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool) or not isinstance(value, int | float):
        return " ".join(str(value).split())
    return f"{value:.4g}" if isinstance(value, float) else f"{value:,}"
