"""What a whole GTA5 -> Cityscapes experiment costs by stage: counted FLOPs and bytes, estimated hours.

    python benchmarks/experiment_cost.py [--scale=10000]

FLOPs are those that --dry_run shows at the paper's settings; nothing is compiled or run. Bytes are what
convolutions read and write, as if everything else were fused into them. A training step multiplies a forward
pass's bytes by the same factor as its FLOPs, because each gradient of a convolution has the same three
arrays. Hours are the longer of FLOPs and bytes at a device's rates, which are assumed below; core hours are
those of the host, for loading and densities as measured (docs/loading.md, docs/density.md). --scale
multiplies images, regions and steps alike.
"""

import math
from dataclasses import fields
from functools import partial
from typing import Any

import jax
import jax.extend.core as jex
import jax.numpy as jnp
from absl import app, flags

from adeada_jax.command_line import run_app
from adeada_jax.config import paper_defaults
from adeada_jax.run import forecast as plan
from adeada_jax.run.experiment import Experiment, create_segmenter

_SCALE = flags.DEFINE_float(
    "scale",
    1.0,
    "Size of the experiment relative to the paper's: multiplies images, regions and steps, e.g. "
    "--scale=10000.",
    lower_bound=0.001,
)

# Images, of source, target and its evaluation split; rounds are the configuration's.
SOURCE, TARGET, EVALUATION = 24_966, 2_975, 500
REGIONS_AN_IMAGE = 40

# FLOP/s and bytes/s that are reached: 40% of a H100's dense bfloat16 peak and half of its memory's rate, both
# assumed; of a CPU core what its forward pass was measured at (docs/measurements/cpu.md); no memory bound.
DEVICES = {"H100": (0.4 * 989e12, 0.5 * 3.35e12), "a core": (118e9, math.inf)}
ITEMSIZE = {"H100": 2, "a core": 4}

# Measured, in seconds: of a CPU core for an image that is loaded and augmented (docs/loading.md), of one
# that is only loaded, and for a region: its density's fit and score (docs/density.md, 6.6 s for 100,000).
LOAD_AUGMENTED, LOAD, DENSITY = 0.061, 0.041, 6.6e-5


def traffic(program: jex.Jaxpr) -> float:
    """Numbers in operands and results of a program's convolutions and products."""
    total = 0.0
    for equation in program.eqns:
        if equation.primitive.name in ("conv_general_dilated", "dot_general"):
            arrays: list[Any] = [var.aval for var in (*equation.invars, *equation.outvars)]
            total += sum(math.prod(array.shape) for array in arrays)
        for value in equation.params.values():
            if isinstance(value, jex.ClosedJaxpr):
                total += traffic(value.jaxpr)
            elif isinstance(value, jex.Jaxpr):
                total += traffic(value)
    return total


def counted(own: Experiment) -> dict[str, tuple[float, float]]:
    """FLOPs and numbers moved by a warm-up step, a fine-tuning step and a forward pass of one image."""
    costs = {
        "warm-up": plan.adversarial_cost(own),
        "fine-tuning": plan.supervised_cost(own),
        "forward": plan.forward_cost(own),
    }
    flops = {kind: cost.flops or math.nan for kind, cost in costs.items()}
    images = jax.ShapeDtypeStruct((1, own.config.data.height, own.config.data.width, 3), jnp.float32)
    apply = partial(own.segmenter.apply, train=False)
    params, batch_stats = own.segmenter.shapes
    moved = traffic(jax.make_jaxpr(lambda *given: apply(*given)[0])(params, batch_stats, images).jaxpr)
    return {kind: (number, moved * number / flops["forward"]) for kind, number in flops.items()}


def main(argv: list[str]) -> None:
    if len(argv) > 1:
        raise app.UsageError(f"unexpected argument '{argv[1]}'")
    options, scale = paper_defaults(), _SCALE.value
    # No data are needed to count.
    unused: dict[str, Any] = dict.fromkeys(field.name for field in fields(Experiment))
    network = {"config": options, "segmenter": create_segmenter(options)}
    counts = counted(Experiment(**(unused | network)))
    rounds = options.acquisition.rounds
    # Stage, what is counted, how often in all, and core-seconds of each that are not the device's.
    work = (
        ("warm-up", "warm-up", options.warmup.steps, 2 * LOAD_AUGMENTED),
        ("fine-tuning", "fine-tuning", rounds * options.finetune.steps, LOAD_AUGMENTED),
        ("inference", "forward", rounds * (SOURCE + TARGET), LOAD),
        ("evaluation", "forward", (rounds + 1) * EVALUATION, LOAD),
    )
    names = list(DEVICES)
    print("| stage | images or steps | FLOPs | " + " | ".join(f"bytes, {n} | hours, {n}" for n in names)
          + " | core hours besides |")  # fmt: skip
    print("| --- |" + " ---: |" * (3 + 2 * len(names)))
    for stage, kind, times, core in work:
        flops, numbers = (scale * times * value for value in counts[kind])
        cells = [f"{scale * times:,.0f}", f"{flops:.3g}"]
        for name, (rate, bandwidth) in DEVICES.items():
            moved = numbers * ITEMSIZE[name]
            cells += [f"{moved:.3g}", f"{max(flops / rate, moved / bandwidth) / 3600:,.4g}"]
        print(f"| {stage} | " + " | ".join([*cells, f"{scale * times * core / 3600:,.3g}"]) + " |")
    regions = scale * rounds * REGIONS_AN_IMAGE * (SOURCE + TARGET)
    empty = " | ".join([""] * (1 + 2 * len(names)))
    print(f"| densities | {regions:,.0f} regions | {empty} | {regions * DENSITY / 3600:,.3g} |")


if __name__ == "__main__":
    run_app(main)
