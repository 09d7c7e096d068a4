"""Algorithm 1 in plain Python: warm-up, then rounds of inference, density, selection, labels, fine-tuning.

Every stage reads what it needs from the working directory and writes one output there; a stage whose
output exists is not run again. So a run that is killed continues where it was.
"""

import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from ml_collections import config_dict

from adeada_jax import inference, oracle, publish, stages
from adeada_jax.acquisition.base import Candidates, Request, Selection
from adeada_jax.acquisition.registry import create_strategy
from adeada_jax.arrays import load_arrays, save_arrays
from adeada_jax.density import DensityDifference, density_difference
from adeada_jax.evaluation import confusion, tables
from adeada_jax.experiment import Experiment, create_experiment
from adeada_jax.files import read_json, write_json_atomic, write_text_atomic
from adeada_jax.inference import RegionTable
from adeada_jax.labels import SHARED_CLASSES
from adeada_jax.regions.pool import Pool, Purchase, purchases_to_csv
from adeada_jax.telemetry import Metrics, console, track
from adeada_jax.workdir import Workdir


def run(experiment: Experiment) -> dict:
    """Runs, or finishes, the experiment the configuration asks for.

    Returns:
      The content of summary.json.
    """
    pool = list_pool(experiment)
    describe(experiment, pool)
    if experiment.config.experiment == "target_only":
        summary = run_target_only(experiment, pool)
    else:
        summary = run_active(experiment, pool)
    with stage(experiment, summary["rounds"][-1]["round"], "report"):
        publish.publish(experiment, summary)
    console.print(f"report: {experiment.workdir.report}", soft_wrap=True)
    return summary


def describe(experiment: Experiment, pool: Pool) -> None:
    """Says what is about to be done, with which data."""
    config = experiment.config
    console.print(
        f"source {config.source.dataset}: {len(experiment.source)} images\n"
        f"target {config.target.dataset}: {len(experiment.target_images)} images to buy labels of, "
        f"{len(pool.image):,} regions, {pool.total_pixels:,} pixels; "
        f"{len(experiment.validation)} to evaluate",
        highlight=False,
    )
    if config.experiment == "active":
        console.print(
            f"{config.acquisition.strategy}: {pool.budget(config.acquisition.budget):,} pixels in each of "
            f"{config.acquisition.rounds} rounds",
            highlight=False,
        )


def run_active(experiment: Experiment, pool: Pool) -> dict:
    """Algorithm 1: the warm-up and `acquisition.rounds` rounds of bought labels."""
    stages.warm_up(experiment)
    summary = evaluate(experiment, pool, 0)
    for number in range(1, experiment.config.acquisition.rounds + 1):
        pool = pool.replay(experiment.workdir.purchases(number - 1))
        acquire(experiment, pool, number)
        stages.finetune(experiment, number)
        summary = evaluate(experiment, pool.replay(experiment.workdir.purchases(number)), number)
    return summary


def run_target_only(experiment: Experiment, pool: Pool) -> dict:
    """Table 1's reference: one training on the target with every label bought."""
    if not experiment.workdir.selection(0).exists():
        everything = [
            Purchase(0, pool.names[pool.image[i]], int(pool.region[i]), int(pool.pixels[i]), "", "all", 0.0)
            for i in range(len(pool.image))
        ]
        write_text_atomic(experiment.workdir.selection(0), purchases_to_csv(everything))
    buy_labels(experiment, 0)
    stages.train_target_only(experiment)
    bought = pool.buy(np.arange(len(pool.image)), round=1, budget=pool.total_pixels)
    return evaluate(experiment, bought, 0)


def list_pool(experiment: Experiment) -> Pool:
    """Counts every target training region's pixels once; every image is decoded and so checked."""
    path = experiment.workdir.pool
    if not path.exists():
        images = experiment.target_images
        counts = [
            np.bincount(images[i]["regions"].ravel())
            for i in track(range(len(images)), total=len(images), description="listing regions")
        ]
        Pool.from_counts(images.names, counts).save(path)
    return Pool.load(path)


def acquire(experiment: Experiment, pool: Pool, number: int) -> None:
    """One round's selection and its labels: everything between two trainings."""
    if not experiment.workdir.selection(number).exists():
        strategy = create_strategy(experiment.config.acquisition.strategy, experiment.config.acquisition)
        target = infer(experiment, number, "target")
        density = estimate_density(experiment, number, target) if strategy.needs_density else None
        select(experiment, pool, number, strategy, target, density)
    buy_labels(experiment, number)


def infer(experiment: Experiment, number: int, domain: str) -> RegionTable:
    """Z_D, C_D of Algorithm 1: the model of the round before on every region of a domain."""
    path = experiment.workdir.region_table(number, domain)
    if not path.exists():
        weights = experiment.load_weights(experiment.workdir.checkpoint(number - 1))
        images = experiment.target_images if domain == "target" else experiment.source_images
        with stage(experiment, number, f"inference_{domain}"):
            table = inference.infer_regions(
                experiment.segmenter, weights.params, weights.batch_stats, images, **experiment.size,
                batch_size=experiment.config.inference.batch_size,
                description=f"round {number}: {domain} regions",
            )  # fmt: skip
        table.save(path)
    return RegionTable.load(path)


def estimate_density(experiment: Experiment, number: int, target: RegionTable) -> DensityDifference:
    """Importance (Eq. 2) and KL (Eq. 5) from GMMs of both domains, target labelled or not."""
    path = experiment.workdir.importance(number)
    if not path.exists():
        source = infer(experiment, number, "source")
        options = experiment.config.density
        with stage(experiment, number, "density"):
            difference = density_difference(
                target.features, target.predicted, source.features, source.predicted,
                num_classes=experiment.config.num_classes, class_names=experiment.class_names,
                shared_classes=SHARED_CLASSES[experiment.config.shared_classes]["miou"],
                seed=experiment.seed(number, "density"), **options,
            )  # fmt: skip
        arrays = {"importance": difference.importance, "kl": difference.kl}
        save_arrays(path, arrays, {"records": difference.records})
    arrays, metadata = load_arrays(path)
    return DensityDifference(**arrays, records=metadata["records"])


def select(experiment: Experiment, pool: Pool, number: int, strategy, target: RegionTable,
           density: DensityDifference | None) -> None:  # fmt: skip
    """Chooses this round's regions and writes them down with their prices."""
    asked = pool.budget(experiment.config.acquisition.budget)
    left = pool.total_pixels - pool.labelled_pixels
    if asked > left:
        console.print(f"round {number}: only {left} of {asked} pixels are left to buy; buying those")
    request = Request(round=number, budget=min(asked, left), seed=experiment.seed(0, "acquisition"))
    with stage(experiment, number, "selection"):
        selection = strategy.select(candidates(pool, target, density), request)
    pool.buy([pick.index for pick in selection.picks], round=number, budget=request.budget)
    if density is not None:
        write_density(experiment, number, density, selection)
    rows = [
        Purchase(number, pool.names[pool.image[pick.index]], int(pool.region[pick.index]),
                 int(pool.pixels[pick.index]), experiment.class_names[target.predicted[pick.index]],
                 pick.method, pick.score)
        for pick in selection.picks
    ]  # fmt: skip
    write_text_atomic(experiment.workdir.selection(number), purchases_to_csv(rows))


def candidates(pool: Pool, target: RegionTable, density: DensityDifference | None) -> Candidates:
    """The pool and the region table side by side; both list regions by image, then region id."""
    if not (np.array_equal(pool.image, target.image) and np.array_equal(pool.region, target.region)):
        raise ValueError("the region table does not list the pool's regions")
    return Candidates(
        image_names=pool.names, image=pool.image, region=pool.region, pixels=pool.pixels,
        available=pool.available, features=target.features, probabilities=target.probabilities,
        entropy=target.entropy, margin=target.margin, confidence=target.confidence, density=density,
    )  # fmt: skip


def write_density(
    experiment: Experiment, number: int, density: DensityDifference, selection: Selection
) -> None:
    """density.json: for each class its two fits, its KL and its budget in pixels."""
    budgets = selection.class_budgets
    content = {
        record["class"]: {**record, "budget": int(budgets[c]) if budgets is not None else None}
        for c, record in enumerate(density.records)
    }
    write_json_atomic(experiment.workdir.density(number), content)


def buy_labels(experiment: Experiment, number: int) -> None:
    """Has the oracle label this round's regions."""
    regions = defaultdict(list)
    for purchase in experiment.workdir.purchases(number):
        if purchase.round == number:
            regions[purchase.image].append(purchase.region)
    target = experiment.config.target
    oracle.buy_labels(
        oracle.GroundTruthOracle(target.dataset, target.dir), regions, experiment.workdir.labels(number)
    )


def evaluate(experiment: Experiment, pool: Pool, number: int) -> dict:
    """mIoU of a round's model on the evaluation split; adds the round to summary.json and shows it."""
    path = experiment.workdir.evaluation(number)
    if not path.exists():
        weights = experiment.load_weights(experiment.workdir.checkpoint(number))
        with stage(experiment, number, "evaluation"):
            matrix = confusion.evaluate(
                experiment.segmenter, weights.params, weights.batch_stats, experiment.validation,
                **experiment.size, batch_size=experiment.config.inference.batch_size,
                description=f"round {number}: evaluation",
            )  # fmt: skip
        result = round_summary(experiment, pool, number, confusion.iou(matrix))
        experiment.metrics.write(round=number, stage="evaluation", step=0, miou=result["miou"])
        write_json_atomic(path, result)
    results = [read_json(experiment.workdir.evaluation(n)) for n in range(number + 1)]
    summary = {"experiment": experiment.config.experiment, "rounds": results}
    write_json_atomic(experiment.workdir.summary, summary)
    console.print(tables.round_table(summary))
    return summary


def round_summary(experiment: Experiment, pool: Pool, number: int, iou: np.ndarray) -> dict:
    """One object of summary.json's list, IoU in percent, null for classes that do not occur."""
    return {
        "round": number,
        **confusion.scores(iou, experiment.class_names, experiment.config.shared_classes),
        "labelled_pixels": pool.labelled_pixels,
        "target_pixels": pool.total_pixels,
        "labelled_fraction": pool.labelled_pixels / pool.total_pixels,
    }


@contextmanager
def stage(experiment: Experiment, number: int, name: str) -> Iterator[None]:
    """Times a stage and writes it to the metrics, after dropping what a killed attempt left there."""
    experiment.metrics.rewind(number, name, 0)
    start = time.monotonic()
    yield
    experiment.metrics.write(round=number, stage=name, step=0, seconds=time.monotonic() - start)


def main(config: config_dict.ConfigDict, workdir: str) -> dict:
    """Runs or resumes the experiment of `config` in `workdir`; what scripts/main.py calls.

    Raises:
      InputError: something in the configuration, the data or the working directory is wrong.
    """
    directory = Workdir(workdir)
    with directory.locked(), Metrics(directory.root) as metrics:
        directory.check_config(config.to_dict())
        experiment = create_experiment(config, directory, metrics)
        directory.write_config(config.to_dict())
        return run(experiment)
