"""Measures speed by number of devices: python scripts/scaling.py --output=DIR.

Without accelerators, try --simulate --devices=1,2.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from absl import app, flags

if TYPE_CHECKING:
    from adeada_jax.bench.scaling.workloads import Point

_OUTPUT = flags.DEFINE_string(
    "output", None, "Directory for scaling.json, scaling.md and scaling.png.", required=True
)
_STAGES = flags.DEFINE_list(
    "stages",
    "warmup,finetune,inference,density",
    "Stages to time: any of warmup, finetune, inference and density.",
)
_DEVICES = flags.DEFINE_list(
    "devices",
    None,
    "Numbers of devices to time, e.g. --devices=1,2,4. By default 1, 2, 4, ... up to all devices, and"
    " with --simulate only 1.",
)
_SIMULATE = flags.DEFINE_bool(
    "simulate", False, "Simulate the devices on the CPU. They share its cores, so speeds mean little."
)
_DTYPES = flags.DEFINE_list(
    "dtypes", "float32,bfloat16", "Data types to compute in: any of float32 and bfloat16."
)
_BATCH = flags.DEFINE_list(
    "batch",
    ["8"],
    "Batch sizes in images, e.g. --batch=8,16: of all devices together (strong scaling) and of each "
    "device (weak scaling).",
)
_REGIONS = flags.DEFINE_integer(
    "regions",
    20_000,
    "Number of regions in a density fit: for all devices together (strong scaling) and for each "
    "device (weak scaling).",
    lower_bound=100,
)
_MODEL = flags.DEFINE_string("model", "deeplabv3plus", "Segmentation model: deeplabv2 or deeplabv3plus.")
_BACKBONE = flags.DEFINE_string("backbone", "resnet101", "Backbone of the model, e.g. resnet18 or resnet101.")
_HEIGHT = flags.DEFINE_integer("height", 1024, "Image height in pixels.", lower_bound=32)
_WIDTH = flags.DEFINE_integer("width", 2048, "Image width in pixels.", lower_bound=32)
_FREEZE = flags.DEFINE_bool(
    "freeze_batch_norm",
    True,
    "Keep batch norm fixed in training, both statistics and affine parameters, like "
    "config.model.freeze_batch_norm.",
)
_STEPS = flags.DEFINE_integer("steps", 10, "Number of timed steps.", lower_bound=1)


def main(argv: list[str]) -> None:
    if len(argv) > 1:
        raise app.UsageError(f"unexpected argument '{argv[1]}'; flags start with --")
    # Imported late, so that --help and wrong flags answer at once.
    from adeada_jax.bench.scaling import points as experiment
    from adeada_jax.files import write_json_atomic, write_text_atomic
    from adeada_jax.telemetry import console, track

    batches = _whole_numbers("batch", _BATCH.value)
    points = list(
        experiment.points(
            stages=_stages(),
            devices=_devices(),
            batches=batches,
            regions=_REGIONS.value,
            dtypes=_DTYPES.value,
            model=_MODEL.value,
            backbone=_BACKBONE.value,
            height=_HEIGHT.value,
            width=_WIDTH.value,
            freeze_batch_norm=_FREEZE.value,
            steps=_STEPS.value,
        )
    )
    _check(points)
    directory, results = Path(_OUTPUT.value), []
    for point in track(points, total=len(points), description="points"):
        results.append(experiment.measure(point, simulate=_SIMULATE.value))
        # After each point, so that nothing measured is lost.
        write_json_atomic(directory / "scaling.json", experiment.with_efficiency(results))
    results = experiment.with_efficiency(results)
    write_text_atomic(directory / "scaling.md", experiment.markdown(results))
    experiment.plot(results, directory / "scaling.png")
    console.print(experiment.table(results))
    console.print(f"{directory / 'scaling.png'}", soft_wrap=True)


def _stages() -> list[str]:
    from adeada_jax.bench.scaling.workloads import STAGES
    from adeada_jax.errors import InputError

    for stage in _STAGES.value:
        if stage not in STAGES:
            raise InputError(f"--stages: unknown '{stage}'; known: {', '.join(STAGES)}")
    return _STAGES.value


def _devices() -> list[int]:
    if _DEVICES.value is None:
        from adeada_jax.bench.scaling.points import devices_here

        present = 1 if _SIMULATE.value else devices_here()
        return [2**i for i in range(present.bit_length()) if 2**i <= present]
    return _whole_numbers("devices", _DEVICES.value)


def _whole_numbers(flag: str, values: list[str]) -> list[int]:
    from adeada_jax.errors import InputError

    try:
        numbers = [int(number) for number in values]
    except ValueError as error:
        raise InputError(f"--{flag}: expects whole numbers, not '{','.join(values)}'") from error
    if min(numbers) < 1:
        raise InputError(f"--{flag}: must be at least 1, not {min(numbers)}")
    return sorted(set(numbers))


def _check(points: "Sequence[Point]") -> None:
    from adeada_jax.errors import InputError
    from adeada_jax.models.segmenter import DTYPES

    for point in points:
        if point.dtype not in DTYPES:
            raise InputError(f"--dtypes: unknown '{point.dtype}'; known: {', '.join(DTYPES)}")
        if point.stage != "density" and point.batch % point.devices:
            raise InputError(
                f"--batch: {point.batch} images cannot be divided among {point.devices} devices; give a "
                "multiple of every number of devices"
            )
