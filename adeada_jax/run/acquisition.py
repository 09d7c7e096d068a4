"""What a round does between two trainings, as stages: region tables, densities, the selection, its labels."""

from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import jax
import numpy as np

from adeada_jax import processes
from adeada_jax.annotators.asking import label
from adeada_jax.arrays import load_arrays, save_arrays
from adeada_jax.data.subset import Subset
from adeada_jax.errors import InputError
from adeada_jax.files import write_json_atomic, write_text_atomic
from adeada_jax.labels import SHARED_CLASSES
from adeada_jax.method.density import DensityDifference, density_difference
from adeada_jax.method.edges import edge_shares
from adeada_jax.method.pool import Pool, Purchase, purchases_to_csv
from adeada_jax.method.strategy import Candidates, Request, Selection
from adeada_jax.run import inference, trainings
from adeada_jax.run.costs import Cost, Survey
from adeada_jax.run.experiment import Experiment
from adeada_jax.run.inference import RegionTable
from adeada_jax.run.pool_file import load_pool, save_pool
from adeada_jax.run.runner import Alone, Divided, Outcome, Stage, Together
from adeada_jax.telemetry import console, track

# Images of a piece of a region table: at 40 regions of 256 numbers 370 MB, and twice that while it is made.
_IMAGES_A_PIECE = 8192
# Of labels as PNG: toy streets with every region bought took 0.03, with 40 of 5,000 regions 0.002.
_LABEL_BYTES_A_PIXEL = 0.03
_SELECTION_BYTES_A_ROW = 100


def pool(experiment: Experiment) -> Stage:
    """Counts every target training region's pixels once; every image is decoded and so checked."""
    images, path = experiment.divided["target"], experiment.workdir.pool

    def measure(indices: Sequence[int]) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        tracked = track(indices, total=len(indices), description="listing regions")
        counts = [np.bincount(images[i]["regions"].ravel()) for i in tracked]
        bounds = np.cumsum([0, *(len(count) for count in counts)])
        arrays = {"pixels": np.concatenate([np.zeros(0, np.int64), *counts]), "bounds": bounds}
        return {**arrays, "index": np.asarray(indices, np.int64)}, {}

    def join(pieces: Sequence[Path]) -> None:
        counts: dict[int, np.ndarray] = {}
        for piece in pieces:
            arrays, _ = load_arrays(piece)
            bounds = arrays["bounds"]
            for place, i in enumerate(arrays["index"]):
                counts[int(i)] = arrays["pixels"][bounds[place] : bounds[place + 1]]
        save_pool(path, Pool.from_counts(images.names, [counts[i] for i in range(len(images))]))

    cost = Cost(files=lambda survey: {path: 16 * survey.target_regions})
    return Stage("pool", 0, Divided(len(images), len(images), measure, join), writes=(path,), cost=cost)


def acquire(experiment: Experiment, number: int) -> Iterable[Stage]:
    """A round's region tables, what its strategy needs besides, its selection, and the labels of it."""
    needs = experiment.strategy.needs
    yield infer(experiment, number, "target")
    if "density" in needs:
        if trainings.adapts_statistics(experiment.config):
            yield trainings.source_statistics(experiment, number - 1)
        yield infer(experiment, number, "source")
        yield estimate_density(experiment, number)
    if "edges" in needs:
        yield measure_edges(experiment)
    yield select(experiment, number)
    yield ask_for_labels(experiment, number)


def infer(experiment: Experiment, number: int, domain: str) -> Stage:
    """Z_D, C_D of Algorithm 1: the model of the round before on every region of a domain."""
    workdir = experiment.workdir
    images = experiment.divided[domain]
    path, checkpoint = workdir.region_table(number, domain), workdir.checkpoint(number - 1)
    with_discriminator = domain == "target" and "target_probability" in experiment.strategy.needs

    reads = [checkpoint]
    if with_discriminator:
        reads.append(workdir.discriminator())
    if domain == "source" and trainings.adapts_statistics(experiment.config):
        reads.append(workdir.source_statistics(number - 1))

    @cache
    def network() -> tuple[Any, Any]:
        weights = trainings.load_weights(experiment, number - 1, domain)
        return weights, experiment.load_discriminator() if with_discriminator else None

    def measure(indices: Sequence[int]) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        weights, discriminator = network()
        table = inference.infer_regions(
            experiment.segmenter, weights.params, weights.batch_stats, Subset(images, indices),
            **experiment.size, batch_size=experiment.config.inference.batch_size,
            description=f"round {number}: {domain} regions", discriminator=discriminator,
        )  # fmt: skip
        return table.arrays, {"names": table.names}

    def join(pieces: Sequence[Path]) -> None:
        inference.join_tables([RegionTable.load(piece) for piece in pieces], images.names, path)

    def files(survey: Survey) -> dict[Path, int]:
        regions = survey.target_regions if domain == "target" else survey.source_regions
        return {path: regions * survey.row_bytes}

    return Stage(
        f"inference_{domain}", number, Divided(len(images), _IMAGES_A_PIECE, measure, join),
        reads=tuple(reads), writes=(path,), cost=Cost(images=len(images), files=files),
    )  # fmt: skip


def estimate_density(experiment: Experiment, number: int) -> Stage:
    """Importance (Eq. 2) and KL (Eq. 5) from densities of both domains, target labelled or not.

    Each process reads all probabilities, for the classes, and of the features its part.
    """
    workdir, config = experiment.workdir, experiment.config
    path = workdir.importance(number)
    tables = tuple(workdir.region_table(number, domain) for domain in ("target", "source"))

    def make(_: int) -> DensityDifference:
        target, source = (RegionTable.load(table) for table in tables)
        return density_difference(
            target.features, target.predicted, source.features, source.predicted,
            num_classes=config.num_classes, class_names=experiment.class_names,
            shared_classes=SHARED_CLASSES[config.shared_classes]["miou"],
            seed=experiment.seed(number, "density"),
            devices=jax.devices() if processes.count() > 1 else None, **config.density,
        )  # fmt: skip

    def write(found: DensityDifference) -> None:
        save_arrays(path, {"importance": found.importance, "kl": found.kl}, {"records": found.records})

    cost = Cost(files=lambda survey: {path: 8 * survey.target_regions})
    return Stage("density", number, Together(make, write), reads=tables, writes=(path,), cost=cost)


def measure_edges(experiment: Experiment) -> Stage:
    """Each region's share of edge pixels; images do not change, so it is measured once a run."""
    path, images = experiment.workdir.edges, experiment.divided["target"]

    def make() -> None:
        shares = []
        for i in track(range(len(images)), total=len(images), description="edges"):
            example = images[i]
            present = np.unique(example["regions"])
            shares.append(edge_shares(example["image"], example["regions"])[present])
        save_arrays(path, {"edges": np.concatenate(shares)}, {})

    cost = Cost(files=lambda survey: {path: 4 * survey.target_regions})
    return Stage("edges", 0, Alone(make), writes=(path,), cost=cost)


def select(experiment: Experiment, number: int) -> Stage:
    """Chooses a round's regions, never more than the budget or what is left."""
    workdir = experiment.workdir
    reads = [workdir.pool, workdir.region_table(number, "target")]
    writes = [workdir.selection(number)]
    if "density" in experiment.strategy.needs:
        reads.append(workdir.importance(number))
        writes.insert(0, workdir.density(number))
    if "edges" in experiment.strategy.needs:
        reads.append(workdir.edges)

    def make() -> None:
        write_text_atomic(workdir.selection(number), purchases_to_csv(_purchases(experiment, number)))

    def files(survey: Survey) -> dict[Path, int]:
        rows = experiment.config.acquisition.budget * survey.target_regions
        return {workdir.selection(number): round(rows * _SELECTION_BYTES_A_ROW)}

    return Stage(
        "selection", number, Alone(make), reads=tuple(reads), writes=tuple(writes), cost=Cost(files=files)
    )


def select_everything(experiment: Experiment) -> Stage:
    """All of the pool, for the reference that knows all target labels (Table 1)."""
    path = experiment.workdir.selection(0)

    def make() -> None:
        pool = load_pool(experiment.workdir.pool)
        everything = [
            Purchase(0, pool.names[image], int(region), int(pixels), "", "all", 0.0)
            for image, region, pixels in zip(pool.image, pool.region, pool.pixels, strict=True)
        ]
        write_text_atomic(path, purchases_to_csv(everything))

    cost = Cost(files=lambda survey: {path: survey.target_regions * _SELECTION_BYTES_A_ROW})
    return Stage(
        "selection", 0, Alone(make), reads=(experiment.workdir.pool,), writes=(path,), cost=cost, timed=False
    )


def ask_for_labels(experiment: Experiment, number: int) -> Stage:
    """Has the annotator label this round's regions; what it has answered is not asked again."""
    workdir = experiment.workdir

    def make() -> Outcome:
        purchases = [one for one in workdir.purchases(number) if one.round == number]
        done = label(experiment.annotator, purchases, workdir.labels(number), workdir.answered(number))
        return Outcome.DONE if done else Outcome.WAITING

    def files(survey: Survey) -> dict[Path, int]:
        share = experiment.config.acquisition.budget if number else 1.0
        images = min(survey.target_images, max(1, round(share * survey.target_regions)))
        pixels = images * survey.target_pixels / survey.target_images
        return {workdir.labels(number): round(pixels * _LABEL_BYTES_A_PIXEL)}

    return Stage(
        "labels", number, Alone(make), reads=(workdir.selection(number),), writes=(workdir.answered(number),),
        cost=Cost(files=files),
    )  # fmt: skip


def _purchases(experiment: Experiment, number: int) -> list[Purchase]:
    """What the strategy buys in a round, in order; density.json is written by the way."""
    workdir, options, needs = experiment.workdir, experiment.config.acquisition, experiment.strategy.needs
    pool = load_pool(workdir.pool).replay(workdir.purchases(number - 1))
    target = RegionTable.load(workdir.region_table(number, "target"))
    density = _load_density(workdir.importance(number)) if "density" in needs else None
    edges = load_arrays(workdir.edges)[0]["edges"] if "edges" in needs else None
    asked, left = pool.budget(options.budget), pool.total_pixels - pool.labelled_pixels
    if asked > left:
        console.print(f"round {number}: only {left} of {asked} pixels are left to buy; buying those")
    request = Request(round=number, budget=min(asked, left), seed=experiment.seed(0, "acquisition"))
    selection = experiment.strategy.select(candidates(pool, target, density=density, edges=edges), request)
    predicted = target.predicted
    pool.buy([pick.index for pick in selection.picks], round=number, budget=request.budget)
    if density is not None:
        write_json_atomic(workdir.density(number), _density_content(density, selection))
    return [
        Purchase(number, pool.names[pool.image[pick.index]], int(pool.region[pick.index]),
                 int(pool.pixels[pick.index]), experiment.class_names[predicted[pick.index]],
                 pick.method, pick.score)
        for pick in selection.picks
    ]  # fmt: skip


def candidates(pool: Pool, target: RegionTable, **needed: Any) -> Candidates:
    """The pool and the region table side by side; both list regions by image, then region id.

    Raises:
      InputError: they are of different data: other images, regions or prices.
    """
    differing = [] if pool.names == target.names else ["images"]
    for name in ("image", "region", "pixels"):
        if not np.array_equal(getattr(pool, name), getattr(target, name)):
            differing.append({"image": "images' regions", "region": "regions", "pixels": "prices"}[name])
    if differing:
        raise InputError(
            f"the target's region table and pool.safetensors differ in {', '.join(differing)}: the target's "
            "data changed under the run; start it in another --workdir"
        )
    return Candidates(
        image_names=pool.names, image=pool.image, region=pool.region, pixels=pool.pixels,
        available=pool.available, features=target.features, probabilities=target.probabilities,
        entropy=target.entropy, margin=target.margin, confidence=target.confidence,
        target_probability=target.target_probability, **needed,
    )  # fmt: skip


def _load_density(path: Path) -> DensityDifference:
    arrays, metadata = load_arrays(path)
    return DensityDifference(**arrays, records=metadata["records"])


def _density_content(density: DensityDifference, selection: Selection) -> dict[str, Any]:
    """density.json: for each class its two fits, its KL and its budget in pixels."""
    budgets = selection.class_budgets
    return {
        record["class"]: {**record, "budget": int(budgets[c]) if budgets is not None else None}
        for c, record in enumerate(density.records)
    }
