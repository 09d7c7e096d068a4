r"""What a density buys when the source is seen with the target's batch-norm statistics, and with its own.

    python scripts/study.py --config=configs/toy.py --workdir=STUDY --jobs=2 --strategies=adeada --seeds=0,1,2
    python benchmarks/source_statistics.py STUDY/runs/adeada/seed-0 STUDY/runs/adeada/seed-1 \
        STUDY/runs/adeada/seed-2

Takes finished ADeADA runs whose network adapts its statistics (`training.target_statistics_steps`). In every
round the source goes through the round's network once more, with the target's statistics; the density is
fitted to either table, and the whole budget is spent by its pi. Shown are percent of regions bought whose
prediction was wrong; the area under the ROC curve of source against target; and channels of the source
without variance, both as medians over classes. Nothing of the runs is changed.
"""

import tempfile
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from absl import app
from ml_collections import config_dict

from adeada_jax.command_line import run_app
from adeada_jax.data import sources
from adeada_jax.errors import InputError
from adeada_jax.evaluation.tables import markdown
from adeada_jax.method.ingredients.ingredient import Context
from adeada_jax.method.ingredients.providers import ALWAYS
from adeada_jax.method.regions import Regions
from adeada_jax.partitions.store import DividedImages
from adeada_jax.run import inference
from adeada_jax.run.experiment import create_segmenter, derived_seed, load_weights
from adeada_jax.run.region_file import load_regions
from adeada_jax.study import quality
from adeada_jax.study.density_checks import density_checks, domains
from adeada_jax.study.past_run import PastRun, open_run, table_before
from adeada_jax.study.rankings import bought_by, density_alone
from adeada_jax.study.run_analysis import lacked
from adeada_jax.study.spread import spread
from adeada_jax.study.truth import Truth, read_truth

MEASURES = ("wrong regions, %", "source and target told apart", "dead channels")
WAYS = ("the target's statistics", "its own statistics")


def seen_with_the_targets(run: PastRun, number: int, seen: Regions) -> Regions:
    """The source's table of a round, by the network as it is for the target."""
    config = config_dict.ConfigDict(dict(run.config))
    images = sources.open_images(config.source.dataset, config.source.dir, "train")
    segmenter = create_segmenter(config)
    weights = load_weights(segmenter, run.workdir.checkpoint(number - 1))
    table = inference.infer_regions(
        segmenter,
        weights.params,
        weights.batch_stats,
        DividedImages(images, config.regions),
        height=config.data.height,
        width=config.data.width,
        batch_size=config.inference.batch_size,
        description=f"{run.workdir.root}, round {number}",
        ingredients=ALWAYS,
        discriminator=None,
    )
    if table.names != seen.names:
        raise InputError(f"'{run.workdir.root}': the source has other images than the run's table")
    return table


def measured(run: PastRun, number: int, truth: Truth) -> Iterator[tuple[float | None, float, float]]:
    """MEASURES of a round in either way; the first is None where no bought region has a label."""
    target, request = table_before(run, number)
    own = load_regions(run.workdir.region_table(number, "source"))
    judged = quality.judge(target, truth, quality.rare_classes(truth.counts), lacked(run))
    context = Context(
        run.class_names, run.source_classes, derived_seed(run.config["seed"], number, "density")
    )
    for source in (seen_with_the_targets(run, number, own), own):
        pi, _ = density_checks(target, source, judged, run.config["density"], context)
        chosen = bought_by(density_alone(run.config["acquisition"]), target.with_columns(density=pi), request)
        apart = domains(target, source, context).values()
        wrong = quality.measure(judged, chosen)["wrong_regions"]
        yield (
            wrong if isinstance(wrong, float) else None,
            float(np.median([of["separability"] for of in apart])),
            float(np.median([of["dead_channels"]["source"] for of in apart])),
        )


def main(argv: list[str]) -> None:
    if len(argv) < 2:
        raise app.UsageError("give the directories of one or more finished runs of ADeADA")
    found: dict[tuple[str, str, int], list[float | None]] = defaultdict(list)
    for root in argv[1:]:
        run = open_run(root)
        if not run.workdir.source_statistics(0).exists():
            raise InputError(
                f"'{root}' has no batch-norm statistics of the source; give a run of ADeADA that does"
            )
        with tempfile.TemporaryDirectory() as scratch:
            truth = read_truth(
                run.config, load_regions(run.workdir.pool), Path(scratch) / "truth.safetensors"
            )
        for number in run.rounds:
            for way, numbers in zip(WAYS, measured(run, number, truth), strict=True):
                for name, value in zip(MEASURES, numbers, strict=True):
                    found[name, way, number].append(value)
    rounds = sorted({number for _, _, number in found})
    rows = [
        [
            f"{name}, {way}",
            *(spread(found[name, way, number], 2 if "apart" in name else 1) for number in rounds),
        ]
        for name in MEASURES
        for way in WAYS
    ]
    print(markdown(["", *(f"round {number}" for number in rounds)], rows))


if __name__ == "__main__":
    run_app(main)
