"""What the runs of a study left, read together; study.csv and the runs' part of study.json."""

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from adeada_jax.evaluation.tables import MEANS
from adeada_jax.files import read_json
from adeada_jax.method.selection_csv import Purchase
from adeada_jax.run.workdir import Workdir
from adeada_jax.study.study_plan import WARM_UP, Plan, Run
from adeada_jax.study.study_runner import entries, is_finished
from adeada_jax.study.study_worker import ATTEMPTS
from adeada_jax.types import Json


@dataclass(frozen=True)
class Result:
    """What a finished run gave to one setting.

    Attributes:
      setting: whose rounds these are; several may share a run.
      run: whose directory they lie in.
      seed: of the run.
      rounds: entries of summary.json, all with a mIoU.
      purchases: in the order bought.
      densities: content of density.json by round.
      workdir: the run's.
    """

    setting: str
    run: str
    seed: int
    rounds: tuple[Mapping[str, Any], ...]
    purchases: tuple[Purchase, ...]
    densities: Mapping[int, Mapping[str, Any]]
    workdir: Workdir


def collect(plan: Plan, directory: Path) -> list[Result]:
    """Reads all finished runs: a result for each setting, reference and warm-up and each seed."""
    found = {run.key: read_run(run, directory) for run in plan.runs if is_finished(run, directory)}
    results = []
    for setting in plan.settings.values():
        for seed in plan.seeds:
            if (setting.run, seed) in found:
                results.append(_shortened(found[setting.run, seed], setting.name, setting.rounds))
    for name in (WARM_UP, *plan.references):
        results += [found[name, seed] for seed in plan.seeds if (name, seed) in found]
    return results


def read_run(run: Run, directory: Path) -> Result:
    """Reads a finished run's directory."""
    workdir = Workdir(directory / run.directory)
    numbers = range(1, run.last_round + 1)
    return Result(
        setting=run.name,
        run=run.name,
        seed=run.seed,
        rounds=tuple(entries(run, directory)),
        purchases=tuple(workdir.purchases(run.last_round)) if run.last_round else (),
        densities={k: read_json(workdir.density(k)) for k in numbers if workdir.density(k).exists()},
        workdir=workdir,
    )


def times(run: Run, directory: Path) -> dict[str, Json]:
    """Wall and CPU seconds of a run's attempts that ended, and how many were cut off."""
    path = directory / run.directory / ATTEMPTS
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    events = [json.loads(line) for line in lines]
    ended = [event for event in events if "seconds" in event]
    return {
        "seconds": sum(event["seconds"] for event in ended) if ended else None,
        "cpu_seconds": sum(event["cpu_seconds"] for event in ended) if ended else None,
        "cut_off": sum("started" in event for event in events) - len(ended),
    }


def run_records(plan: Plan, directory: Path, failures: Mapping[tuple[str, int], str]) -> list[dict[str, Any]]:
    """Every run as study.json has it: where it lies, what became of it, its time, its rounds."""
    return [
        {
            "run": run.name,
            "seed": run.seed,
            "directory": run.directory,
            "status": "finished" if is_finished(run, directory) else "failed",
            "error": failures.get(run.key),
            **times(run, directory),
            "rounds": entries(run, directory),
        }
        for run in plan.runs
    ]


def rounds_csv(results: Sequence[Result]) -> str:
    """study.csv: a row a setting, seed and round; IoU in percent, empty for a class that does not occur."""
    first = results[0].rounds[0] if results else {"iou": {}}
    means, classes = [key for key in MEANS if key in first], list(first["iou"])
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["setting", "run", "seed", "round", "labelled_percent", *means, *classes])
    for result in results:
        for entry in result.rounds:
            numbers = [*(entry[key] for key in means), *(entry["iou"].get(name) for name in classes)]
            writer.writerow(
                [
                    result.setting,
                    result.run,
                    result.seed,
                    entry["round"],
                    f"{100 * entry['labelled_fraction']:.4f}",
                    *("" if value is None else f"{value:.4f}" for value in numbers),
                ]
            )
    return text.getvalue()


def _shortened(result: Result, setting: str, rounds: int) -> Result:
    """The first rounds of a run, under the name of a setting."""
    return replace(
        result,
        setting=setting,
        rounds=result.rounds[: rounds + 1],
        purchases=tuple(row for row in result.purchases if row.round <= rounds),
        densities={k: content for k, content in result.densities.items() if k <= rounds},
    )
