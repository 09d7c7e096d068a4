"""A whole study: its runs, then what they say together."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ml_collections import config_dict

from adeada_jax.data import sources
from adeada_jax.files import write_json_atomic, write_text_atomic
from adeada_jax.run.workdir import Workdir
from adeada_jax.study import collect
from adeada_jax.study import study_page as page
from adeada_jax.study.analyses import analyse
from adeada_jax.study.board import Board
from adeada_jax.study.pictures import compared, evaluation_strips
from adeada_jax.study.study_plan import Plan
from adeada_jax.study.study_quality import qualities
from adeada_jax.study.study_runner import run_plan
from adeada_jax.telemetry import console


def run_study(
    config: config_dict.ConfigDict, plan: Plan, workdir: str, *, jobs: int, command: Sequence[str]
) -> bool:
    """Runs or resumes a study; leaves study.json, study.csv, study.md and study.html in its directory.

    Args:
      config: what all runs share.
      plan: of `make_plan`.
      workdir: directory of the study.
      jobs: runs at a time.
      command: what was called, for the record.

    Returns:
      Whether all runs are finished.

    Raises:
      InputError: the directory cannot be used, or holds runs with another configuration.
    """
    directory = Path(workdir)
    with Workdir(directory).locked():
        with Board(plan) as board:
            failures = run_plan(plan, directory, jobs=jobs, report=board.report)
        write_outcome(config, plan, directory, failures, {"command": list(command), "jobs": jobs})
    for (name, seed), error in failures.items():
        console.print(f"failed: {name}, seed {seed}: {error}", markup=False, highlight=False, soft_wrap=True)
    return not failures


def write_outcome(
    config: config_dict.ConfigDict,
    plan: Plan,
    directory: Path,
    failures: Mapping[tuple[str, int], str],
    call: Mapping[str, Any],
) -> None:
    """Writes what the finished runs say: study.csv, study.json, study.md and study.html."""
    results = collect.collect(plan, directory)
    runs = collect.run_records(plan, directory, failures)
    write_text_atomic(directory / "study.csv", collect.rounds_csv(results))
    content: dict[str, Any] = {
        **call,
        "config": config.to_dict(),
        "settings": {name: vars(setting) for name, setting in plan.settings.items()},
        "runs": runs,
    }
    if not results:
        write_json_atomic(directory / "study.json", content)
        return
    target = config.target
    images = sources.open_images(target.dataset, target.dir, "train")
    analyses = analyse(content["config"], results, images.class_names, directory)
    if analyses:
        analyses["quality"] = qualities(content["config"], results, directory)
    write_json_atomic(directory / "study.json", {**content, "analyses": analyses})
    study = page.Study(
        config=content["config"],
        plan=plan,
        results=results,
        runs=runs,
        analyses=analyses,
        class_names=images.class_names,
        palette=images.palette,
        command=call["command"],
    )
    models = compared(results, plan.strategies, plan.seeds[0])
    write_text_atomic(directory / "study.md", page.markdown(study))
    page.write_page(directory / "study.html", study, [evaluation_strips(config, models)] if models else [])
    console.print(f"study: {directory / 'study.html'}", highlight=False, soft_wrap=True)
