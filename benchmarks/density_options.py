r"""What other settings of the density would have bought in runs that there are, and if they are densities.

    python scripts/study.py --config=configs/toy.py --workdir=STUDY --jobs=2 --strategies=adeada --seeds=0,1,2
    python benchmarks/density_options.py STUDY/runs/adeada/seed-0 STUDY/runs/adeada/seed-1 \
        STUDY/runs/adeada/seed-2 --density=gmm --density=gmm,covariance_prior=oas

Takes finished runs of ADeADA, with labels for all regions. In every round each density is fitted to the
round's tables and spends the whole budget by its pi. Shown are, as mean and standard deviation over the runs,
percent of regions bought whose prediction was wrong and of pixels of things that the source lacks, where that
is known; and as medians over classes the rank correlation of log p_T with the size of a region's own
component, that of pi with the prediction being wrong, and the standard deviation of log p_T in nats. Nothing
of the runs is changed.
"""

import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from absl import app, flags

from adeada_jax.command_line import keep_compiled_programs, run_app
from adeada_jax.evaluation.tables import markdown
from adeada_jax.method.ingredients.ingredient import Context
from adeada_jax.run.experiment import derived_seed
from adeada_jax.run.region_file import load_regions
from adeada_jax.study import quality
from adeada_jax.study.density_checks import density_checks
from adeada_jax.study.past_run import PastRun, open_run, table_before
from adeada_jax.study.rankings import bought_by, density_alone
from adeada_jax.study.run_analysis import density_options, lacked
from adeada_jax.study.spread import spread
from adeada_jax.study.truth import Truth, read_truth
from adeada_jax.telemetry import track

_DENSITIES = flags.DEFINE_multi_string(
    "density",
    ["gmm", "gmm,covariance_prior=oas"],
    "A density by kind, with keys of config.density that differ from the run's. Give it once for each.",
)
# What is shown, and with how many digits.
MEASURES = {
    "wrong regions, %": 1,
    "new things, %": 1,
    "log p_T with component size": 2,
    "pi with wrong prediction": 2,
    "spread of log p_T, nats": 0,
}


def measured(run: PastRun, number: int, truth: Truth, density: str) -> dict[str, float | None]:
    """MEASURES of a density in a round; None where there is none."""
    target, request = table_before(run, number)
    source = load_regions(run.workdir.region_table(number, "source"))
    judged = quality.judge(target, truth, quality.rare_classes(truth.counts), lacked(run))
    seed = derived_seed(run.config["seed"], number, "density")
    context = Context(run.class_names, run.source_classes, seed)
    options = density_options(run, density)
    pi, described = density_checks(target, source, judged, {**options, "warm_start": False}, context)
    chosen = bought_by(density_alone(run.config["acquisition"]), target.with_columns(density=pi), request)
    bought = quality.measure(judged, chosen)
    values = (
        _number(bought["wrong_regions"]),
        _number(bought["new_pixels"]),
        median(described, lambda one: one["log_target_with_component_size"]),
        median(described, lambda one: one["pi_with"]["wrong"]),
        median(described, lambda one: one["log_target_spread"]),
    )
    return dict(zip(MEASURES, values, strict=True))


def median(
    described: Mapping[str, Mapping[str, Any]], read: Callable[[Mapping[str, Any]], float | None]
) -> float | None:
    """Over the classes that have the number."""
    known = [value for value in map(read, described.values()) if value is not None]
    return float(np.median(known)) if known else None


def _number(value: object) -> float | None:
    return value if isinstance(value, float) else None


def all_rounds(roots: list[str], densities: list[str]) -> Iterator[tuple[str, int, dict[str, float | None]]]:
    """Density, round and its measures, of all runs one after another."""
    with tempfile.TemporaryDirectory() as scratch:
        for root in roots:
            run = open_run(root)
            truth = read_truth(
                run.config, load_regions(run.workdir.pool), Path(scratch) / "truth.safetensors"
            )
            for number in track(run.rounds, total=len(run.rounds), description=root):
                for density in densities:
                    yield density, number, measured(run, number, truth, density)


def main(argv: list[str]) -> None:
    if len(argv) < 2:
        raise app.UsageError("give the directories of one or more finished runs of ADeADA")
    keep_compiled_programs()
    found: dict[tuple[str, str, int], list[float | None]] = defaultdict(list)
    for density, number, values in all_rounds(argv[1:], _DENSITIES.value):
        for name, value in values.items():
            found[name, density, number].append(value)
    rounds = sorted({number for _, _, number in found})
    for name, digits in MEASURES.items():
        rows = [[of, *(spread(found[name, of, k], digits) for k in rounds)] for of in _DENSITIES.value]
        print(markdown([name, *(f"round {k}" for k in rounds)], rows) + "\n")


if __name__ == "__main__":
    run_app(main)
