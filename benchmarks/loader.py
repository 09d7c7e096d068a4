"""Training images per second at 1024x2048 by number of worker processes, and where the time goes.

    python benchmarks/loader.py --data_dir=DIR

The images are toy streets of both domains, stored like every data set (PNG bytes in array_record files).
Processor time is that of this process and its workers together, once all workers deliver.
"""

import itertools
import time
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import psutil
from absl import app, flags
from PIL import Image, ImageEnhance

from adeada_jax.command_line import run_app
from adeada_jax.data import loader, preparing, sources, transforms
from adeada_jax.data.images import decode_image, decode_map, encode_png

_DATA_DIR = flags.DEFINE_string(
    "data_dir", None, "Directory for the images; filled on first use (45 MB).", required=True
)
_IMAGES = flags.DEFINE_integer("images", 12, "Number of images in each domain.", lower_bound=1)
_STEPS = flags.DEFINE_integer("steps", 60, "Number of timed batches, of one image each.", lower_bound=1)
_WORKERS = flags.DEFINE_list(
    "workers",
    ["0", "1", "2"],
    "Numbers of worker processes to time, e.g. --workers=0,2; 0 loads in a thread of the main process.",
)
_SECONDS = flags.DEFINE_float(
    "step_seconds",
    0.25,
    "Assumed duration of a training step on the device, in seconds; tells how many cores the loader "
    "keeps busy.",
)

SIZE = {"height": 1024, "width": 2048}
# Until all workers deliver and what they made while others started is used up.
_WARM_UP = 12


def open_union(data_dir: str, images: int) -> loader.Source:
    """Both domains with labels, at full size."""
    domains = ("toy/rendered", "toy/filmed")
    for domain in domains:
        options: dict[str, Any] = {"counts": {"train": images}, **SIZE}
        preparing.prepare(domain, data_dir, **options)
    opened = [sources.open_labelled(domain, data_dir, "train") for domain in domains]
    return loader.concatenate(opened)


def processor_seconds() -> float:
    """Of this process and of the workers that are alive."""
    this = psutil.Process()
    spent = [process.cpu_times() for process in (this, *this.children(recursive=True))]
    return sum(times.user + times.system for times in spent)


def compare_workers(source: loader.Source, workers: int, augment: bool) -> float:
    """Prints a row; returns the processor seconds an image."""
    batches = loader.training_batches(
        source, batch_size=1, seed=0, augment=augment, workers=workers, prefetch=2, **SIZE
    )
    for _ in itertools.islice(batches, _WARM_UP):
        pass
    wall, cpu = time.perf_counter(), processor_seconds()
    for _ in itertools.islice(batches, _STEPS.value):
        pass
    wall, cpu = time.perf_counter() - wall, processor_seconds() - cpu
    rate = _STEPS.value / wall
    print(
        f"| {workers or 'thread'} | {'yes' if augment else 'no'} | {rate:.1f} | {_STEPS.value / cpu:.1f} | "
        f"{1e3 * cpu / _STEPS.value:.1f} |",
        flush=True,
    )
    return cpu / _STEPS.value


def milliseconds(stage: Callable[[int], object], count: int) -> float:
    """Processor time of `stage(i)`, mean over i < count."""
    start = time.process_time()
    for i in range(count):
        stage(i)
    return 1e3 * (time.process_time() - start) / count


def augment_by_pillow(example: dict[str, np.ndarray], scale: float) -> None:
    """What `transforms.augment` does, by the library that the authors used."""
    image, label = (Image.fromarray(example[key]) for key in ("image", "label"))
    inner = (int(image.width * scale), int(image.height * scale))
    for size in (inner, (SIZE["width"], SIZE["height"])):
        image = image.resize(size, Image.Resampling.BILINEAR)
        label = label.resize(size, Image.Resampling.NEAREST)
    for enhance, factor in (
        (ImageEnhance.Brightness, 1.2),
        (ImageEnhance.Contrast, 0.8),
        (ImageEnhance.Color, 1.3),
    ):
        image = enhance(image).enhance(factor)
    np.asarray(image), np.asarray(label)


def time_stages(source: loader.Source) -> None:
    """Prints where an image's time goes."""
    examples = [source[i] for i in range(0, len(source), 3)]
    count = 3 * len(examples)
    encoded = {
        "image": [encode_png(example["image"]) for example in examples],
        "label": [encode_png(example["label"]) for example in examples],
    }
    scales = np.linspace(*transforms.SCALES, count).tolist()
    rng = np.random.default_rng(0)
    pairs = [{key: example[key] for key in ("image", "label")} for example in examples]

    def pair(i: int) -> dict[str, np.ndarray]:
        return pairs[i % len(pairs)]

    stages = {
        "read and check an example": lambda i: source[i % len(source)],
        "… its image decoded": lambda i: decode_image(encoded["image"][i % len(pairs)], ""),
        "… its label decoded": lambda i: decode_map(encoded["label"][i % len(pairs)], ""),
        "augment": lambda i: transforms.augment(pair(i), rng, **SIZE),
        "… scale and back": lambda i: transforms.scale_and_back(pair(i), scales[i], **SIZE),
        "… colour jitter": lambda i: transforms.color_jitter(pair(i)["image"], (1.2, 0.8, 1.3), (0, 1, 2)),
        "… mirror (every other)": lambda i: i % 2 and [cv2.flip(value, 1) for value in pair(i).values()],
        "augment by Pillow, unmirrored": lambda i: augment_by_pillow(pair(i), scales[i]),
    }
    size = np.mean([len(png) for png in encoded["image"]]) / 1e6
    print(f"\nAn image's PNG has {size:.1f} MB.\n\n| stage | CPU ms |\n| --- | ---: |")
    for name, stage in stages.items():
        print(f"| {name} | {milliseconds(stage, count):.1f} |", flush=True)


def main(argv: list[str]) -> None:
    if len(argv) > 1:
        raise app.UsageError(f"unexpected argument '{argv[1]}'")
    cv2.setNumThreads(1)
    source = open_union(_DATA_DIR.value, _IMAGES.value)
    print("| workers | augmented | images/s | images/CPU s | CPU ms an image |")
    print("| --- | --- | ---: | ---: | ---: |")
    costs = [
        compare_workers(source, int(workers), augment)
        for augment in (False, True)
        for workers in _WORKERS.value
    ]
    cores = costs[-1] / _SECONDS.value
    print(f"\nA step of one image in {_SECONDS.value} s on the device keeps {cores:.2f} cores busy.")
    time_stages(source)


if __name__ == "__main__":
    run_app(main)
