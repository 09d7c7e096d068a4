"""study.html: one file with all tables and figures of a study."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from adeada_jax.evaluation.tables import HEADINGS
from adeada_jax.files import write_text_atomic
from adeada_jax.report.drawing import hex_color
from adeada_jax.report.page import Gallery, embedded, environment
from adeada_jax.report.sections import flat, title
from adeada_jax.study import published
from adeada_jax.study import study_figures as figures
from adeada_jax.study.collect import Result
from adeada_jax.study.purchases import purchase_sheets
from adeada_jax.study.quality_sheets import study_sheets
from adeada_jax.study.spread import spread
from adeada_jax.study.study_plan import Plan
from adeada_jax.study.study_tables import OURS, result_sheets

# Tables of published.json that list mIoU by name and share of labels.
_MIOU_TABLES = ("strategies", "table2", "table4", "table5")


@dataclass(frozen=True)
class Study:
    """What a study has come to.

    Attributes:
      config: what all runs share.
      plan: of the runs.
      results: of `collect`.
      runs: of `collect.run_records`.
      analyses: of `analyses.analyse`.
      class_names: of the C classes.
      palette: `(C, 3)` uint8 RGB.
      command: what was called.
    """

    config: Mapping[str, Any]
    plan: Plan
    results: Sequence[Result]
    runs: Sequence[Mapping[str, Any]]
    analyses: Mapping[str, Any]
    class_names: Sequence[str]
    palette: np.ndarray
    command: Sequence[str]


def write_page(path: Path, study: Study, galleries: Sequence[Gallery]) -> None:
    """Writes the page; it asks nothing of the network and holds no script."""
    plan, task = study.plan, published.task_of(study.config)
    content = (
        environment(Path(__file__).parent)
        .get_template("study.html")
        .render(
            title=title(study.config),
            subtitle=subtitle(study),
            headlines=headlines(study),
            chart=figures.miou_chart(study.results, plan.strategies, plan.references),
            results=result_sheets(study.config, plan, study.results),
            purchases=purchase_sheets(study.analyses, [*plan.strategies]),
            quality=study_sheets(study.analyses.get("quality", {}), OURS),
            galleries=[embedded(gallery) for gallery in galleries],
            colors=dict(zip(study.class_names, map(hex_color, study.palette), strict=True)),
            paper=[published_task(name) for name in published.published()["tasks"]],
            task=task,
            facts=published_facts(),
            citation=published.published()["paper"],
            runs=study.runs,
            command=" ".join(study.command),
            config=flat(study.config),
        )
    )
    write_text_atomic(path, content)


def markdown(study: Study) -> str:
    """All tables of the page as Markdown."""
    sheets = result_sheets(study.config, study.plan, study.results)
    sheets += purchase_sheets(study.analyses, study.plan.strategies)
    sheets += study_sheets(study.analyses.get("quality", {}), OURS)
    return "".join(sheet.markdown() + "\n" for sheet in sheets)


def subtitle(study: Study) -> list[str]:
    """What the study is of."""
    config, plan = study.config, study.plan
    seeds = f"{len(plan.seeds)} seed" + ("s" if len(plan.seeds) > 1 else "")
    return [
        f"{len(plan.strategies)} strategies",
        seeds,
        f"{config['acquisition']['rounds']} rounds",
        f"{config['model']['name']} with {config['model']['backbone']}",
    ]


def headlines(study: Study) -> list[tuple[str, str]]:
    """The numbers at the top: (number, what it is)."""
    finished = sum(run["status"] == "finished" for run in study.runs)
    lines = [(f"{finished}/{len(study.runs)}", "runs finished")]
    ours = [result for result in study.results if result.setting == OURS]
    if ours:
        last = [result.rounds[-1] for result in ours]
        share = 100 * float(np.mean([entry["labelled_fraction"] for entry in last]))
        lines.append(
            (f"{spread((e['miou'] for e in last), 1)}%", f"ADeADA's mIoU with {share:.2f}% of the labels")
        )
        best = _best_other(study)
        if best:
            lines.append((f"{best[1]}%", f"{best[0]}'s, the best of the others"))
        full = {r.seed: r.rounds[0]["miou"] for r in study.results if r.setting == "target_only"}
        shares = [100 * r.rounds[-1]["miou"] / full[r.seed] for r in ours if full.get(r.seed)]
        if shares:
            lines.append((f"{spread(shares, 1)}%", "of full supervision's mIoU"))
    return lines


def _best_other(study: Study) -> tuple[str, str] | None:
    """The strategy with the highest mean in the last round, ADeADA left out, and that mean."""
    ends = {
        name: [result.rounds[-1]["miou"] for result in study.results if result.setting == name]
        for name in study.plan.strategies
        if name != OURS
    }
    ends = {name: values for name, values in ends.items() if values}
    if not ends:
        return None
    best = max(ends, key=lambda name: np.mean(ends[name]))
    return best, spread(ends[best], 1)


def published_facts() -> list[str]:
    """What the paper says of purchases, in words."""
    content = published.published()["tasks"]["gta5"]
    missed, regions = content["mispredicted"], content["classes_per_region"]
    full = content["full_supervision"]
    return [
        f"{full['share']}% of full supervision's mIoU with 5% of the labels ({full['citation']})",
        f"{missed['predicted_as_another']}% of {missed['class']} regions were predicted as another class by "
        f"the warm-up; ADeADA recalled {missed['recalled']['adeada']}% of these, uncertainty "
        f"{missed['recalled']['uncertainty']}% ({missed['citation']})",
        f"{regions['mean']} classes a region, about {regions['fewer_than_two']}% of the regions with fewer "
        f"than two ({regions['citation']})",
    ]


def published_task(name: str) -> dict[str, object]:
    """What the paper reports of one of its tasks, for the page."""
    task = published.published()["tasks"][name]
    strategies = task["strategies"]
    methods = task["methods"]
    full = next(row for row in methods["rows"] if row["method"].startswith("DeepLabV3+"))
    miou = methods["columns"].index("mIoU")
    classes = [
        (f"{published.NETWORKS[network]}, {share}%", values)
        for network, rows in task["classes"]["rows"].items()
        for share, values in zip(task["classes"]["percent"], rows, strict=True)
    ]
    return {
        "name": task["name"],
        "key": name,
        "chart": figures.published_chart(strategies, full["values"][miou], f"paper-{name}"),
        "caption": f"mIoU over labels ({strategies['citation']}), DeepLabV3+",
        "tables": [
            *(_miou_lines(task[key], key) for key in _MIOU_TABLES if key in task),
            {
                "caption": f"Warm-up ({task['warm_up']['citation']})",
                "head": "network",
                "columns": ["mIoU"],
                "rows": [
                    (published.NETWORKS[network], [f"{value:.2f}"])
                    for network, value in task["warm_up"]["miou"].items()
                ],
            },
        ],
        "class_tables": [
            _class_lines(task["classes"], "ADeADA's IoU by class", "labels", classes, "{:.2f}"),
            _class_lines(
                methods,
                "Methods",
                "method",
                [(f"{row['group']}: {row['method']}", row["values"]) for row in methods["rows"]],
                "{:.1f}",
            ),
        ],
    }


def _miou_lines(table: Mapping[str, Any], key: str) -> dict[str, object]:
    """A table of mIoU as printed: a line a name, a column a share of labels."""
    return {
        "caption": f"mIoU by share of labels ({table['citation']})",
        "head": {"strategies": "strategy", "table4": "alpha", "table5": "policy"}.get(key, "row"),
        "columns": [f"{share}%" for share in table["percent"]],
        "rows": [(name, [f"{value:.2f}" for value in values]) for name, values in table["miou"].items()],
    }


def _class_lines(
    table: Mapping[str, Any],
    caption: str,
    head: str,
    lines: Sequence[tuple[str, Sequence[float | None]]],
    form: str,
) -> dict[str, object]:
    """A table of IoU by class as printed."""
    return {
        "caption": f"{caption} ({table['citation']})",
        "head": head,
        "columns": [HEADINGS.get(column, column) for column in table["columns"]],
        "rows": [
            (name, ["-" if value is None else form.format(value) for value in values])
            for name, values in lines
        ],
    }
