"""Where a network's time goes: its convolutions by kind, each timed alone, in JAX and in PyTorch.

    python benchmarks/layers.py --height=128 --width=256

Lists the convolutions of DeepLabV3+ with ResNet-101 as they stand in its program, times each shape once and
counts it as often as it occurs: the forward pass, the gradient of its input, and that of its weights. Ours
and PyTorch's (channels-last) take turns with the same threads, and the shortest time of each counts. Below
the table is the time of the whole forward pass; the difference is everything but convolutions. Other ways to
compute the same are timed beside ours: a 1x1 convolution, which the models compute as a matrix product, as
XLA's convolution; a dilated one as several without dilation (space to batch); the gradient of the weights as
a matrix product for each tap.
"""

import collections
import importlib.util
import os
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from absl import app, flags
from jax import lax

from adeada_jax.command_line import run_app
from adeada_jax.models import Segmentation, Segmenter
from adeada_jax.types import PyTree

_HEIGHT = flags.DEFINE_integer("height", 512, "Image height in pixels.", lower_bound=32)
_WIDTH = flags.DEFINE_integer("width", 1024, "Image width in pixels.", lower_bound=32)
_STEPS = flags.DEFINE_integer(
    "steps", 5, "Number of times each convolution is timed; the shortest time counts.", lower_bound=1
)

DIMENSIONS = ("NHWC", "HWIO", "NHWC")
PARTS = ("forward", "input", "weights")


class Shape(NamedTuple):
    """A convolution: sizes of image and kernel, and how the kernel moves."""

    image: tuple[int, ...]
    kernel: tuple[int, ...]
    stride: int
    dilation: int
    padding: int

    @property
    def kind(self) -> str:
        size = self.kernel[0]
        suffix = f", stride {self.stride}" if self.stride > 1 else ""
        return f"{size}x{size}" + (", dilated" if self.dilation > 1 else suffix)

    @property
    def output(self) -> tuple[int, ...]:
        reach = self.dilation * (self.kernel[0] - 1) - 2 * self.padding
        height, width = ((n - reach - 1) // self.stride + 1 for n in self.image[1:3])
        return (self.image[0], height, width, self.kernel[3])

    @property
    def flops(self) -> float:
        return 2.0 * np.prod(self.output) * np.prod(self.kernel[:3])


def shapes_of(program: Any) -> collections.Counter[Shape]:
    """The convolutions of a jaxpr and how often each occurs; a product of two matrices is a 1x1 one."""
    found: collections.Counter[Shape] = collections.Counter()
    for equation in program.eqns:
        for value in equation.params.values():
            if isinstance(value, jax.extend.core.ClosedJaxpr):
                found += shapes_of(value.jaxpr)
        if equation.primitive.name not in ("conv_general_dilated", "dot_general"):
            continue
        image, kernel = (var.aval.shape for var in equation.invars)
        if equation.primitive.name == "dot_general":
            if equation.params["dimension_numbers"] == (((1,), (0,)), ((), ())):  # not the upsampling's
                found[Shape((1, 1, *image), (1, 1, *kernel), 1, 1, 0)] += 1
        else:
            options = equation.params
            found[
                Shape(
                    image, kernel, options["window_strides"][0], options["rhs_dilation"][0],
                    options["padding"][0][0],
                )
            ] += 1  # fmt: skip
    return found


def convolution(shape: Shape, x: jax.Array, kernel: jax.Array) -> jax.Array:
    """XLA's convolution."""
    return lax.conv_general_dilated(
        x, kernel, (shape.stride,) * 2, [(shape.padding,) * 2] * 2, rhs_dilation=(shape.dilation,) * 2,
        dimension_numbers=DIMENSIONS,
    )  # fmt: skip


def product(shape: Shape, x: jax.Array, kernel: jax.Array) -> jax.Array:
    """A 1x1 convolution as a product of two matrices."""
    return jnp.matmul(x.reshape(-1, x.shape[3]), kernel[0, 0]).reshape(*x.shape[:3], -1)


def space_to_batch(shape: Shape, x: jax.Array, kernel: jax.Array) -> jax.Array:
    """A dilated convolution as one without dilation of each of dilation^2 subsampled images."""
    d, (count, height, width, inputs) = shape.dilation, x.shape
    rest = [-size % d for size in (height, width)]
    x = jnp.pad(x, [(0, 0), *((shape.padding, shape.padding + r) for r in rest), (0, 0)])
    rows, columns = x.shape[1] // d, x.shape[2] // d
    x = x.reshape(count, rows, d, columns, d, inputs).transpose(2, 4, 0, 1, 3, 5)
    y = lax.conv_general_dilated(
        x.reshape(-1, rows, columns, inputs), kernel, (1, 1), "VALID", dimension_numbers=DIMENSIONS
    )
    y = y.reshape(d, d, count, *y.shape[1:]).transpose(2, 3, 0, 4, 1, 5)
    y = y.reshape(count, y.shape[1] * d, y.shape[3] * d, -1)
    return y[:, :height, :width]


def weights_by_taps(shape: Shape, x: jax.Array, cotangent: jax.Array) -> jax.Array:
    """The gradient of a kernel, a matrix product for each of its taps."""
    x = jnp.pad(x, [(0, 0), *[(shape.padding,) * 2] * 2, (0, 0)])
    height, width = cotangent.shape[1:3]
    s, d, taps = shape.stride, shape.dilation, []
    for i in range(shape.kernel[0]):
        for j in range(shape.kernel[1]):
            part = x[:, i * d : i * d + (height - 1) * s + 1 : s, j * d : j * d + (width - 1) * s + 1 : s]
            taps.append(jnp.tensordot(part, cotangent, ((0, 1, 2), (0, 1, 2))))
    return jnp.stack(taps).reshape(shape.kernel)


def parts_of(
    function: Callable[..., jax.Array], shape: Shape, arrays: tuple[jax.Array, ...]
) -> dict[str, Callable[[], object]]:
    """A convolution's three computations, compiled: forward and its two gradients."""
    made: dict[str, tuple[Callable[..., jax.Array], tuple[jax.Array, ...]]] = {
        "forward": (lambda x, k: function(shape, x, k), arrays[:2]),
        "input": (lambda x, k, g: jax.vjp(lambda x: function(shape, x, k), x)[1](g)[0], arrays),
        "weights": (lambda x, k, g: jax.vjp(lambda k: function(shape, x, k), k)[1](g)[0], arrays),
    }
    return {name: compiled(*pair) for name, pair in made.items()}


def compiled(function: Callable[..., PyTree], arguments: PyTree) -> Callable[[], object]:
    program = jax.jit(function).lower(*arguments).compile()
    return lambda: jax.block_until_ready(program(*arguments))


def torch_parts(shape: Shape, arrays: tuple[jax.Array, ...]) -> dict[str, Callable[[], object]]:
    """The same in PyTorch."""
    import torch

    x, kernel, cotangent = (torch.tensor(np.asarray(array)) for array in arrays)
    x, cotangent = x.permute(0, 3, 1, 2), cotangent.permute(0, 3, 1, 2)  # channels-last in memory
    kernel = kernel.permute(3, 2, 0, 1).contiguous(memory_format=torch.channels_last)
    geometry = [shape.stride] * 2, [shape.padding] * 2, [shape.dilation] * 2

    def backward(*which: bool) -> Any:
        return torch.ops.aten.convolution_backward(
            cotangent, x, kernel, None, *geometry, False, [0, 0], 1, [*which, False]
        )

    return {
        "forward": lambda: torch.conv2d(x, kernel, None, *geometry),
        "input": lambda: backward(True, False),
        "weights": lambda: backward(False, True),
    }


def ways_of(shape: Shape, with_torch: bool) -> dict[str, dict[str, Callable[[], object]]]:
    """All ways to compute a convolution, by name and part."""
    rng = np.random.default_rng(0)
    sizes = shape.image, shape.kernel, shape.output
    arrays = tuple(jnp.asarray(rng.normal(size=size), jnp.float32) for size in sizes)
    pointwise = shape.kernel[0] == 1
    ways = {"ours": parts_of(product if pointwise else convolution, shape, arrays)}
    if with_torch:
        ways["PyTorch"] = torch_parts(shape, arrays)
    if pointwise:
        ways["as a convolution"] = parts_of(convolution, shape, arrays)
    elif shape.dilation > 1:
        ways["space to batch"] = parts_of(space_to_batch, shape, arrays)
    if shape.kernel[0] == 3:
        by_taps = compiled(lambda x, g: weights_by_taps(shape, x, g), (arrays[0], arrays[2]))
        ways["by taps"] = {"weights": by_taps}
    return ways


def seconds_of(ways: dict[str, dict[str, Callable[[], object]]]) -> dict[tuple[str, str], float]:
    """Least seconds of each way and part, taken in turns after one of each."""
    times = collections.defaultdict(list)
    for turn in range(_STEPS.value + 1):
        for name, parts in ways.items():
            for part, run in parts.items():
                began = time.perf_counter()
                run()
                if turn:
                    times[name, part].append(time.perf_counter() - began)
    return {key: min(values) for key, values in times.items()}


def main(argv: list[str]) -> None:
    if len(argv) > 1:
        raise app.UsageError(f"unexpected argument '{argv[1]}'")
    with_torch = importlib.util.find_spec("torch") is not None
    if with_torch:
        import torch

        torch.set_num_threads(len(os.sched_getaffinity(0)))
    segmenter = Segmenter("deeplabv3plus", backbone="resnet101", num_classes=19)
    images = jnp.zeros((1, _HEIGHT.value, _WIDTH.value, 3))
    weights = jax.tree.map(jnp.asarray, segmenter.init(0))

    def forward(weights: PyTree, images: jax.Array) -> Segmentation:
        params, batch_stats = weights
        return segmenter.apply(params, batch_stats, images, train=False)[0]

    numbers: collections.Counter[str] = collections.Counter()
    flops: dict[str, float] = collections.defaultdict(float)
    sums: dict[tuple[str, str, str], float] = collections.defaultdict(float)
    for shape, count in shapes_of(jax.make_jaxpr(forward)(weights, images).jaxpr).items():
        numbers[shape.kind] += count
        flops[shape.kind] += count * shape.flops
        for (way, part), seconds in seconds_of(ways_of(shape, with_torch)).items():
            sums[shape.kind, way, part] += count * seconds
    print("| kind | number | GFLOP | | forward ms | input's gradient ms | weights' gradient ms |")
    print("| --- | ---: | ---: | --- | ---: | ---: | ---: |")
    for kind in numbers:
        for way in dict.fromkeys(way for known, way, _ in sums if known == kind):
            cells = [f"{1e3 * sums[kind, way, p]:.1f}" if (kind, way, p) in sums else "" for p in PARTS]
            print(f"| {kind} | {numbers[kind]} | {flops[kind] / 1e9:.1f} | {way} | {' | '.join(cells)} |")
    for way in ("ours", "PyTorch") if with_torch else ("ours",):
        cells = [f"{1e3 * sum(sums[kind, way, part] for kind in numbers):.1f}" for part in PARTS]
        print(f"| all | {numbers.total()} | {sum(flops.values()) / 1e9:.1f} | {way} | {' | '.join(cells)} |")
    whole = seconds_of({"": {"": compiled(forward, (weights, images))}})["", ""]
    print(f"\nThe whole forward pass: {1e3 * whole:.1f} ms")


if __name__ == "__main__":
    run_app(main)
