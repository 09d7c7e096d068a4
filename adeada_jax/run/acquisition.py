"""What a round does between two trainings, as stages: region tables, densities, the selection, its labels."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import jax
import numpy as np

from adeada_jax import processes
from adeada_jax.annotators.asking import Question, label
from adeada_jax.annotators.bought_labels import read_label
from adeada_jax.arrays import load_arrays, save_arrays
from adeada_jax.data.subset import Subset
from adeada_jax.errors import InputError
from adeada_jax.files import write_json_atomic, write_text_atomic
from adeada_jax.labels import SHARED_CLASSES
from adeada_jax.method.ingredients.ingredient import Compared, Context, Ingredient, OfDomains, OfImage
from adeada_jax.method.ingredients.providers import ALWAYS
from adeada_jax.method.regions import Regions
from adeada_jax.method.selection_csv import Purchase, purchases_to_csv
from adeada_jax.method.strategy import Request, Selection
from adeada_jax.models import Discriminator
from adeada_jax.partitions.store import DividedImages
from adeada_jax.run import former_components, inference, trainings
from adeada_jax.run.costs import Cost, Survey
from adeada_jax.run.experiment import Experiment, Weights, derived_seed
from adeada_jax.run.region_file import arrays_of, join_regions, load_regions, save_regions
from adeada_jax.run.runner import Alone, Divided, Outcome, Stage, Together
from adeada_jax.run.workdir import Workdir
from adeada_jax.telemetry import console, track
from adeada_jax.types import IGNORE_LABEL, Json, PyTree

# Images in one piece of a region table: 370 MB at 40 regions of 256 features; making it takes twice that.
_IMAGES_A_PIECE = 8192
# Labels as PNG. Toy streets took 0.03 with every region bought, and 0.002 with 40 of 5,000 regions.
_LABEL_BYTES_A_PIXEL = 0.03
_SELECTION_BYTES_A_ROW = 100
# An image's copy as PNG. Photographs keep two of three bytes.
_COPY_BYTES_A_PIXEL = 2.0


def pool(experiment: Experiment) -> Stage:
    """Counts every target training region's pixels once; every image is decoded and so checked."""
    images, path = experiment.divided["target"], experiment.workdir.pool

    def measure(indices: Sequence[int]) -> tuple[dict[str, np.ndarray], dict[str, Json]]:
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
        save_regions(path, Regions.from_counts(images.names, [counts[i] for i in range(len(images))]))

    cost = Cost(files=lambda survey: {path: 16 * survey.target_regions})
    return Stage("pool", 0, Divided(len(images), len(images), measure, join), writes=(path,), cost=cost)


def acquire(experiment: Experiment, number: int) -> Iterable[Stage]:
    """A round's region tables, whatever else its strategy needs, its selection and its labels."""
    yield infer(experiment, number, "target")
    if experiment.compared:
        if trainings.adapts_statistics(experiment.config, experiment.segmenter):
            yield trainings.source_statistics(experiment, number - 1)
        yield infer(experiment, number, "source")
    for ingredient in experiment.compared:
        yield compare_domains(experiment, number, ingredient)
    if number == 1:
        for of_image in experiment.needed("OfImage"):
            yield measure_images(experiment, of_image)
    yield select(experiment, number)
    yield ask_for_labels(experiment, number)


def infer(experiment: Experiment, number: int, domain: str) -> Stage:
    """Z_D, C_D of Algorithm 1: the model of the round before on every region of a domain."""
    workdir = experiment.workdir
    images = experiment.divided[domain]
    path, checkpoint = workdir.region_table(number, domain), workdir.checkpoint(number - 1)
    ingredients = experiment.needed("OfModel") if domain == "target" else ALWAYS
    with_discriminator = any(ingredient.discriminator for ingredient in ingredients)

    reads = [checkpoint]
    if with_discriminator:
        reads.append(workdir.discriminator())
    if domain == "source" and trainings.adapts_statistics(experiment.config, experiment.segmenter):
        reads.append(workdir.source_statistics(number - 1))

    @cache
    def network() -> tuple[Weights, tuple[Discriminator, PyTree] | None]:
        weights = trainings.load_weights(experiment, number - 1, domain)
        return weights, experiment.load_discriminator() if with_discriminator else None

    def measure(indices: Sequence[int]) -> tuple[dict[str, np.ndarray], dict[str, Json]]:
        weights, discriminator = network()
        table = inference.infer_regions(
            experiment.segmenter,
            weights.params,
            weights.batch_stats,
            Subset(images, indices),
            **experiment.size,
            batch_size=experiment.config.inference.batch_size,
            description=f"round {number}: {domain} regions",
            ingredients=ingredients,
            discriminator=discriminator,
        )
        return arrays_of(table), {"names": table.names}

    def join(pieces: Sequence[Path]) -> None:
        join_regions([load_regions(piece) for piece in pieces], images.names, path)

    def files(survey: Survey) -> dict[Path, int]:
        regions = survey.target_regions if domain == "target" else survey.source_regions
        return {path: regions * survey.row_bytes}

    return Stage(
        f"inference_{domain}",
        number,
        Divided(len(images), _IMAGES_A_PIECE, measure, join),
        reads=tuple(reads),
        writes=(path,),
        cost=Cost(images=len(images), files=files),
    )


def compare_domains(experiment: Experiment, number: int, ingredient: OfDomains) -> Stage:
    """A column from both domains' tables, such as the density's (Eq. 2).

    Each process reads all probabilities, for the classes, and of the features its part.
    """
    workdir = experiment.workdir
    path = workdir.comparison(number, ingredient.name)
    options = experiment.config.density if ingredient.name == "density" else {}
    former = former_components.files_before(workdir, number, options)
    tables = tuple(workdir.region_table(number, domain) for domain in ("target", "source"))
    context = Context(
        experiment.class_names,
        shared_classes(experiment),
        experiment.seed(number, ingredient.name),
        jax.devices() if processes.count() > 1 else None,
    )

    def make(_: int) -> Compared:
        target, source = map(load_regions, tables)
        before = former_components.before(workdir, number, options, {"target": target, "source": source})
        found = ingredient.compare(target, source, replace(context, before=before))
        _check_length(ingredient, found.values, len(target))
        return found

    def write(found: Compared) -> None:
        kept = former_components.kept(found.components)
        save_arrays(path, {"values": found.values, **kept}, {"classes": found.classes})

    def files(survey: Survey) -> dict[Path, int]:
        regions = survey.target_regions + survey.source_regions if options.get("warm_start", False) else 0
        return {path: 8 * survey.target_regions + 4 * regions}

    return Stage(
        ingredient.name,
        number,
        Together(make, write),
        reads=(*tables, *former),
        writes=(path,),
        cost=Cost(files=files),
    )


def shared_classes(experiment: Experiment) -> Sequence[int]:
    """The classes that both domains may have."""
    return shared_of(experiment.config.shared_classes, experiment.source_classes)


def shared_of(shared: str, source_classes: Sequence[int]) -> Sequence[int]:
    """The same, from `config.shared_classes` and the ids of the source's classes."""
    kept = SHARED_CLASSES[shared]["miou"]
    return [c for c in source_classes if kept is None or c in kept]


def measure_images(experiment: Experiment, ingredient: OfImage) -> Stage:
    """A column from the images alone; they do not change, so it is made once a run."""
    path, images = experiment.workdir.column(ingredient.name), experiment.divided["target"]

    def make() -> None:
        values = []
        for i in track(range(len(images)), total=len(images), description=ingredient.name):
            example = images[i]
            present = np.unique(example["regions"])
            found = ingredient.values(example["image"], example["regions"])
            _check_length(ingredient, found, int(present.max()) + 1)
            values.append(found[present])
        save_arrays(path, {"values": np.concatenate(values)}, {})

    cost = Cost(files=lambda survey: {path: 4 * survey.target_regions})
    return Stage(ingredient.name, 0, Alone(make), writes=(path,), cost=cost)


def _check_length(ingredient: Ingredient, values: np.ndarray, regions: int) -> None:
    if np.shape(values) != (regions,):
        raise InputError(
            f"ingredient '{ingredient.name}' gives numbers of shape {np.shape(values)} for {regions} regions"
        )


def select(experiment: Experiment, number: int) -> Stage:
    """Chooses a round's regions, never more than the budget or what is left."""
    workdir = experiment.workdir
    compared = [ingredient.name for ingredient in experiment.compared]
    reads = [workdir.pool, workdir.region_table(number, "target")]
    reads += [workdir.comparison(number, name) for name in compared]
    reads += [workdir.column(ingredient.name) for ingredient in experiment.needed("OfImage")]
    writes = [workdir.density(number)] if "density" in compared else []
    writes.append(workdir.selection(number))

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
        pool = load_regions(experiment.workdir.pool)
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
        done = label(
            experiment.annotator,
            _questions(experiment, number),
            experiment.divided["target"],
            experiment.config.num_classes,
            directory=workdir.labels(number),
            answered=workdir.answered(number),
        )
        return Outcome.DONE if done else Outcome.WAITING

    def files(survey: Survey) -> dict[Path, int]:
        share = experiment.config.acquisition.budget if number else 1.0
        images = min(survey.target_images, max(1, round(share * survey.target_regions)))
        pixels = images * survey.target_pixels / survey.target_images
        return {
            workdir.labels(number): round(pixels * _LABEL_BYTES_A_PIXEL),
            **request_bytes(experiment, number, pixels),
        }

    return Stage(
        "labels",
        number,
        Alone(make),
        reads=(workdir.selection(number),),
        writes=(workdir.answered(number),),
        cost=Cost(files=files),
    )


def request_bytes(experiment: Experiment, number: int, pixels: float) -> dict[Path, int]:
    """Bytes of the image copies that people are sent, by path, for this many pixels."""
    if experiment.annotator.reads_labels:
        return {}
    return {experiment.workdir.round(number) / "request": round(pixels * _COPY_BYTES_A_PIXEL)}


def _questions(experiment: Experiment, number: int) -> list[Question]:
    """What a round asks, with what the model says of each region."""
    workdir, classes = experiment.workdir, {name: i for i, name in enumerate(experiment.class_names)}
    purchases = [one for one in workdir.purchases(number) if one.round == number]
    probabilities: dict[tuple[str, int], float] = {}
    if workdir.region_table(number, "target").exists():
        table = load_regions(workdir.region_table(number, "target"))
        best = np.asarray(table["probabilities"]).max(axis=1)
        keys = zip(table.image.tolist(), table.region.tolist(), best.tolist(), strict=True)
        probabilities = {(table.names[image], region): value for image, region, value in keys}
    return [
        Question(
            number,
            one.image,
            one.region,
            one.pixels,
            classes.get(one.class_name),
            probabilities.get((one.image, one.region)),
        )
        if experiment.knows_classes(number)
        else Question(number, one.image, one.region, one.pixels)
        for one in purchases
    ]


def table_of(experiment: Experiment, number: int) -> Regions:
    """What a round's strategy is given: the pool as it was before, with a column an ingredient."""
    workdir = experiment.workdir
    covered = partial(covered_regions, experiment.divided["target"], experiment.config.num_classes)
    pool = pool_before(workdir, number, covered)
    paths = {one.name: workdir.column(one.name) for one in experiment.needed("OfImage")}
    paths |= {one.name: workdir.comparison(number, one.name) for one in experiment.compared}
    made = {name: load_arrays(path)[0]["values"] for name, path in paths.items()}
    if experiment.source is None:
        made |= {one.name: np.full(len(pool), np.nan) for one in experiment.needed("OfDomains")}
    return pool.with_columns_of(load_regions(workdir.region_table(number, "target"))).with_columns(**made)


def pool_before(
    workdir: Workdir, number: int, covered: Callable[[Path], Mapping[str, np.ndarray]]
) -> Regions:
    """The pool as it was before a round.

    Args:
      workdir: the run's.
      number: of the round.
      covered: gives, by image, the regions that the PNGs of a directory label wholly.
    """
    pool = load_regions(workdir.pool).replay(workdir.purchases(number - 1))
    for directory in (workdir.known, *map(workdir.extra, range(1, number))):
        if directory.exists():
            pool = pool.with_known(covered(directory))
    return pool


def request_of(regions: Regions, number: int, options: Mapping[str, Any], seed: int) -> Request:
    """What a round asks its strategy for: its budget, or what is left.

    Args:
      regions: of `pool_before`.
      number: of the round.
      options: `config.acquisition`.
      seed: the experiment's.
    """
    left = regions.total_pixels - regions.labelled_pixels
    budget = min(regions.budget(options["budget"]), left)
    return Request(round=number, budget=budget, seed=derived_seed(seed, 0, "acquisition"))


def covered_regions(divided: DividedImages, num_classes: int, directory: Path) -> dict[str, np.ndarray]:
    """By image, the regions that the PNGs of a directory label completely without being asked to."""
    index, found = {name: i for i, name in enumerate(divided.names)}, {}
    for path in sorted(directory.rglob("*.png")):
        name = path.relative_to(directory).with_suffix("").as_posix()
        i = index[name]
        known = read_label(path, divided.images.sizes[i], num_classes) != IGNORE_LABEL
        regions = divided.regions(i).ravel()
        pixels, labelled = np.bincount(regions), np.bincount(regions, known.ravel())
        found[name] = np.flatnonzero((pixels > 0) & (labelled == pixels))
    return found


def _purchases(experiment: Experiment, number: int) -> list[Purchase]:
    """What the strategy buys in a round, in order; also writes density.json."""
    options, regions = experiment.config.acquisition, table_of(experiment, number)
    request = request_of(regions, number, options, experiment.config.seed)
    asked = regions.budget(options.budget)
    if asked > request.budget:
        console.print(
            f"round {number}: only {request.budget} of {asked} pixels are left to buy; buying those"
        )
    selection = experiment.strategy_of(number).select(regions, request)
    classes = regions.classes
    try:
        regions.buy([pick.index for pick in selection.picks], round=number, budget=request.budget)
    except ValueError as error:
        raise InputError(f"config.acquisition.strategy: '{options.strategy}': {error}") from error
    if "density" in [one.name for one in experiment.compared]:
        _write_density(experiment, number, selection)
    return [
        Purchase(
            number,
            regions.names[regions.image[pick.index]],
            int(regions.region[pick.index]),
            int(regions.pixels[pick.index]),
            experiment.class_names[classes[pick.index]],
            pick.method,
            pick.score,
        )
        for pick in selection.picks
    ]


def _write_density(experiment: Experiment, number: int, selection: Selection) -> None:
    """density.json: for each class, facts about its densities, its KL and its budget in pixels."""
    workdir, budgets = experiment.workdir, selection.class_budgets
    _, metadata = load_arrays(workdir.comparison(number, "density"), names=())
    content = {
        name: {
            **metadata["classes"].get(name, {}),
            "budget": int(budgets[c]) if budgets is not None else None,
        }
        for c, name in enumerate(experiment.class_names)
    }
    write_json_atomic(workdir.density(number), content)
