"""Algorithm 1 in plain Python: warm-up, then rounds of inference, density, selection, labels, fine-tuning.

Every stage reads what it needs from the working directory and writes one output there; a stage whose
output exists is not run again. So a run that is killed continues where it was.
"""

from collections import defaultdict
from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any

import numpy as np
from ml_collections import config_dict

from adeada_jax import oracle, processes, publish, selection, stages, timers
from adeada_jax.data.subset import Subset
from adeada_jax.errors import InputError
from adeada_jax.evaluation import confusion, tables
from adeada_jax.experiment import Experiment, create_experiment, data_of
from adeada_jax.files import read_json, write_json_atomic, write_text_atomic
from adeada_jax.preflight import preflight, warn
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
    if processes.is_writer():
        with experiment.stage(summary["rounds"][-1]["round"], "report"):
            publish.publish(experiment, summary)
    processes.once(experiment.workdir.report, lambda: None)
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
    everything = [
        Purchase(0, pool.names[pool.image[i]], int(pool.region[i]), int(pool.pixels[i]), "", "all", 0.0)
        for i in range(len(pool.image))
    ]
    path = experiment.workdir.selection(0)
    processes.once(path, lambda: write_text_atomic(path, purchases_to_csv(everything)))
    buy_labels(experiment, 0)
    stages.train_reference(experiment)
    bought = pool.buy(np.arange(len(pool.image)), round=1, budget=pool.total_pixels)
    return evaluate(experiment, bought, 0)


def list_pool(experiment: Experiment) -> Pool:
    """Counts every target training region's pixels once; every image is decoded and so checked.

    Raises:
      InputError: an image cannot be read; the pool that is there lists other images than the target has.
    """
    path, images = experiment.workdir.pool, experiment.target_images
    if not processes.agreed(path.exists()):
        share = processes.share(len(images))
        with experiment.stage(0, "pool"):
            counts = [
                np.bincount(images[i]["regions"].ravel())
                for i in track(share, total=len(share), description="listing regions")
            ]
            bounds = np.cumsum([0, *(len(count) for count in counts)])
            arrays = {"pixels": np.concatenate([np.zeros(0, np.int64), *counts]), "bounds": bounds}
            parts = processes.gather("pool", arrays, path.parent)
        processes.once(path, lambda: _pool(images.names, parts).save(path))
        processes.discard("pool", path.parent)
    pool = Pool.load(path)
    if pool.names != tuple(images.names):
        raise InputError(
            f"'{path}' lists other images than the target's data set has; give another --workdir"
        )
    return pool


def _pool(names: Sequence[str], parts: Sequence[dict[str, np.ndarray]]) -> Pool:
    """The pool of all processes' counts."""
    counts: list[Any] = [None] * len(names)
    for process, part in enumerate(parts):
        bounds = part["bounds"]
        for place, i in enumerate(processes.share(len(names), process)):
            counts[i] = part["pixels"][bounds[place] : bounds[place + 1]]
    return Pool.from_counts(names, counts)


def acquire(experiment: Experiment, pool: Pool, number: int) -> None:
    """One round's selection and its labels: everything between two trainings."""
    path = experiment.workdir.selection(number)

    def select() -> None:
        write_text_atomic(path, purchases_to_csv(selection.select(experiment, pool, number)))

    if not processes.agreed(path.exists()):
        selection.measure(experiment, number)
        processes.once(path, select)
    buy_labels(experiment, number)


def buy_labels(experiment: Experiment, number: int) -> None:
    """Has the oracle label this round's regions, as far as it has not yet."""
    start, directory = timers.now(), experiment.workdir.labels(number)
    regions = defaultdict(list)
    for purchase in experiment.workdir.purchases(number):
        if purchase.round == number and not (directory / f"{purchase.image}.png").exists():
            regions[purchase.image].append(purchase.region)
    if regions:
        target = experiment.config.target
        truth = oracle.GroundTruthOracle(target.dataset, target.dir, experiment.target_images.digest)
        oracle.buy_labels(truth, regions, directory)
        experiment.metrics.write(round=number, stage="labels", step=0, **timers.between(start, timers.now()))


def evaluate(experiment: Experiment, pool: Pool, number: int) -> dict:
    """mIoU of a round's model on the evaluation split; adds the round to summary.json and shows it."""
    path = experiment.workdir.evaluation(number)
    if not processes.agreed(path.exists()):
        matrix = confusion_matrix(experiment, number)

        def write() -> None:
            known = stages.purchased(experiment, number).known_pixels
            result = round_summary(experiment, pool, number, confusion.iou(matrix), known)
            experiment.metrics.write(round=number, stage="evaluation", step=0, miou=result["miou"])
            write_json_atomic(path, result)

        processes.once(path, write)
        processes.discard("confusion", path.parent)
    results = [read_json(experiment.workdir.evaluation(n)) for n in range(number + 1)]
    summary = {"experiment": experiment.config.experiment, "rounds": results}
    if processes.is_writer():
        write_json_atomic(experiment.workdir.summary, summary)
    console.print(tables.round_table(summary))
    return summary


def confusion_matrix(experiment: Experiment, number: int) -> np.ndarray:
    """A round's model on the evaluation split; complete on the writer, on the others of their images."""
    images = experiment.validation.without_regions()
    with experiment.stage(number, "evaluation"):
        weights = experiment.load_weights(experiment.workdir.checkpoint(number))
        matrix = confusion.evaluate(
            experiment.segmenter, weights.params, weights.batch_stats,
            Subset(images, processes.share(len(images))), **experiment.size,
            batch_size=experiment.config.inference.batch_size, description=f"round {number}: evaluation",
        )  # fmt: skip
        parts = processes.gather("confusion", {"matrix": matrix}, experiment.workdir.round(number))
    return np.sum([part["matrix"] for part in parts], axis=0)


def round_summary(experiment: Experiment, pool: Pool, number: int, iou: np.ndarray, known: int) -> dict:
    """One object of summary.json's list, IoU in percent, null for classes that do not occur.

    `known` counts the bought pixels whose label is a class.
    """
    return {
        "round": number,
        **confusion.scores(iou, experiment.class_names, experiment.config.shared_classes),
        "labelled_pixels": pool.labelled_pixels,
        "known_pixels": known,
        "target_pixels": pool.total_pixels,
        "labelled_fraction": pool.labelled_pixels / pool.total_pixels,
    }


def main(config: config_dict.ConfigDict, workdir: str) -> dict:
    """Runs or resumes the experiment of `config` in `workdir`; what scripts/main.py calls.

    Raises:
      InputError: something in the configuration, the data or the working directory is wrong.
    """
    directory, writes = Workdir(workdir), processes.is_writer()
    console.quiet = not writes
    lock = directory.locked() if writes else nullcontext()
    with processes.ending_together(), lock, Metrics(directory.root, writes=writes) as metrics:
        directory.check_config(config.to_dict())
        experiment = create_experiment(config, directory, metrics)
        data = data_of(config)
        if writes:
            warn(experiment, preflight(experiment))
            directory.write_config(config.to_dict())
            directory.write_data(data)
        processes.agreed(True)  # The others look at what the writer wrote once it is there.
        processes.wait_for(directory.data)
        directory.check_config(config.to_dict(), begun=True)
        directory.check_data(data, begun=True)
        return run(experiment)
