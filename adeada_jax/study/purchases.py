"""The analyses of what was bought, as tables."""

from collections.abc import Mapping, Sequence
from typing import Any

from scipy.stats import spearmanr

from adeada_jax.report.sections import Cell, Matrix, short
from adeada_jax.study.analyses import ALL_CLASSES
from adeada_jax.study.sheets import Sheet, cell, heated
from adeada_jax.study.study_tables import OURS


def purchase_sheets(analyses: Mapping[str, Any], strategies: Sequence[str]) -> list[Sheet]:
    """All tables of what was bought; none if nothing was.

    Args:
      analyses: of `analyses.analyse`.
      strategies: those to show, in order.
    """
    if not analyses:
        return []
    shown = [name for name in strategies if name in analyses["labels"]]
    sheets = [
        recall_sheet(analyses["mispredicted"], shown, "first_round", "the first round"),
        recall_sheet(analyses["mispredicted"], shown, "all_rounds", "all rounds"),
        region_sheet(analyses["regions"], shown),
        label_sheet(analyses["labels"], shown),
        proportion_sheet(analyses["label_shift"], shown),
    ]
    if len(shown) > 1:
        sheets.append(overlap_sheet(analyses["overlap"]["first_round"], shown, "the first round"))
        sheets.append(overlap_sheet(analyses["overlap"]["all_rounds"], shown, "all rounds"))
    if OURS in analyses["kl"]:
        sheets.append(divergence_sheet(analyses["kl"][OURS]))
    return sheets


def recall_sheet(content: Mapping[str, Any], strategies: Sequence[str], when: str, words: str) -> Sheet:
    """Mispredicted regions by class, and which share of them each strategy bought."""
    names = [name for name in content if content[name]["regions"] and name != ALL_CLASSES]
    recalled = {n: [content[n]["recalled"][s][when] for s in strategies] for n in [*names, ALL_CLASSES]}
    top = max((s["mean"] or 0.0 for n in names for s in recalled[n]), default=0.0)
    rows = tuple(
        (
            name,
            (
                Cell(f"{content[name]['regions']:,}"),
                cell(content[name]["predicted_as_another"], "{:.0f}"),
                *heated(recalled[name], "{:.0f}", low=0.0, high=top or 1.0),
            ),
        )
        for name in recalled
    )
    text = (
        "Regions of which most pixels are of a class; how many percent of them the warm-up predicted as "
        f"another class; and which share of those, in percent, each strategy bought in {words}. Mean ± "
        "standard deviation over seeds."
    )
    columns = ("regions", "predicted as another", *strategies)
    return Sheet(f"Mispredicted regions recalled in {words}", text, "class", Matrix(columns, rows))


def region_sheet(content: Mapping[str, Any], strategies: Sequence[str]) -> Sheet:
    """Classes a bought region (Sec. 4.3)."""
    rows = tuple(
        (
            "all regions" if name == "pool" else name,
            (
                cell(content[name]["count"], "{:.0f}"),
                cell(content[name]["pixels"], "{:.0f}"),
                cell(content[name]["classes"]),
                cell(content[name]["fewer_than_two"], "{:.1f}"),
            ),
        )
        for name in ("pool", *strategies)
    )
    text = "Regions bought in all rounds, their size, and how many classes their ground truth holds."
    columns = ("regions", "pixels a region", "classes a region", "% with fewer than two")
    return Sheet("Classes a region", text, "strategy", Matrix(columns, rows))


def label_sheet(content: Mapping[str, Any], strategies: Sequence[str]) -> Sheet:
    """Labels by class."""
    names = [name for name in content["pool"] if content["pool"][name]["mean"]]
    shown = ("pool", *strategies)
    rows = tuple((name, heated([content[s][name] for s in shown], "{:.1f}", low=0.0)) for name in names)
    text = "Percent of the labels bought in all rounds that are of a class; shaded within a row."
    return Sheet("Labels bought by class", text, "class", Matrix(("all labels", *strategies), rows))


def proportion_sheet(content: Mapping[str, Any], strategies: Sequence[str]) -> Sheet:
    """How far the labels are from the proportions of all, and whether mIoU goes with that."""
    rows = []
    for k in content[strategies[0]] if strategies else ():
        entries = [content[name][k] for name in strategies]
        moved, mious = ([entry[key]["mean"] for entry in entries] for key in ("moved", "miou"))
        ranked = len(set(moved)) > 2 and len(set(mious)) > 2
        related = f"{spearmanr(moved, mious).statistic:+.2f}" if ranked else "-"
        shown = heated([entry["moved"] for entry in entries], "{:.1f}", low=0.0)
        rows.append((f"round {k}", (Cell(related), *shown)))
    text = (
        "How many percent of the labels bought until a round would have to be of another class to have the "
        "proportions of all labels; and Spearman's rank correlation of the strategies' means with their mean "
        "mIoU."
    )
    columns = ("with mIoU", *strategies)
    return Sheet("Labels out of proportion", text, "until", Matrix(columns, tuple(rows)))


def overlap_sheet(content: Mapping[str, Any], strategies: Sequence[str], words: str) -> Sheet:
    """Jaccard indices of all pairs."""
    pairs = [content[one][other] for one in strategies for other in strategies if one != other]
    top = max((values["mean"] or 0.0 for values in pairs), default=0.0) or 1.0

    def row(one: str) -> tuple[Cell, ...]:
        cells = heated([content[one][other] for other in strategies], "{:.0f}", low=0.0, high=top)
        return tuple(
            Cell("") if other == one else shown for other, shown in zip(strategies, cells, strict=True)
        )

    rows = tuple((one, row(one)) for one in strategies)
    text = f"Pixels that both bought in {words}, as percent of those that either bought (Jaccard index)."
    return Sheet(f"Overlap of what is bought in {words}", text, "strategy", Matrix(tuple(strategies), rows))


def divergence_sheet(content: Mapping[str, Any]) -> Sheet:
    """KL by class and round."""
    names = [name for name in content["1"] if any(content[k][name]["mean"] is not None for k in content)]

    def text_of(values: Mapping[str, Any]) -> Cell:
        if values["mean"] is None:
            return Cell("-")
        deviation = "" if values["deviation"] is None else f" ± {short(values['deviation'])}"
        return Cell(short(values["mean"]) + deviation)

    rows = tuple((name, tuple(text_of(content[k][name]) for k in content)) for name in names)
    text = (
        "How far each class of the target lies from the source (Eq. 5, nats) before a round's purchases, for "
        "ADeADA. Mean ± standard deviation over the seeds that have a density of the class."
    )
    columns = tuple(f"round {k}" for k in content)
    return Sheet("KL divergence by class over rounds", text, "class", Matrix(columns, rows))
