"""What a round takes besides training and inference, at the paper's scale; every part is measured here.

    python benchmarks/round_overhead.py

The paper has 119,000 regions in the target and 998,640 in the source. The fraction --share of them is used,
and the measured times are divided by it. A round of the paper saves a checkpoint every 5,000 of its 120,000
steps, in the background, and its weights at the end; it joins both domains' region tables, fits and compares
their densities, and stores the labels of some 1,200 images, four at a time. Training and inference take what
their FLOPs (benchmarks/experiment_cost.py) take at 40% of an H100's peak in bfloat16.
"""

import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import jax
import numpy as np
from absl import app, flags

from adeada_jax.bench.mixtures.synthetic import DomainFeatures, domain_pair
from adeada_jax.command_line import run_app
from adeada_jax.config import paper_defaults
from adeada_jax.evaluation.tables import markdown
from adeada_jax.files import write_png_atomic
from adeada_jax.method.densities import create_density
from adeada_jax.method.ingredients.density_difference import density_difference
from adeada_jax.method.regions import Regions
from adeada_jax.models import Segmenter
from adeada_jax.run.region_file import arrays_of, join_regions, load_regions, save_regions
from adeada_jax.training import checkpoints, optimizers
from adeada_jax.training.state import create_train_state
from adeada_jax.types import IGNORE_LABEL

_SHARE = flags.DEFINE_float(
    "share",
    0.1,
    "Fraction of the paper's regions to measure with; times are scaled up to all of them.",
    0.001,
    1.0,
)

IMAGES = {"target": 2_975, "source": 24_966}
REGIONS_AN_IMAGE, CLASSES, IMAGES_A_PART, LABELLED, AT_ONCE = 40, 19, 8192, 1_200, 4
# A step and a forward pass of 1024x2048, and the H100's rate.
STEP_FLOPS, FORWARD_FLOPS, RATE, EVALUATED = 3.71e12, 1.22e12, 0.4 * 989e12, 500


def seconds(function: Callable[[], object]) -> float:
    began = time.perf_counter()
    function()
    return time.perf_counter() - began


def checkpoint(directory: Path) -> float:
    """What a training waits for a checkpoint, which is written behind its back; after a first one."""
    options = paper_defaults()
    segmenter = Segmenter(options.model.name, backbone=options.model.backbone, num_classes=CLASSES)
    optimizer = optimizers.segmenter_optimizer(segmenter, options.optimizer, learning_rate=1e-3, steps=10)
    state = create_train_state(*segmenter.init(0), optimizer)
    with checkpoints.Progress(directory / "progress") as progress:
        progress.save(1, state)
        progress.finish()
        return seconds(lambda: progress.save(2, state))


def weights(directory: Path) -> float:
    """A round's weights saved at its end, which the next stage waits for; after a first time."""
    options = paper_defaults().model
    params, stats = Segmenter(options.name, backbone=options.backbone, num_classes=CLASSES).init(0)
    tree = {"params": params, "batch_stats": stats}
    checkpoints.save(directory / "first", tree)
    return seconds(lambda: checkpoints.save(directory / "weights", tree))


def table(domain: DomainFeatures, images: int) -> Regions:
    """A region table with a domain's features, cut to whole images."""
    count = images * REGIONS_AN_IMAGE
    numbers = np.full(count, 0.5, np.float32)
    return Regions.unbought(
        names=tuple(f"{i:06d}" for i in range(images)),
        image=np.repeat(np.arange(images, dtype=np.int32), REGIONS_AN_IMAGE),
        region=np.tile(np.arange(REGIONS_AN_IMAGE, dtype=np.int32), images),
        pixels=np.full(count, 50_000, np.int64),
        features=domain.features[:count],
        probabilities=np.eye(CLASSES, dtype=np.float32)[domain.classes[:count]],
        entropy=numbers, margin=numbers, confidence=numbers,
    )  # fmt: skip


def joining(directory: Path, whole: Regions) -> float:
    """A domain's parts saved, read and joined."""
    parts, names = [], whole.names
    for low in range(0, len(names), IMAGES_A_PART):
        rows = slice(low * REGIONS_AN_IMAGE, (low + IMAGES_A_PART) * REGIONS_AN_IMAGE)
        columns = {name: array[rows] for name, array in arrays_of(whole).items()}
        columns["image"] = columns["image"] - low
        parts.append(Regions.unbought(names[low : low + IMAGES_A_PART], **columns))

    def work() -> None:
        paths = [directory / f"{i}.part" for i in range(len(parts))]
        for part, path in zip(parts, paths, strict=True):
            save_regions(path, part)
        join_regions([load_regions(path) for path in paths], names, directory / "joined")

    return seconds(work)


def densities(target: Regions, source: Regions) -> float:
    """Both domains' mixtures fitted and compared, after a first time that compiles."""
    density = create_density(paper_defaults().density)

    def work() -> None:
        density_difference(
            target["features"],
            target.classes,
            source["features"],
            source.classes,
            density=density,
            num_classes=CLASSES,
        )

    work()
    return seconds(work)


def labels(directory: Path, images: int = 10) -> float:
    """An image's label and regions read, and stored for one region; seconds an image."""
    rng = np.random.default_rng(0)
    small = rng.integers(0, CLASSES, (32, 64)).astype(np.uint8)
    label = cv2.resize(small, (2048, 1024), interpolation=cv2.INTER_NEAREST)
    stored = [cv2.imencode(".png", label)[1] for _ in range(2)]

    def work() -> None:
        for i in range(images):
            read, regions = (np.asarray(cv2.imdecode(array, cv2.IMREAD_UNCHANGED)) for array in stored)
            revealed = np.where(np.isin(regions, [3]), read, IGNORE_LABEL)
            write_png_atomic(directory / f"{i}.png", revealed)

    return seconds(work) / images


def main(argv: list[str]) -> None:
    if len(argv) > 1:
        raise app.UsageError(f"unexpected argument '{argv[1]}'")
    options, share = paper_defaults(), _SHARE.value
    steps = options.finetune.steps
    images = {name: max(1, round(share * count)) for name, count in IMAGES.items()}
    pair = domain_pair(0, *(count * REGIONS_AN_IMAGE for count in images.values()))
    target, source = (table(domain, images[name]) for domain, name in zip(pair, images, strict=True))
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        measured = [
            ("checkpoint", checkpoint(directory), steps // options.training.checkpoint_every),
            ("weights", weights(directory), 1),
            ("region tables", joining(directory, target) + joining(directory, source), 1 / share),
            ("densities", densities(target, source), 1 / share),
            ("labels, an image", labels(directory), LABELLED / AT_ONCE),
        ]
    work = {
        "training": steps * STEP_FLOPS / RATE,
        "inference and evaluation": (sum(IMAGES.values()) + EVALUATED) * FORWARD_FLOPS / RATE,
    }
    whole = sum(work.values()) + sum(once * times for _, once, times in measured)
    rows = []
    for name, once, times in measured:
        taken = once * times
        rows.append([name, f"{once:.3f}", f"{times:.4g}", f"{taken:.1f}", f"{100 * taken / whole:.1f} %"])
    rows += [[name, "", "", f"{taken:.1f}", f"{100 * taken / whole:.1f} %"] for name, taken in work.items()]
    print(f"on {jax.devices()[0].device_kind}; training and inference assumed\n")
    print(markdown(["part", "measured, s", "times", "s a round", "of a round"], rows))


if __name__ == "__main__":
    run_app(main)
