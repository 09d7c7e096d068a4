"""One round's selection: what the model says of every region, what the strategy needs, what it buys."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from adeada_jax import inference, processes, stages
from adeada_jax.acquisition.base import Candidates, Request, Selection
from adeada_jax.acquisition.registry import create_strategy
from adeada_jax.arrays import load_arrays, save_arrays
from adeada_jax.data.subset import Subset
from adeada_jax.density import DensityDifference, density_difference
from adeada_jax.errors import InputError
from adeada_jax.experiment import Experiment
from adeada_jax.files import write_json_atomic
from adeada_jax.inference import RegionTable
from adeada_jax.labels import SHARED_CLASSES
from adeada_jax.regions.edges import edge_shares
from adeada_jax.regions.pool import Pool, Purchase
from adeada_jax.telemetry import console, track

# Images of a part of a region table: at 40 regions of 256 numbers 370 MB, and twice that while it is made.
_IMAGES_A_PART = 8192


def measure(experiment: Experiment, number: int) -> None:
    """Has all processes make the region tables and densities that a round's selection needs."""
    strategy = create_strategy(experiment.config.acquisition.strategy, experiment.config.acquisition)
    infer(experiment, number, "target", with_discriminator="target_probability" in strategy.needs)
    if "density" in strategy.needs:
        stages.adapt_to_source(experiment, number - 1)
        infer(experiment, number, "source")
        estimate_density(experiment, number)


def select(experiment: Experiment, pool: Pool, number: int) -> list[Purchase]:
    """Chooses a round's regions, once `measure` has made the tables; in one process.

    Args:
      experiment: the run.
      pool: what can be bought.
      number: of the round, from 1 on.

    Returns:
      The purchases in order, never more than the budget or what is left.
    """
    options = experiment.config.acquisition
    strategy = create_strategy(options.strategy, options)
    target = RegionTable.load(experiment.workdir.region_table(number, "target"))
    density = load_density(experiment, number) if "density" in strategy.needs else None
    edges = measure_edges(experiment, number) if "edges" in strategy.needs else None
    asked = pool.budget(options.budget)
    left = pool.total_pixels - pool.labelled_pixels
    if asked > left:
        console.print(f"round {number}: only {left} of {asked} pixels are left to buy; buying those")
    request = Request(round=number, budget=min(asked, left), seed=experiment.seed(0, "acquisition"))
    with experiment.stage(number, "selection"):
        selection = strategy.select(candidates(pool, target, density=density, edges=edges), request)
        predicted = target.predicted
    pool.buy([pick.index for pick in selection.picks], round=number, budget=request.budget)
    if density is not None:
        _write_density(experiment, number, density, selection)
    return [
        Purchase(number, pool.names[pool.image[pick.index]], int(pool.region[pick.index]),
                 int(pool.pixels[pick.index]), experiment.class_names[predicted[pick.index]],
                 pick.method, pick.score)
        for pick in selection.picks
    ]  # fmt: skip


def infer(experiment: Experiment, number: int, domain: str, *, with_discriminator: bool = False) -> None:
    """Z_D, C_D of Algorithm 1: the model of the round before on every region of a domain.

    Each process measures its share of the images, some thousands at a time, and leaves each part on the
    disk, where a run that was killed finds it; the writer joins the parts in one file. So no process ever
    holds more than a part.
    """
    path = experiment.workdir.region_table(number, domain)
    if not processes.agreed(path.exists()):
        _infer(experiment, number, domain, path, with_discriminator)
    if processes.is_writer():  # the joined parts, and those that an attempt of other processes left
        for part in path.parent.glob(f".{path.stem}.*.part"):
            part.unlink()


def _infer(experiment: Experiment, number: int, domain: str, path: Path, with_discriminator: bool) -> None:
    images = experiment.target_images if domain == "target" else experiment.source_images
    with experiment.stage(number, f"inference_{domain}"):
        weights = stages.load_weights(experiment, number - 1, domain)
        discriminator = experiment.load_discriminator() if with_discriminator else None
        for part, share in _parts(path, len(images), processes.index()):
            if not part.exists():
                inference.infer_regions(
                    experiment.segmenter, weights.params, weights.batch_stats, Subset(images, share),
                    **experiment.size, batch_size=experiment.config.inference.batch_size,
                    description=f"round {number}: {domain} regions",
                    discriminator=discriminator,
                ).save(part)  # fmt: skip
        processes.once(path, lambda: _join(images.names, path))


def _parts(path: Path, images: int, process: int) -> list[tuple[Path, range]]:
    """A process's parts of a region table: their files, and the images they are of."""
    share = processes.share(images, process)
    pieces = [share[low : low + _IMAGES_A_PART] for low in range(0, len(share), _IMAGES_A_PART)]
    stem = f".{path.stem}.{process}-of-{processes.count()}"
    return [(path.with_name(f"{stem}.{i}.part"), piece) for i, piece in enumerate(pieces)]


def _join(names: Sequence[str], path: Path) -> None:
    """One table of all processes' parts."""
    parts = [part for p in range(processes.count()) for part, _ in _parts(path, len(names), p)]
    for part in parts:
        processes.wait_for(part)
    inference.join_tables([RegionTable.load(part) for part in parts], names, path)


def estimate_density(experiment: Experiment, number: int) -> None:
    """Importance (Eq. 2) and KL (Eq. 5) from GMMs of both domains, target labelled or not.

    Each process reads all probabilities, for the classes, and of the features its part.
    """
    path = experiment.workdir.importance(number)
    if processes.agreed(path.exists()):
        return
    target, source = (
        RegionTable.load(experiment.workdir.region_table(number, domain)) for domain in ("target", "source")
    )
    with experiment.stage(number, "density"):
        difference = density_difference(
            target.features, target.predicted, source.features, source.predicted,
            num_classes=experiment.config.num_classes, class_names=experiment.class_names,
            shared_classes=SHARED_CLASSES[experiment.config.shared_classes]["miou"],
            seed=experiment.seed(number, "density"),
            devices=jax.devices() if processes.count() > 1 else None, **experiment.config.density,
        )  # fmt: skip
    arrays = {"importance": difference.importance, "kl": difference.kl}
    processes.once(path, lambda: save_arrays(path, arrays, {"records": difference.records}))


def load_density(experiment: Experiment, number: int) -> DensityDifference:
    """What `estimate_density` found."""
    arrays, metadata = load_arrays(experiment.workdir.importance(number))
    return DensityDifference(**arrays, records=metadata["records"])


def measure_edges(experiment: Experiment, number: int) -> np.ndarray:
    """`(N,)` share of edge pixels of every region of the pool; images do not change, so measured once."""
    path = experiment.workdir.edges
    if not path.exists():
        images, shares = experiment.target_images, []
        with experiment.stage(number, "edges"):
            for i in track(range(len(images)), total=len(images), description="edges"):
                example = images[i]
                present = np.unique(example["regions"])
                shares.append(edge_shares(example["image"], example["regions"])[present])
        save_arrays(path, {"edges": np.concatenate(shares)}, {})
    return load_arrays(path)[0]["edges"]


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


def _write_density(
    experiment: Experiment, number: int, density: DensityDifference, selection: Selection
) -> None:
    """density.json: for each class its two fits, its KL and its budget in pixels."""
    budgets = selection.class_budgets
    content = {
        record["class"]: {**record, "budget": int(budgets[c]) if budgets is not None else None}
        for c, record in enumerate(density.records)
    }
    write_json_atomic(experiment.workdir.density(number), content)
