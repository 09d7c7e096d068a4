r"""How close the mIoU of a sample of regions is to that of all labels, and how often its interval holds.

    python benchmarks/sampled_evaluation.py --workdir=runs/toy [--round=last] [--regions=50,100,200] \
        [--seeds=20]

Takes a finished run on a target whose split val has labels. The model predicts that split once; samples of
its regions, drawn as `evaluation.kind=sample` would draw them, are then scored as if only these were
labelled.
"""

from pathlib import Path

import numpy as np
from absl import app, flags

from adeada_jax.data import sources
from adeada_jax.evaluation import tables
from adeada_jax.evaluation.bootstrap import miou_interval
from adeada_jax.evaluation.confusion import iou, mean_iou
from adeada_jax.partitions.partition import create_partition
from adeada_jax.run import prediction
from adeada_jax.run.experiment import create_segmenter, load_weights
from adeada_jax.telemetry import track

_WORKDIR = flags.DEFINE_string("workdir", None, "Directory of a finished run.", required=True)
_ROUND = flags.DEFINE_string("round", "last", "Round of the run: last, best (highest mIoU) or a number.")
_REGIONS = flags.DEFINE_list(
    "regions", ["50", "100", "200"], "Numbers of regions in a sample, e.g. --regions=50,100."
)
_SEEDS = flags.DEFINE_integer("seeds", 20, "Number of samples of each size.")


def region_counts(checkpoint: Path) -> tuple[np.ndarray, np.ndarray]:
    """Confusion matrices `(N, C, C)` of all regions, and the image of each."""
    config = prediction.config_of(checkpoint)
    source = sources.open_labelled(config.target.dataset, config.target.dir, "val")
    segmenter = create_segmenter(config)
    predict = prediction.predictor(
        segmenter, load_weights(segmenter, checkpoint), height=config.data.height, width=config.data.width
    )
    partition, classes = create_partition(config.regions), config.num_classes
    matrices, images = [], []
    for i in track(range(len(source)), total=len(source), description="predicting"):
        example = source[i]
        regions = np.asarray(partition.divide(example["image"], example["name"]))
        known = example["label"] != 255
        cells = (regions.astype(np.int64) * classes + example["label"]) * classes + predict(example["image"])
        counts = np.bincount(cells[known], minlength=(regions.max() + 1) * classes**2)
        present = np.unique(regions)
        matrices.append(counts.reshape(-1, classes, classes)[present])
        images.append(np.full(len(present), i))
    return np.concatenate(matrices), np.concatenate(images)


def by_image(matrices: np.ndarray, images: np.ndarray) -> np.ndarray:
    """`(images, 2, C)` pixels of intersection and union."""
    summed = np.stack([matrices[images == i].sum(axis=0) for i in np.unique(images)])
    intersection = np.diagonal(summed, axis1=1, axis2=2)
    return np.stack([intersection, summed.sum(axis=1) + summed.sum(axis=2) - intersection], axis=1)


def main(argv: list[str]) -> None:
    del argv
    checkpoint = prediction.checkpoint_of(Path(_WORKDIR.value), _ROUND.value)
    matrices, images = region_counts(checkpoint)
    truth = mean_iou(iou(matrices.sum(axis=0)))
    rows = []
    for size in map(int, _REGIONS.value):
        means, widths, held = [], [], []
        for seed in range(_SEEDS.value):
            chosen = np.random.default_rng(seed).choice(len(images), min(size, len(images)), replace=False)
            means.append(mean_iou(iou(matrices[chosen].sum(axis=0))))
            low, high = miou_interval(by_image(matrices[chosen], images[chosen])) or (np.nan, np.nan)
            widths.append(high - low)
            held.append(low <= truth <= high)
        rows.append((str(size), f"{np.mean(means):.1f}", f"{np.std(means, ddof=1):.1f}",
                     f"{np.mean(means) - truth:+.1f}", f"{np.mean(widths):.1f}",
                     f"{sum(held)} of {len(held)}"))  # fmt: skip
    print(f"{checkpoint}: {len(images)} regions, mIoU of all labels {truth:.1f}\n")
    columns = ("regions", "mIoU", "spread", "bias", "width of interval", "truth within")
    print(tables.markdown(columns, rows))


if __name__ == "__main__":
    app.run(main)
