"""Region division against plain scikit-image: speed at full size, and quality against labels.

    OMP_NUM_THREADS=1 python benchmarks/regions.py

Quality is measured on toy streets (their labels are exact) at 128x256 and 1024x2048, and on photographs that
come with scikit-image. These have no labels; there the measure is the share of the colour variance that the
regions explain.
"""

import time

import cv2
import numpy as np
from absl import app, flags
from skimage import data
from skimage.color import rgb2lab
from skimage.segmentation import slic

from adeada_jax.command_line import run_app
from adeada_jax.partitions.slic import slic_regions
from adeada_jax.toy.streets import render

_SMALL = flags.DEFINE_integer("small", 20, "Number of toy images in each domain at 128x256.", lower_bound=1)
_LARGE = flags.DEFINE_integer("large", 4, "Number of toy images in each domain at 1024x2048.", lower_bound=1)

PHOTOGRAPHS = ("astronaut", "coffee", "chelsea", "rocket")

METHODS = {
    "scikit-image, 40 asked": lambda image: slic(image, n_segments=40, compactness=10, start_label=0),
    "scikit-image, 64 asked": lambda image: slic(image, n_segments=64, compactness=10, start_label=0),
    "ours, 40 asked": lambda image: slic_regions(image, num_segments=40, compactness=10),
}


def borders(segments: np.ndarray) -> np.ndarray:
    """Pixels whose right or lower neighbour is of another segment, and that neighbour."""
    found = np.zeros(segments.shape, bool)
    for axis in (0, 1):
        differs = np.diff(segments, axis=axis) != 0
        ahead = [(0, 0), (0, 0)]
        ahead[axis] = (0, 1)
        behind = [(0, 0), (0, 0)]
        behind[axis] = (1, 0)
        found |= np.pad(differs, ahead) | np.pad(differs, behind)
    return found


def boundary_recall(segments: np.ndarray, label: np.ndarray, reach: int) -> float:
    """Share of the labels' border pixels with a border of regions at most `reach` pixels away."""
    disk = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1))
    near = cv2.dilate(borders(segments).astype(np.uint8), disk) > 0
    wanted = borders(label)
    return float((wanted & near).sum() / wanted.sum())


def undersegmentation(segments: np.ndarray, label: np.ndarray) -> float:
    """Neubert and Protzel's error: pixels that leak, the smaller part of each region at each label."""
    overlap = np.zeros((segments.max() + 1, 256))
    np.add.at(overlap, (segments.ravel(), label.ravel()), 1)
    return float(np.minimum(overlap, overlap.sum(axis=1, keepdims=True) - overlap).sum() / segments.size)


def explained_variance(segments: np.ndarray, image: np.ndarray) -> float:
    """Share of the variance of CIELAB colours between regions."""
    colours = rgb2lab(image).reshape(-1, 3)
    flat = segments.ravel()
    size = np.maximum(np.bincount(flat), 1)
    means = np.stack([np.bincount(flat, colours[:, i]) / size for i in range(3)], axis=1)
    within = ((colours - means[flat]) ** 2).sum()
    return float(1 - within / ((colours - colours.mean(axis=0)) ** 2).sum())


def compare(title: str, images: list[np.ndarray], labels: list[np.ndarray] | None) -> None:
    """Prints the rows of one set of images."""
    for name, method in METHODS.items():
        wall, cpu = time.perf_counter(), time.process_time()
        found = [method(image) for image in images]
        wall, cpu = (time.perf_counter() - wall) / len(images), (time.process_time() - cpu) / len(images)
        found = [np.unique(s, return_inverse=True)[1].reshape(s.shape) for s in found]
        counts = [s.max() + 1 for s in found]
        if labels is not None:
            reach = max(1, images[0].shape[0] // 256)
            recall = np.mean([boundary_recall(*pair, reach) for pair in zip(found, labels, strict=True)])
            leak = np.mean([undersegmentation(*pair) for pair in zip(found, labels, strict=True)])
            quality = f"{recall:.3f} | {leak:.3f} | "
        else:
            explained = np.mean([explained_variance(*pair) for pair in zip(found, images, strict=True)])
            quality = f" | | {explained:.3f}"
        speed = f"{1 / wall:.2f} | {1 / cpu:.2f}"
        print(f"| {title} | {name} | {speed} | {min(counts)}-{max(counts)} | {quality} |", flush=True)


def main(argv: list[str]) -> None:
    if len(argv) > 1:
        raise app.UsageError(f"unexpected argument '{argv[1]}'")
    cv2.setNumThreads(1)
    print("| images | method | images/s | images/CPU s | regions | recall | error | explained |")
    print("| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |")
    for height, count in ((128, _SMALL.value), (1024, _LARGE.value)):
        for domain in ("rendered", "filmed"):
            pairs = [
                render(domain, "train", i, seed=0, height=height, width=2 * height) for i in range(count)
            ]
            compare(f"{domain}, {height}x{2 * height}", *map(list, zip(*pairs, strict=True)))
    photographs = [cv2.resize(getattr(data, name)()[..., :3], (2048, 1024)) for name in PHOTOGRAPHS]
    compare("photographs, 1024x2048", photographs, None)


if __name__ == "__main__":
    run_app(main)
