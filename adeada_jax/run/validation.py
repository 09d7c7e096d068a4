"""How good a round's model is, as stages: mIoU on what it is evaluated on, and the summary of all rounds."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from adeada_jax.arrays import load_arrays, save_arrays
from adeada_jax.data.subset import Subset
from adeada_jax.evaluation import confusion, tables
from adeada_jax.evaluation.advice import advice
from adeada_jax.evaluation.bootstrap import gain_interval, miou_interval
from adeada_jax.evaluation.summaries import Evaluation, Intervals, Round, Summary
from adeada_jax.files import read_json, write_json_atomic
from adeada_jax.labels import SHARED_CLASSES
from adeada_jax.run import effort, training_batches
from adeada_jax.run.costs import Cost
from adeada_jax.run.experiment import Experiment
from adeada_jax.run.region_file import load_regions
from adeada_jax.run.runner import Alone, Divided, Stage
from adeada_jax.run.sampling import sampled_examples
from adeada_jax.telemetry import console
from adeada_jax.types import Json


def evaluate(experiment: Experiment, number: int) -> Iterator[Stage]:
    """The confusion matrix of a round's model, then the table of all rounds until then."""
    yield _scores(experiment, number) if experiment.validation else _unscored(experiment, number)
    yield _summary(experiment, number)


def _scores(experiment: Experiment, number: int) -> Stage:
    workdir, images = experiment.workdir, experiment.evaluated()
    reads = [workdir.checkpoint(number), workdir.pool]
    if experiment.sampled:
        reads.append(workdir.evaluation_answered)

    def measure(indices: Sequence[int]) -> tuple[dict[str, np.ndarray], dict[str, Json]]:
        weights, examples = (
            experiment.load_weights(workdir.checkpoint(number)),
            _examples(experiment, indices),
        )
        counts = confusion.evaluate(
            experiment.segmenter,
            weights.params,
            weights.batch_stats,
            examples,
            **experiment.size,
            batch_size=experiment.config.inference.batch_size,
            passes=experiment.passes,
            description=f"round {number}: evaluation",
        )
        return {"matrix": counts.matrix, "by_image": counts.by_image}, {"names": examples.names}

    def join(pieces: Sequence[Path]) -> None:
        loaded = [load_arrays(piece) for piece in pieces]
        matrix = np.sum([arrays["matrix"] for arrays, _ in loaded], axis=0)
        by_image = np.concatenate([arrays["by_image"] for arrays, _ in loaded])
        names = [name for _, metadata in loaded for name in metadata["names"]]
        order = sorted(range(len(names)), key=names.__getitem__)  # however many processes there were
        save_arrays(workdir.evaluation_counts(number), {"by_image": by_image[order]}, {})
        result = round_entry(experiment, number, confusion.iou(matrix)) | _intervals(experiment, number)
        experiment.metrics.write(round=number, stage="evaluation", step=0, miou=result["miou"])
        write_json_atomic(workdir.evaluation(number), result)

    return Stage(
        "evaluation",
        number,
        Divided(len(images), len(images), measure, join),
        reads=tuple(reads),
        writes=(workdir.evaluation(number),),
        cost=Cost(images=len(images), work=experiment.passes.work(**experiment.size)),
    )


def _intervals(experiment: Experiment, number: int) -> Intervals:
    """How sure the round's mIoU is, and what it gained over the round before."""
    workdir, shared = experiment.workdir, SHARED_CLASSES[experiment.config.shared_classes]["miou"]
    counts = [
        load_arrays(path)[0]["by_image"]
        for path in map(workdir.evaluation_counts, range(max(number - 1, 0), number + 1))
        if path.exists()
    ]
    entry: Intervals = {"miou_interval": miou_interval(counts[-1], shared)}
    if len(counts) == 2 and counts[0].shape == counts[1].shape:
        entry["gain_interval"] = gain_interval(counts[0], counts[1], shared)
    return entry


def _examples(experiment: Experiment, indices: Sequence[int]) -> Subset:
    """Images to evaluate on with their labels: of a sample those that have any."""
    if not experiment.sampled:
        return Subset(experiment.evaluated(), indices)
    examples, names = sampled_examples(experiment), {experiment.evaluated().names[i] for i in indices}
    return Subset(examples, [i for i, name in enumerate(examples.names) if name in names])


def _unscored(experiment: Experiment, number: int) -> Stage:
    """What is reported of a round's model if nothing is evaluated: no mIoU."""
    workdir = experiment.workdir

    def make() -> None:
        unknown = np.full(experiment.config.num_classes, np.nan)
        write_json_atomic(workdir.evaluation(number), round_entry(experiment, number, unknown))

    return Stage(
        "evaluation",
        number,
        Alone(make),
        reads=(workdir.checkpoint(number), workdir.pool),
        writes=(workdir.evaluation(number),),
        timed=False,
    )


def round_entry(experiment: Experiment, number: int, iou: np.ndarray) -> Round:
    """One object of summary.json's list, IoU in percent, null for classes that do not occur."""
    workdir = experiment.workdir
    total = load_regions(workdir.pool).total_pixels
    purchases = workdir.purchases(number)
    labelled = sum(purchase.pixels for purchase in purchases)
    return {
        "round": number,
        **confusion.scores(iou, experiment.class_names, experiment.config.shared_classes),
        "labelled_pixels": labelled,
        "known_pixels": training_batches.purchased(experiment, number).known_pixels,
        "target_pixels": total,
        "labelled_fraction": labelled / total,
        **effort.of_people(experiment, number, [one for one in purchases if one.round == number]),
    }


def _basis(experiment: Experiment) -> Evaluation:
    """How an evaluation that does not use all labels is described."""
    options = experiment.config.evaluation
    if options.kind == "sample":
        return {"evaluation": {"kind": "sample", "regions": options.regions}}
    return {"evaluation": {"kind": "none"}} if options.kind == "none" else {}


def _summary(experiment: Experiment, number: int) -> Stage:
    """summary.json and the table on the terminal; made anew at every start."""
    workdir = experiment.workdir

    def make() -> None:
        rounds = [read_json(workdir.evaluation(n)) for n in range(number + 1)]
        summary: Summary = {
            "experiment": experiment.config.experiment,
            "rounds": rounds,
            **_basis(experiment),
        }
        write_json_atomic(workdir.summary, summary)
        console.print(tables.round_table(summary))
        if number == experiment.config.acquisition.rounds:
            for line in advice(summary):
                console.print(line, highlight=False, soft_wrap=True)

    return Stage("summary", number, Alone(make), reads=(workdir.evaluation(number),), timed=False)
