"""Algorithm 1 in plain Python: warm-up, then rounds of inference, density, selection, labels, fine-tuning.

Every stage reads what it needs from the working directory and writes one output there; a stage whose
output exists is not run again. So a run that is killed continues where it was.
"""

from collections import defaultdict

import numpy as np
from ml_collections import config_dict

from adeada_jax import oracle, publish, selection, stages
from adeada_jax.evaluation import confusion, tables
from adeada_jax.experiment import Experiment, create_experiment
from adeada_jax.files import read_json, write_json_atomic, write_text_atomic
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
    if experiment.config.experiment in ("active", "warmup_only"):
        summary = run_active(experiment, pool)
    else:
        summary = run_reference(experiment, pool)
    with experiment.stage(summary["rounds"][-1]["round"], "report"):
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
    rounds = experiment.config.acquisition.rounds if experiment.config.experiment == "active" else 0
    for number in range(1, rounds + 1):
        pool = pool.replay(experiment.workdir.purchases(number - 1))
        acquire(experiment, pool, number)
        stages.finetune(experiment, number)
        summary = evaluate(experiment, pool.replay(experiment.workdir.purchases(number)), number)
    return summary


def run_reference(experiment: Experiment, pool: Pool) -> dict:
    """A reference: one training without target labels, or with all of them bought (Table 1)."""
    if experiment.config.experiment != "target_only":
        stages.train_reference(experiment)
        return evaluate(experiment, pool, 0)
    if not experiment.workdir.selection(0).exists():
        everything = [
            Purchase(0, pool.names[pool.image[i]], int(pool.region[i]), int(pool.pixels[i]), "", "all", 0.0)
            for i in range(len(pool.image))
        ]
        write_text_atomic(experiment.workdir.selection(0), purchases_to_csv(everything))
    buy_labels(experiment, 0)
    stages.train_reference(experiment)
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
        purchases = selection.select(experiment, pool, number)
        write_text_atomic(experiment.workdir.selection(number), purchases_to_csv(purchases))
    buy_labels(experiment, number)


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
        with experiment.stage(number, "evaluation"):
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
