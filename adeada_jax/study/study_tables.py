"""The paper's tables from a study's results: mean and standard deviation (n - 1) over seeds."""

from collections.abc import Mapping, Sequence
from typing import Any

from adeada_jax.evaluation.tables import MEANS
from adeada_jax.report.sections import Cell, Matrix
from adeada_jax.study import published
from adeada_jax.study.analyses import advantage, by_round
from adeada_jax.study.collect import Result
from adeada_jax.study.sheets import Sheet, cell, heated, plain
from adeada_jax.study.spread import interval, mean, summary
from adeada_jax.study.study_plan import ABLATIONS, TAUGHT, WARM_UP, Plan

OURS, RANDOM = "adeada", "random"

# Table 2's components: uncertainty, density aware, category balance, dynamic scheduling.
COMPONENTS = {
    "(a)": (1, 0, 0, 0),
    "(b)": (0, 1, 0, 0),
    "(c)": (0, 1, 1, 0),
    "(d)": (1, 1, 1, 0),
    "(e)": (1, 1, 1, 1),
}
_COMPONENT_NAMES = ("uncertainty", "density", "balance", "schedule")


def _rows(table: str, *pairs: tuple[str, str]) -> dict[str, tuple[str, str]]:
    """Pairs of rows of an ablation, as pairs of settings by what is said of them."""
    return {f"{one} over {other}": (ABLATIONS[table][one], ABLATIONS[table][other]) for one, other in pairs}


# What is compared seed by seed, and with what, by ablation.
DIFFERENCES = {
    "table2": _rows("table2", ("(b)", "(a)"), ("(c)", "(b)"), ("(d)", "(c)"), ("(e)", "(d)")),
    "table4": _rows("table4", *(("1", alpha) for alpha in ABLATIONS["table4"] if alpha != "1")),
    "table5": _rows("table5", *(("Half Decay", row) for row in ABLATIONS["table5"] if row != "Half Decay")),
    "shares": {
        "by pi, in Eq. 6's shares": ("density", "kl_random"),
        "by pi, in equal shares": ("density_unbalanced", "equal_random"),
        "by pi, in shares by rarity": ("rare_density", "rare"),
    },
    "teacher": {name: (taught, name) for taught, name in TAUGHT.items()},
}
_MEASURED = "Mean ± standard deviation over seeds"


def result_sheets(config: Mapping[str, Any], plan: Plan, results: Sequence[Result]) -> list[Sheet]:
    """All tables of mIoU that the plan has the runs for."""
    sheets = [
        strategies_sheet(config, plan, results),
        advantage_sheet(config, plan, results),
        random_sheet(config, plan, results),
        references_sheet(plan, results),
        ablation_sheet(config, plan, results, "table2", "Table 2: components"),
        difference_sheet(
            config, plan, results, "table2", "What each component adds", "the other row of Table 2"
        ),
        alpha_sheet(config, plan, results),
        difference_sheet(config, plan, results, "table4", "What alpha = 1 adds", "another alpha"),
        ablation_sheet(config, plan, results, "table5", "Table 5: schedules"),
        difference_sheet(config, plan, results, "table5", "What half decay adds", "another schedule"),
        ablation_sheet(config, plan, results, "shares", "Classes' shares of the budget, and what is bought"),
        difference_sheet(config, plan, results, "shares", "What ranking by pi adds", "at random"),
        ablation_sheet(config, plan, results, "teacher", "What fine-tuning learns from"),
        difference_sheet(config, plan, results, "teacher", "What a teacher adds", "from labels alone"),
        class_sheet(config, plan, results),
    ]
    return [sheet for sheet in sheets if sheet is not None]


def miou(entry: Mapping[str, Any]) -> float | None:
    """A round's mIoU in percent."""
    return entry["miou"]


def strategies_sheet(config: Mapping[str, Any], plan: Plan, results: Sequence[Result]) -> Sheet | None:
    """Table 6 and 7: rounds in rows, strategies in columns."""
    found = {name: by_round(results, name, miou) for name in plan.strategies}
    rounds = max(map(len, found.values()), default=0)
    paper = published.table(config, "strategies")
    rows = []
    for k in range(1, rounds):
        summaries = [summary(found[name][k] if len(found[name]) > k else ()) for name in plan.strategies]
        rows.append((percent(config, k), heated(summaries)))
        if paper and k in paper["percent"]:
            at = paper["percent"].index(k)
            printed = [paper["miou"].get(name, [None] * (at + 1))[at] for name in plan.strategies]
            rows.append((f"the paper's {k}%", plain(printed)))
    text = f"mIoU in percent on the target's evaluation split. {_MEASURED}; shaded within a row."
    if not rows:
        return None
    return Sheet(
        "Table 6: mIoU by strategy and labels", text, "% labels", Matrix(plan.strategies, tuple(rows))
    )


def advantage_sheet(config: Mapping[str, Any], plan: Plan, results: Sequence[Result]) -> Sheet | None:
    """ADeADA's points over each other strategy, seed by seed: the same warm-up, the same labels."""
    pairs = {name: (OURS, name) for name in plan.strategies if name != OURS}
    return _pairs_sheet(config, results, pairs, "ADeADA's advantage over each strategy", "the other strategy")


def random_sheet(config: Mapping[str, Any], plan: Plan, results: Sequence[Result]) -> Sheet | None:
    """Each strategy's points over buying at random, seed by seed."""
    if RANDOM not in plan.strategies:
        return None
    pairs = {name: (name, RANDOM) for name in plan.strategies if name != RANDOM}
    return _pairs_sheet(config, results, pairs, "Each strategy's advantage over random", RANDOM)


def difference_sheet(
    config: Mapping[str, Any], plan: Plan, results: Sequence[Result], name: str, title: str, other: str
) -> Sheet | None:
    """Points of the settings of `DIFFERENCES[name]`, seed by seed."""
    if name not in plan.ablations:
        return None
    return _pairs_sheet(config, results, DIFFERENCES[name], title, other)


def _pairs_sheet(
    config: Mapping[str, Any],
    results: Sequence[Result],
    pairs: Mapping[str, tuple[str, str]],
    title: str,
    other: str,
) -> Sheet | None:
    found = {label: advantage(results, *pair) for label, pair in pairs.items()}
    rounds = max(map(len, found.values()), default=0)
    if rounds < 2:
        return None
    rows = tuple(
        (
            percent(config, k),
            tuple(points(of_pair[k]) if len(of_pair) > k else Cell("-") for of_pair in found.values()),
        )
        for k in range(1, rounds)
    )
    text = (
        f"Points of mIoU more than {other} with the same seed: the mean, its 95% interval "
        "(Student's t over seeds), and in how many of the seeds it is ahead."
    )
    return Sheet(title, text, "% labels", Matrix(tuple(found), rows))


def points(differences: Sequence[float]) -> Cell:
    """Mean, 95% interval and number of wins of differences by seed, shaded by the wins."""
    wins = sum(value > 0 for value in differences)
    bounds = interval(differences)
    inside = f" [{bounds[0]:+.1f}, {bounds[1]:+.1f}]" if bounds else ""
    text = f"{mean(differences):+.1f}{inside} ({wins}/{len(differences)})"
    return Cell(text, 0.8 * wins / max(len(differences), 1))


def references_sheet(plan: Plan, results: Sequence[Result]) -> Sheet | None:
    """Table 1 and 3: the warm-up, the references, and each as a share of full supervision."""
    full = {result.seed: result.rounds[0]["miou"] for result in results if result.setting == "target_only"}
    lines = [(WARM_UP, "warm-up"), *((name, name.replace("_", " ")) for name in plan.references)]
    lines += [(name, f"{name}, last round") for name in plan.strategies]
    first = next((result.rounds[0] for result in results), {})
    keys = [key for key in MEANS if key in first]
    rows = []
    for name, label in lines:
        own = [result for result in results if result.setting == name]
        if not own:
            continue
        shares = [100.0 * r.rounds[-1]["miou"] / full[r.seed] for r in own if full.get(r.seed)]
        means = [cell(summary(result.rounds[-1][key] for result in own)) for key in keys]
        rows.append((label, (*means, cell(summary(shares), "{:.1f}"))))
    columns = (*(f"{MEANS[key]} %" for key in keys), "% of target only")
    text = f"{_MEASURED}. References train once for as many steps as warm-up and all rounds together."
    return Sheet("Table 1: references", text, "run", Matrix(columns, tuple(rows))) if rows else None


def ablation_sheet(
    config: Mapping[str, Any], plan: Plan, results: Sequence[Result], name: str, title: str
) -> Sheet | None:
    """Table 2, 5 or our own: settings in rows, rounds in columns."""
    if name not in plan.ablations:
        return None
    paper = published.table(config, name)
    rounds = range(1, config["acquisition"]["rounds"] + 1)
    columns = [*(_COMPONENT_NAMES if name == "table2" else ())]
    for k in rounds:
        columns += [percent(config, k), *([f"the paper's {k}%"] if paper and k in paper["percent"] else [])]
    rows = []
    for label, setting in ABLATIONS[name].items():
        found = by_round(results, setting, miou)
        cells = [Cell("×" if part else "") for part in COMPONENTS[label]] if name == "table2" else []
        for k in rounds:
            cells.append(cell(summary(found[k] if len(found) > k else ())))
            if paper and k in paper["percent"]:
                printed = paper["miou"].get(label)
                cells += plain([printed[paper["percent"].index(k)] if printed else None])
        rows.append((label, tuple(cells)))
    text = f"mIoU in percent by share of labels. {_MEASURED}. {_shared(plan, name)}"
    heads = {"table2": "row", "table5": "policy", "shares": "shares, order", "teacher": "strategy, learning"}
    return Sheet(title, text, heads[name], Matrix(tuple(columns), tuple(rows)))


def alpha_sheet(config: Mapping[str, Any], plan: Plan, results: Sequence[Result]) -> Sheet | None:
    """Table 4: alpha in columns, after the first round."""
    if "table4" not in plan.ablations:
        return None
    settings = ABLATIONS["table4"]
    found = [by_round(results, setting, miou) for setting in settings.values()]
    rows = [("mIoU %", heated([summary(rounds[1] if len(rounds) > 1 else ()) for rounds in found]))]
    paper = published.table(config, "table4")
    if paper:
        rows.append(("the paper's", plain([paper["miou"][alpha][0] for alpha in settings])))
    text = (
        f"After the first round, {percent(config, 1)} of the labels. {_MEASURED}. {_shared(plan, 'table4')}"
    )
    return Sheet("Table 4: balance coefficient alpha", text, "alpha", Matrix(tuple(settings), tuple(rows)))


def class_sheet(config: Mapping[str, Any], plan: Plan, results: Sequence[Result]) -> Sheet | None:
    """Table 8, turned: ADeADA's IoU with classes in rows and rounds in columns, beside full supervision."""
    own = [result for result in results if result.setting == OURS]
    if not own:
        return None
    full = [result for result in results if result.setting == "target_only"]
    first = own[0].rounds[0]
    keys = [key for key in MEANS if key in first]
    rounds = len(own[0].rounds)
    rows = []
    for name in [*keys, *first["iou"]]:

        def value(entry: Mapping[str, Any], name: str = name) -> float | None:
            return entry[name] if name in MEANS else entry["iou"].get(name)

        summaries = [summary(numbers) for numbers in by_round(results, OURS, value)]
        summaries += [summary(value(result.rounds[0]) for result in full)] if full else []
        rows.append((MEANS.get(name, name), heated(summaries, "{:.1f}", low=0.0, high=100.0)))
    columns = ["warm-up", *(percent(config, k) for k in range(1, rounds)), *(["target only"] if full else [])]
    text = f"ADeADA's IoU in percent by share of labels. {_MEASURED}."
    return Sheet("Table 8: IoU by class", text, "class", Matrix(tuple(columns), tuple(rows)))


def percent(config: Mapping[str, Any], round: int) -> str:
    """The share of labels that may be bought until a round."""
    return f"{100 * config['acquisition']['budget'] * round:.3g}%"


def _shared(plan: Plan, ablation: str) -> str:
    """Says which rows come from a run of another name."""
    pairs = {
        setting: plan.settings[setting].run
        for setting in ABLATIONS[ablation].values()
        if plan.settings[setting].run != setting
    }
    said = ", ".join(f"{setting} is {run}'s" for setting, run in pairs.items())
    return f"Runs that buy the same are made once: {said}." if said else ""
